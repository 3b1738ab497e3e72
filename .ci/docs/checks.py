"""What a built site must not have: raw formulas, dead links, wide code, pictures without words."""

import pathlib
import urllib.parse

from bs4 import BeautifulSoup, Tag

WIDTH = 88
SKIPPED = ("_modules", "_static", "_sources")


def problems(site: pathlib.Path) -> list[str]:
    """In words, with the page of each."""
    pages = {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text(), "html.parser")
        for path in sorted(site.rglob("*.html"))
    }
    anchors = {name: {tag["id"] for tag in page.find_all(id=True)} for name, page in pages.items()}
    written = {n: page for n, page in pages.items() if not n.startswith(SKIPPED)}
    found = []
    for name, page in written.items():
        of_page = [
            *dead_links(name, page, anchors, site),
            *bare_pictures(page),
            *wide_code(page),
            *raw_formulas(page),
        ]
        found += [f"{name}: {problem}" for problem in of_page]
    return found


def dead_links(
    name: str, page: BeautifulSoup, anchors: dict[str, set[str]], site: pathlib.Path
) -> list[str]:
    """Links to pages, files or places of the site that are not there."""
    found = []
    for tag, attribute in [(t, "href") for t in page.find_all("a", href=True)] + [
        (t, "src") for t in page.find_all(["img", "script"], src=True)
    ]:
        link = urllib.parse.urlsplit(tag[attribute])
        if link.scheme or link.netloc:
            continue
        folder = (site / name).parent
        target = (folder / urllib.parse.unquote(link.path)).resolve() if link.path else site / name
        inside = target.relative_to(site.resolve()).as_posix() if link.path else name
        is_there = target.is_file() and (
            not link.fragment
            or inside not in anchors
            or urllib.parse.unquote(link.fragment) in anchors[inside]
        )
        if not is_there:
            found.append(f"a dead link, {tag[attribute]}")
    return found


def bare_pictures(page: BeautifulSoup) -> list[str]:
    """Pictures without an alternative text, or with the name of a file for one."""
    sources = [
        (tag["src"], tag.get("alt", "").strip()) for tag in page.find_all("img") if tag.get("src")
    ]
    return [
        f"a picture without alternative text, {src}"
        for src, alt in sources
        if not alt or alt.endswith((".png", ".svg")) or alt == src
    ]


def wide_code(page: BeautifulSoup) -> list[str]:
    """Lines of code, but not of output, of more columns than fit."""
    blocks = [pre for pre in page.find_all("pre") if not pre.find_parent(class_=is_output)]
    lines = [line for pre in blocks for line in pre.get_text().split("\n")]
    return [f"a line of {len(line)} columns: {line}" for line in lines if len(line) > WIDTH]


def raw_formulas(page: BeautifulSoup) -> list[str]:
    """Texts with a dollar sign that is not in code, and TeX that is not in a formula."""
    texts = [text for text in page.find_all(string=True) if not is_code(text.parent)]
    return [
        f"a raw formula: {text.strip()[:80]}"
        for text in texts
        if "$" in text or "\\frac" in text or "\\Vert" in text
    ]


def is_output(name: str | None) -> bool:
    return name is not None and ("cell_output" in name or name == "highlight-text")


def is_code(tag: Tag | None) -> bool:
    """Whether it, or what it is in, is not shown as text."""
    if tag is None:
        return False
    names = {"code", "pre", "script", "style"}
    parents = [tag, *tag.parents]
    return any(t.name in names or "math" in (t.get("class") or ()) for t in parents)
