"""The references of docstrings: their DOIs, and the page that lists them all."""

import inspect
import re
from typing import Any

# What a reference begins with, and its DOI.
DOIS = {
    "Bhatia, Jain and Lim": "10.1016/j.exmath.2018.01.002",
    "Blei, Kucukelbir": "10.1080/01621459.2017.1285773",
    "Bratley and Fox": "10.1145/42288.214372",
    "Celeux and Soromenho": "10.1007/BF01246098",
    "Constantine, Dow": "10.1137/130916138",
    "Cover and Thomas": "10.1002/047174882X",
    "Delon and Desolneux": "10.1137/19M1301047",
    "Dempster, Laird": "10.1111/j.2517-6161.1977.tb01600.x",
    "Dowson and Landau": "10.1016/0047-259X(82)90077-X",
    "Durrieu, Thiran": "10.1109/ICASSP.2012.6289001",
    "Figurnov, Mohamed": "10.48550/arXiv.1805.08498",
    "Gibbs and Su": "10.1111/j.1751-5823.2002.tb00178.x",
    "Gil, Alajaji": "10.1016/j.ins.2013.06.018",
    "Goldberger et al.": "10.1109/ICCV.2003.1238387",
    "Graves, Stochastic": "10.48550/arXiv.1607.05690",
    "Hammersley and Morton": "10.1017/S0305004100031455",
    "Hershey and Olsen": "10.1109/ICASSP.2007.366913",
    "Huber et al.": "10.1109/MFI.2008.4648062",
    "Jeffreys, An invariant": "10.1098/rspa.1946.0056",
    "Joe and Kuo": "10.1137/070709359",
    "Julier and Uhlmann": "10.1117/12.280797",
    "Kailath, The divergence": "10.1109/TCOM.1967.1089532",
    "Kampa, Hasanbelliu": "10.1109/IJCNN.2011.6033555",
    "Kingma and Ba": "10.48550/arXiv.1412.6980",
    "Kolchinsky and Tracey": "10.3390/e19070361",
    "Kullback and Leibler": "10.1214/aoms/1177729694",
    "Lehmann and Romano": "10.1007/0-387-27605-X",
    "Lin, Divergence": "10.1109/18.61115",
    "Matousek, On the": "10.1006/jcom.1998.0489",
    "Muandet et al.": "10.48550/arXiv.1202.6504",
    "Principe, Information": "10.1007/978-1-4419-1570-2",
    "Roeder, Wu": "10.48550/arXiv.1703.09194",
    "Runnalls, Kullback": "10.1109/TAES.2007.4383588",
    "Schwarz, Estimating": "10.1214/aos/1176344136",
    "Shannon, A mathematical": "10.1002/j.1538-7305.1948.tb01338.x",
    "Van Erven and Harremoes": "10.1109/TIT.2014.2320500",
}


def with_doi(line: str) -> str:
    """A line of reStructuredText with a link to its DOI, if it begins a reference that has one."""
    found = [doi for start, doi in DOIS.items() if line.strip().startswith(start)]
    return f"{line} `doi <https://doi.org/{found[0]}>`__" if found else line


def add_links(lines: list[str]) -> None:
    """Make a list of the references of a docstring, in its lines as autodoc has them."""
    heads = [i for i, line in enumerate(lines) if line.strip() == ".. rubric:: References"]
    if heads:
        entries = joined(lines[heads[0] + 1 :])
        lines[heads[0] + 1 :] = ["", *(f"- {with_doi(entry)}" for entry in entries), ""]


def references_of(value: Any) -> list[str]:
    """The references in a docstring."""
    _, _, text = (inspect.getdoc(value) or "").partition("\nReferences:\n")
    return joined(text.split("\n"))


def joined(lines: list[str]) -> list[str]:
    """The references in some lines; each begins a line, and ends another with a full stop."""
    found, line = [], ""
    for part in lines:
        line = f"{line} {part.strip()}".strip()
        if line.endswith("."):
            found.append(line)
            line = ""
    return found


def bibliography(names: dict[str, Any]) -> str:
    """The page of all references, each with the names whose docstrings cite it."""
    citing: dict[str, list[str]] = {}
    for name, value in names.items():
        members = vars(value).values() if inspect.isclass(value) else ()
        for reference in (r for v in (value, *members) for r in references_of(v)):
            if "as in `" not in reference:
                citing.setdefault(reference, []).append(name)
    title = "Bibliography"
    entries = [
        f"- {with_doi(reference)} In {', '.join(f':py:obj:`{n}`' for n in dict.fromkeys(of))}."
        for reference, of in sorted(citing.items())
    ]
    return "\n".join([title, "=" * len(title), "", *map(_escaped, entries), ""])


def _escaped(entry: str) -> str:
    """H^2 and so on are text; a name of ours in single backquotes stays a link."""
    return re.sub(r"(?<=\w)\|", r"\\|", entry)
