"""Runs Keras' own test files, which its wheel has, against Depthwise."""

import builtins
import fnmatch
import functools
import re
import sys
import tomllib
import unittest
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from keras_suite.facades import Package, imported
from keras_suite.patches import as_keras_names_them
from support import clean_state

__all__ = ["FOLDERS", "PAGE", "Outcome", "counts", "files", "out_of_scope", "page", "reason_of", "run"]

SOURCE = Path(keras.__file__).parent / "src"
FOLDERS = (
    "activations", "constraints", "initializers", "layers/activations", "layers/convolutional", "layers/core", "layers/merging",
    "layers/normalization", "layers/pooling", "layers/regularization", "layers/reshaping", "losses", "metrics",
    "optimizers", "regularizers",
)  # fmt: skip
LEFT_OUT = (
    "layers/core/[elmrw]*", "layers/pooling/adaptive*", "layers/normalization/spectral*", "layers/reshaping/*3d*",
    "optimizers/multi_optimizer*", "optimizers/optimizer_sparse*", "optimizers/schedule_free*", "optimizers/loss_scale*",
)  # fmt: skip
"""Files on layers and optimizers that Depthwise does not have, by name; so are the folders of recurrent layers and of attention."""
PAGE = Path(__file__).resolve().parents[2] / "docs" / "keras_tests.md"
_TABLE = Path(__file__).with_name("out_of_scope.toml")


@dataclass
class Outcome:
    """What became of the tests of a file: names of those that passed, and the errors of the others by name."""

    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def files() -> list[str]:
    """All test files of the folders, by their path below Keras' source."""
    found = {str(path.relative_to(SOURCE)) for folder in FOLDERS for path in (SOURCE / folder).rglob("*_test.py")}
    return sorted(name for name in found if not any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT))


@functools.cache
def out_of_scope() -> dict[str, list[str]]:
    """Patterns of tests (`file::class::test`) and files by the reason why Depthwise does not pass them."""
    with _TABLE.open("rb") as file:
        table = tomllib.load(file)
    return {entry["reason"]: entry["tests"] for entry in table["out_of_scope"]}


def reason_of(name: str) -> str | None:
    """Why a test or a whole file is out of scope; None if it is not."""
    for reason, patterns in out_of_scope().items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            return reason
    return None


def _module(file: str) -> ModuleType:
    """A test file, with Depthwise under the names that it imports."""
    path = SOURCE / file
    module = ModuleType(f"keras_suite_of_{path.stem}")

    def import_of_keras(name: str, *arguments: Any) -> Any:
        if name.split(".")[0] in ("keras", "conftest"):
            return imported(name, arguments[2] if len(arguments) > 2 else None)
        if name.split(".")[0] in ("tensorflow", "grain", "torch"):
            return Package(name)
        return builtins.__import__(name, *arguments)

    own = {**vars(builtins), "__import__": import_of_keras}
    vars(module).update(__builtins__=own, __file__=str(path))
    sys.modules[module.__name__] = module  # pickle and dataclasses look there
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def _tests(suite: Any) -> Iterator[Any]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _tests(item)
        else:
            yield item


def run(file: str) -> Outcome:
    """Runs the tests of a file, each from the same state."""
    outcome = Outcome()
    loader = unittest.TestLoader()
    module = _module(file)
    cases = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == module.__name__
    ]
    for test in (item for case in cases for item in _tests(loader.loadTestsFromTestCase(case))):
        clean_state.reset()
        name = f"{file}::{type(test).__name__}::{test._testMethodName}"
        result = unittest.TestResult()
        with warnings.catch_warnings(), as_keras_names_them():
            warnings.simplefilter("ignore")
            test.run(result)
        texts = [text.strip() for _, text in (*result.errors, *result.failures)]
        if result.skipped or any(re.match(r"(\w+\.)*Skipped:", text.splitlines()[-1]) for text in texts):
            outcome.skipped.append(name)
        elif texts:
            outcome.failed[name] = texts[0]
        else:
            outcome.passed.append(name)
    return outcome


def counts(outcomes: Mapping[str, Outcome]) -> Counter[str]:
    """How many tests passed, how many are out of scope by reason, and how many failed."""
    found: Counter[str] = Counter()
    for outcome in outcomes.values():
        found["passed"] += len(outcome.passed)
        for name in outcome.failed:
            found[reason_of(name) or "failed"] += 1
    return found


def page(outcomes: Mapping[str, Outcome]) -> str:
    """The document that publishes the counts, in Markdown."""
    found = counts(outcomes)
    by_reason = [(reason, found[reason]) for reason in out_of_scope()]
    rows = [
        f"| {folder} | {sum(len(item.passed) for item in own)} | {sum(len(item.failed) for item in own)} |"
        for folder in FOLDERS
        if (own := [outcome for file, outcome in outcomes.items() if file.startswith(f"{folder}/")])
    ]
    return "\n".join(
        [
            "# Keras' own tests",
            "",
            f"The wheel of Keras {keras.__version__} has the tests that Keras is tested with. Those of the folders below run against "
            "Depthwise, which takes the place of Keras in them.",
            "Left out are the files on layers and optimizers that it does not have (recurrent ones, attention, volumes, words, several "
            "optimizers at once; `LEFT_OUT` in `tests/keras_suite/running.py`), and those on changes of images, whose tests call Keras'",
            "own transformations: `tests/training/test_augmentation.py` compares with these.",
            f"**{found['passed']} pass, {sum(count for _, count in by_reason)} are out of scope, {found['failed']} fail.**",
            "",
            "| folder | pass | out of scope |",
            "|---|---|---|",
            *rows,
            "",
            "| why out of scope | tests |",
            "|---|---|",
            *(f"| {reason} | {count} |" for reason, count in by_reason),
            "",
            "`tests/keras_suite/out_of_scope.toml` names each of them. This page is written by",
            "`PYTHONPATH=tests uv run --group test python -m keras_suite`, and `uv run --group test pytest -m sweep tests/keras_suite`",
            "checks it.",
            "",
        ]
    )
