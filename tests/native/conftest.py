import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from depthwise.runtime.threads import set_threads


@pytest.fixture(autouse=True)
def _no_threads_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEPTHWISE_THREADS", raising=False)


@pytest.fixture
def _default_threads() -> Iterator[None]:
    yield
    set_threads(None)


@pytest.fixture
def run_script() -> Any:
    """Run Python text in a fresh interpreter; returns its standard output, and fails on a bad exit or any message."""

    def run(script: str, *, timeout: float = 120.0) -> str:
        folder = os.path.dirname(os.path.dirname(__file__))  # for `from support import …`
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONFAULTHANDLER": "1"}
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run
