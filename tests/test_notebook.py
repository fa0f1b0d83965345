"""The example notebook: its cells run, what they show is small, and what it keeps is what they show."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import depthwise

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "example.ipynb"
MOST_BYTES = 50_000
"""Of one output."""


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell as Jupyter does, and returns what its last line is, where that is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, NOTEBOOK.name, "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), NOTEBOOK.name, "exec"), names)
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)


def test_every_cell_runs_and_shows_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (x_train, y_train), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    small = (x_train[:128], y_train[:128]), (x_test[:64], y_test[:64])
    monkeypatch.setattr(depthwise.datasets.mnist, "load_data", lambda: small)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in code_cells():
        shown = run_cell("".join(cell["source"]), names)
        html = shown._repr_html_() if hasattr(shown, "_repr_html_") else None
        assert len((html or repr(shown)).encode()) < MOST_BYTES
        kept = [output["data"] for output in cell["outputs"] if "data" in output]
        assert len(kept) == (shown is not None)
        assert [("text/html" in data) for data in kept] == [html is not None] * len(kept)
    assert (tmp_path / "page.html").stat().st_size > 10 * MOST_BYTES


def test_the_outputs_that_it_keeps_are_small() -> None:
    for cell in code_cells():
        assert cell["execution_count"]
        for output in cell["outputs"]:
            assert output["output_type"] in ("stream", "execute_result")
            assert len(json.dumps(output)) < MOST_BYTES
            assert "widget" not in json.dumps(output)
            assert "\r" not in "".join(output.get("text", ""))
    first = code_cells()[0]["outputs"][0]["data"]["text/html"]
    assert "".join(first) == depthwise.networks.trained("note-separable")._repr_html_()
