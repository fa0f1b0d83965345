"""Runs the example notebook in Jupyter and keeps its outputs: `docs/example.ipynb`.

    uv run --with nbclient --with ipykernel python .ci/notebook.py

Its cells are run by `tests/test_notebook.py` too, without Jupyter. Run this again after a change of the cells or of what they show.
"""

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "example.ipynb"


def kept(outputs: list[Any]) -> list[Any]:
    """The outputs as one sees them at the end: a line that was drawn again and again is there once."""
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    others = [output for output in outputs if output.output_type != "stream"]
    if not printed:
        return others
    text = "\n".join(line.rpartition("\r")[2] for line in printed.split("\n"))
    return [nbformat.v4.new_output("stream", name="stdout", text=text), *others]


def main() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = kept(cell.outputs)
        cell.id = f"cell-{number}"
    notebook.metadata = {"language_info": {"name": "python"}}
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
