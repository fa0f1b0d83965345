"""Keras' own tests pass with Depthwise in place of Keras, or the table says why they do not."""

import fnmatch

import pytest

from keras_suite import running

pytestmark = pytest.mark.sweep


@pytest.fixture(scope="module")
def outcomes() -> dict[str, running.Outcome]:
    return {file: running.run(file) for file in running.files()}


def test_no_test_fails_without_a_reason(outcomes: dict[str, running.Outcome]) -> None:
    failed = {
        name: text
        for outcome in outcomes.values()
        for name, text in outcome.failed.items()
        if running.reason_of(name) is None
    }
    assert failed == {}


def test_many_tests_ran(outcomes: dict[str, running.Outcome]) -> None:
    assert running.counts(outcomes)["passed"] > 900


def test_every_reason_is_needed(outcomes: dict[str, running.Outcome]) -> None:
    failed = [name for outcome in outcomes.values() for name in outcome.failed]
    patterns = [pattern for patterns in running.out_of_scope().values() for pattern in patterns]
    assert [item for item in patterns if not fnmatch.filter(failed, item)] == []


def test_the_document_has_the_counts(outcomes: dict[str, running.Outcome]) -> None:
    assert running.PAGE.read_text(encoding="utf-8") == running.page(outcomes)
