"""Every example in a docstring of the native package runs."""

import doctest
import importlib
import pkgutil
from typing import Any

import pytest

import depthwise.compiler.native

MODULES = [module.name for module in pkgutil.iter_modules(depthwise.compiler.native.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: Any) -> None:
    module = importlib.import_module(f"depthwise.compiler.native.{name}")
    assert doctest.testmod(module).failed == 0


def test_some_examples_exist() -> None:
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(f"depthwise.compiler.native.{name}") for name in MODULES]
    assert sum(bool(test.examples) for module in modules for test in finder.find(module)) >= 10
