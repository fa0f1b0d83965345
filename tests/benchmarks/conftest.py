"""Makes the repository's `benchmarks` package importable and the fake rivals known to the workers."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKES = Path(__file__).parent / "fakes"
sys.path.insert(0, str(ROOT))

from benchmarks.rivals import Rival  # noqa: E402


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file in which every fake rival writes a line a run."""
    return tmp_path / "runs.log"


@pytest.fixture
def fake(log: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rival]:
    """Return a maker of rivals whose module is the fake one; `fault` is what it gets wrong."""
    monkeypatch.setenv("PYTHONPATH", str(FAKES), prepend=os.pathsep)

    def make(name: str, fault: str = "", **more: Any) -> Rival:
        environment = {"FAKE_NAME": name, "FAKE_FAULT": fault, "FAKE_LOG": str(log)}
        arguments: dict[str, Any] = {"distributions": ("numpy",), "trains": True, "cache_folders": ("FAKE_CACHE",)}
        arguments |= more
        title = name.capitalize()
        return Rival(name, title, environment=environment, module="fake_rival", **arguments)

    return make
