"""The old names of modules that moved, for one release: importing one gives the module under its new name, with a warning."""

import importlib
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

__all__ = ["MOVED", "install"]

MOVED = {
    "depthwise.arithmetic": "depthwise.network.facts",
    "depthwise.formula": "depthwise.network.formula",
    "depthwise.graph": "depthwise.network.graph",
    "depthwise.initialize": "depthwise.network.initialize",
    "depthwise.summary": "depthwise.network.summary",
    "depthwise.training.losses": "depthwise.losses",
    "depthwise.training.metrics": "depthwise.metrics",
    "depthwise.training.optimizers": "depthwise.optimizers",
    "depthwise.training.schedules": "depthwise.optimizers.schedules",
    "depthwise.twins": "depthwise.network.twins",
    "depthwise.window": "depthwise.network.window",
}
"""Modules that a user may have imported, by their old names."""


class _Finder:
    """A finder and loader. It has no base class, for `importlib.abc` is slow to import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        warnings.warn(f"{spec.name} has moved: import {new}", DeprecationWarning, stacklevel=2)
        module = ModuleType(spec.name, f"See {new}.")
        module.__dict__.update(vars(importlib.import_module(new)))
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module was made from the one that it is now."""


def install() -> None:
    """Lets the old names be imported."""
    if not any(isinstance(item, _Finder) for item in sys.meta_path):
        sys.meta_path.append(_Finder())
