"""The committed page is what the sources in `web/` give."""

import shutil
import subprocess
from pathlib import Path

from support.programs_needed import missing

WEB = Path(__file__).parents[2] / "web"


def test_the_sources_build_the_committed_page() -> None:
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules").is_dir():
        missing("Node or web/node_modules is not installed: run `npm ci` in web/")
    run = subprocess.run(
        [node, "scripts/check-built.js"], cwd=WEB, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_nothing_that_is_committed_names_where_packages_were_downloaded() -> None:
    lock = (WEB / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert '"integrity"' in lock
