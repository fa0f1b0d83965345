"""Every example in the docstrings of `depthwise.training`, and of what training uses, runs."""

import doctest
import importlib
import pkgutil
from typing import Any

import pytest

import depthwise.losses
import depthwise.metrics
import depthwise.optimizers
import depthwise.training

PACKAGES = [depthwise.losses, depthwise.metrics, depthwise.optimizers, depthwise.training]
MODULES = [
    "depthwise.random",
    *(package.__name__ for package in PACKAGES),
    *(f"{package.__name__}.{item.name}" for package in PACKAGES for item in pkgutil.iter_modules(package.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: Any) -> None:
    assert doctest.testmod(importlib.import_module(name), raise_on_error=False).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    counts = [sum(bool(test.examples) for test in finder.find(importlib.import_module(name))) for name in MODULES]
    assert sum(counts) >= 15
