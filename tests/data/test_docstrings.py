"""The examples in the docstrings of `depthwise.data` and `depthwise.files` run as they are printed."""

import doctest
import importlib
import pkgutil

import pytest

import depthwise.data

MODULES = ["depthwise.data", "depthwise.files"] + [
    f"depthwise.data.{module.name}" for module in pkgutil.iter_modules(depthwise.data.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_examples_exist():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 15
