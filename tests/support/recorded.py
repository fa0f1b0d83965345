"""`pytest --record-reliability FILE`: how many cases the tests of each file tried, and how many failed, for docs/reliability.md."""

import json
from collections import Counter
from pathlib import Path

import pytest

__all__ = ["Recorder"]


class Recorder:
    """Counts the tests of a run, by file.

    A test that tries many cases says how many with pytest's `record_property("tried", count)`; any other test is one. A test that
    fails counts as one failure: the others after it in the same test were not tried.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        count = self._counts.setdefault(report.nodeid.partition("::")[0], Counter(tests=0, tried=0, failed=0))
        if report.when == "call":
            tried = [value for name, value in report.user_properties if name == "tried" and isinstance(value, int)]
            count["tests"] += not report.skipped
            count["tried"] += sum(tried) if tried else not report.skipped
        count["failed"] += report.failed

    def pytest_sessionfinish(self) -> None:
        facts = {name: dict(count) for name, count in sorted(self._counts.items()) if count["tests"] or count["failed"]}
        self._path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
