"""Execute the notebooks, or those named, and keep their outputs: `python tests/execute_notebooks.py
[PATH ...]`.
"""

import pathlib
import sys

import nbformat
from nbclient import NotebookClient

from support.paths import ROOT

NOTEBOOKS = ROOT / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: pathlib.Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a new kernel, and nothing that changes from one time to the
    next without need.
    """
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(
        notebook, timeout=900, record_timing=False, coalesce_streams=True, resources=where
    ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"  # in place of a random one
        cell.metadata.clear()
    return notebook


def main(*paths: str) -> None:
    for path in map(pathlib.Path, paths or sorted(NOTEBOOKS.glob("*.ipynb"))):
        nbformat.write(executed(path), path)
        print(path.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
