"""No browser and no Node: a developer may go on without, the continuous integration may not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from support.programs_needed import missing


def test_missing_programs_skip_on_a_developers_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        missing("no browser")


def test_missing_programs_fail_in_the_continuous_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        missing("no browser")


def test_the_script_of_the_continuous_integration_stops_without_npm(tmp_path: Path) -> None:
    for program in ("bash", "dirname", "uv"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    script = Path(__file__).parents[2] / ".ci" / "run"
    run = subprocess.run(
        [str(tmp_path / "bash"), str(script)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1, run.stdout
    assert "npm is missing" in run.stderr


def test_no_test_of_the_pages_skips_by_itself() -> None:
    for path in Path(__file__).parent.glob("*.py"):
        if path != Path(__file__):
            assert "pytest.skip" not in path.read_text(encoding="utf-8"), path
