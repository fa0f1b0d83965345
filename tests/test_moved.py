"""Modules that moved can be imported by their old names for one release."""

import importlib
import sys

import pytest

from depthwise.moved import MOVED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_old_names_give_the_new_modules_with_a_warning(old: str) -> None:
    sys.modules.pop(old, None)
    new = importlib.import_module(MOVED[old])
    with pytest.warns(DeprecationWarning, match=f"{old} has moved: import {MOVED[old]}"):
        module = importlib.import_module(old)
    for name in new.__all__:
        assert getattr(module, name) is getattr(new, name)


def test_no_old_name_is_a_module_of_its_own() -> None:
    for old in MOVED:
        sys.modules.pop(old, None)  # another test of this process may have imported it: it would not warn again
        with pytest.warns(DeprecationWarning, match="has moved"), pytest.raises(ModuleNotFoundError):
            importlib.import_module(old + ".nothing")
