"""Programs that some tests need: without them a test is skipped on a developer's machine and fails where CI is set."""

import os
from typing import NoReturn

import pytest

__all__ = ["missing"]


def missing(what: str) -> NoReturn:
    """Ends the test: fails if the environment variable CI is set, as `.ci/run` does, else skips."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
