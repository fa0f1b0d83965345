"""The benchmark of keras.applications goes on where it was cut off."""

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import applications


def _row(name: str, size: int) -> dict[str, Any]:
    numbers = dict.fromkeys(("parameters", "bytes", "load", "first", "filled", "memory", "keras", "h5", "live"), 1.0)
    return {"network": name, "image": "32×32", "size": size, **numbers}


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a row too; the table has all rows after each network."""
    rows, table = tmp_path / "rows.jsonl", tmp_path / "table.md"
    done: list[str] = []

    def measured(name: str, size: int, folder: Path) -> dict[str, Any]:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(name)
        return _row(name, size)

    monkeypatch.setattr(applications, "measured", measured)
    networks = ["MobileNet", "MobileNetV2", "Xception"]
    monkeypatch.setattr(
        sys, "argv", ["applications.py", "--networks", *networks, "--rows", str(rows), "--table", str(table)]
    )
    with pytest.raises(KeyboardInterrupt):
        applications.main()
    assert table.read_text(encoding="utf-8").count("32×32") == 2
    rows.write_text(rows.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    done.clear()
    applications.main()
    assert done == networks[1:]
    assert len(applications.whole_rows(rows)) == 3
    assert table.read_text(encoding="utf-8").count("32×32") == 3
