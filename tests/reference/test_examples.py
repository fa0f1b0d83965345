"""The examples in the reference's docstrings run and give what they say."""

import doctest
import importlib
import pkgutil
from typing import Any

import pytest

from depthwise import reference

MODULES = [f"{reference.__name__}.{module.name}" for module in pkgutil.iter_modules(reference.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: Any) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 10
