"""docs/reliability.md: its tables are what `.ci/reliability.py` makes of the recorded runs, and what is recorded is counted rightly."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def reliability() -> ModuleType:
    """`.ci/reliability.py` as a module."""
    spec = importlib.util.spec_from_file_location("reliability", ROOT / ".ci" / "reliability.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_recorded_runs(reliability: ModuleType) -> None:
    text = reliability.DOCUMENT.read_text(encoding="utf-8")
    assert reliability.written(text) == text
    assert "`tests/fuzz/test_fuzz.py`" in text
    assert "| `keras` |" in text


def test_every_recorded_file_still_keeps_a_promise(reliability: ModuleType) -> None:
    recorded = json.loads(reliability.RECORD.read_text(encoding="utf-8"))
    assert set(recorded) <= set(reliability.promises())
    assert set(reliability.ALSO) <= set(reliability.promises())


def test_long_runs_stay_beside_the_others(reliability: ModuleType) -> None:
    one, two, long = ({"tests": 1, "tried": tried, "failed": 0} for tried in (3, 5, 1_000_000))
    assert reliability.merged({"a": one, "b": one}, {"a": two}, "not long") == {"a": two, "b": one}
    with_long = reliability.merged({"a": one}, {"a": long}, "long")
    assert with_long == {"a": {**one, "long": long}}
    assert reliability.merged(with_long, {"a": two}, "not long") == {"a": {**two, "long": long}}
    assert reliability.merged({}, {"a": long}, "long") == {"a": {"tests": 0, "tried": 0, "failed": 0, "long": long}}


def test_a_run_is_counted(tmp_path: Path) -> None:
    source = """
import pytest
def test_one(): pass
def test_many(record_property): record_property("tried", 40)
def test_wrong(): assert False
def test_left_out(): pytest.skip("not here")
"""
    (tmp_path / "test_counted.py").write_text(source, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom support.recorded import Recorder\n"
        "def pytest_configure(config): config.pluginmanager.register(Recorder(Path('out.json')))\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_counted.py"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "test_counted.py": {"tests": 3, "tried": 42, "failed": 1}
    }
