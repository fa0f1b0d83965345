"""`depthwise bench --rivals`: the side-by-side table of the repository's `benchmarks/run`, where the repository is there."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import depthwise
from depthwise.errors import UnsupportedError

__all__ = ["benchmark_script", "run_rivals"]


def benchmark_script() -> Path:
    """`benchmarks/run` of the repository that this package is imported from, or of the one around the current folder.

    Raises:
        UnsupportedError: there is none.
    """
    own = Path(depthwise.__file__).resolve().parents[2]
    here = Path.cwd()
    for folder in (own, here, *here.parents):
        script = folder / "benchmarks" / "run"
        if script.is_file() and (folder / "src" / "depthwise").is_dir():
            return script
    raise UnsupportedError(
        "--rivals needs the repository, because the benchmark is not part of the installed package; clone it, install the "
        "rivals as its benchmarks/README.md says, and run this there"
    )


def run_rivals(works: Sequence[str], threads: int) -> int:
    """Runs the benchmark in this Python on the given works; its exit code: 1 where Depthwise failed or computed something
    wrong."""
    command = [sys.executable, str(benchmark_script()), "--threads", str(threads)]
    if works:
        command += ["--works", *works]
    return subprocess.run(command, check=False).returncode
