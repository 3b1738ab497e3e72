"""Every notebook runs as a user runs it, with less of everything, and is committed as it was
executed.
"""

import re

import nbformat
import pytest

import execute_notebooks

PATHS = sorted(execute_notebooks.NOTEBOOKS.glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook) -> list:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def text_of(output) -> str:
    """Of all kinds but pictures."""
    return output.get("text", "") + "".join(
        data for kind, data in output.get("data", {}).items() if kind.startswith("text/")
    )


def problems(notebook) -> list[str]:
    """What a committed notebook must not have, in words."""
    cells, results = code_cells(notebook), outputs(notebook)
    counts = [cell.execution_count for cell in cells]
    found = {
        "was not executed from top to bottom": counts != list(range(1, len(cells) + 1)),
        "has a cell that shows nothing": any(not cell.outputs for cell in cells[1:]),
        "raised an error": any(output.output_type == "error" for output in results),
        "printed a warning": any(output.get("name") == "stderr" for output in results),
        "shows a path of one machine": any(
            re.search(r"(^|[\s'\"(=])(/\w[\w.-]+){2,}|[A-Z]:\\", text_of(o)) for o in results
        ),
        "has metadata that change": notebook.metadata != execute_notebooks.METADATA
        or any(c.metadata for c in notebook.cells),
        "has identifiers of cells that change": [cell.id for cell in notebook.cells]
        != [f"cell-{i}" for i in range(len(notebook.cells))],
        "does not look for JAXGMM_QUICK first": "JAXGMM_QUICK" not in cells[0].source,
    }
    return [what for what, is_so in found.items() if is_so]


@pytest.mark.smoke
def test_there_are_notebooks():
    assert len(PATHS) >= 2


@each_notebook
def test_committed_as_executed(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert problems(notebook) == []


@pytest.mark.long
@each_notebook
def test_runs(path, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGMM_QUICK", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    assert problems(execute_notebooks.executed(path)) == []


BAD = {
    "was not executed from top to bottom": {"execution_count": 7},
    "has a cell that shows nothing": {"outputs": []},
    "raised an error": {
        "outputs": [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    },
    "printed a warning": {
        "outputs": [nbformat.v4.new_output("stream", name="stderr", text="UserWarning")]
    },
    "shows a path of one machine": {
        "outputs": [nbformat.v4.new_output("stream", text="see /home/someone/x.py")]
    },
    "has metadata that change": {"metadata": {"execution": {"shell.execute_reply": "today"}}},
    "has identifiers of cells that change": {"id": "a1b2"},
    "does not look for JAXGMM_QUICK first": {},
}


@pytest.mark.parametrize("problem", BAD)
def test_problems_are_found(problem):
    shown = [nbformat.v4.new_output("stream", text="0.1 nats / 2")]
    sources = ["JAXGMM_QUICK" * (problem != "does not look for JAXGMM_QUICK first"), "2"]
    cells = [
        nbformat.v4.new_code_cell(source, id=f"cell-{i}", execution_count=i + 1, outputs=shown)
        for i, source in enumerate(sources)
    ]
    cells[1].update(nbformat.from_dict(BAD[problem]))
    assert problems(nbformat.v4.new_notebook(cells=cells, metadata=execute_notebooks.METADATA)) == [
        problem
    ]
