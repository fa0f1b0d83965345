"""Writes `src/depthwise/layers/__init__.pyi`, what editors and type checkers read of the layers' arguments.

The classes of `depthwise.layers` are made of the descriptions in that folder when it is imported, which no type checker follows.

    uv run python .ci/stubs.py            fails where the file is not what the layers say
    uv run python .ci/stubs.py --update   writes it
"""

import ast
import inspect
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

from depthwise import layers

STUB = Path(__file__).resolve().parent.parent / "src" / "depthwise" / "layers" / "__init__.pyi"


class _Names:
    """Spells types, and keeps what has to be imported for them."""

    def __init__(self) -> None:
        self.modules: dict[str, set[str]] = {"typing": {"Any"}, "depthwise.layers.layer": {"Layer"}}

    def spell(self, kind: Any) -> str:
        if kind is None or kind is type(None):
            return "None"
        if kind is Ellipsis:
            return "..."
        if isinstance(kind, str):
            return kind
        origin = typing.get_origin(kind)
        arguments = typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return " | ".join(self.spell(item) for item in arguments)
        if origin is typing.Literal:
            self.use("typing", "Literal")
            return f"Literal[{', '.join(map(repr, arguments))}]"
        if origin is not None:
            inner = [
                f"[{', '.join(map(self.spell, item))}]" if isinstance(item, list) else self.spell(item)
                for item in arguments
            ]
            return f"{self.spell(origin)}[{', '.join(inner)}]"
        if kind is Any:
            return "Any"
        if kind.__module__ != "builtins":
            self.use(kind.__module__, kind.__qualname__)
        return str(kind.__qualname__)

    def use(self, module: str, name: str) -> None:
        self.modules.setdefault(module, set()).add(name)

    def imports(self) -> list[str]:
        return [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self.modules.items())]


def _annotation(parameter: str, hints: dict[str, Any], names: _Names) -> str:
    spelled = names.spell(hints.get(parameter, Any))
    if "tuple[int" in spelled:  # a list is taken too
        names.use("collections.abc", "Sequence")
        spelled = re.sub(r"tuple\[(int(?: \| None)?)[^]]*\]", r"Sequence[\1]", spelled)
    if parameter.endswith("activation"):  # a function of depthwise.activations is taken too
        names.use("collections.abc", "Callable")
        spelled = f"{spelled} | Callable[[Any], Any]"
    return spelled


def _class(name: str, made: type[Any], names: _Names) -> list[str]:
    hints = typing.get_type_hints(made.description_class)
    parameters = inspect.signature(made).parameters.values()
    shown = ["self"]
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        default = "" if parameter.default is parameter.empty else " = ..."
        shown.append(f"{parameter.name}: {_annotation(parameter.name, hints, names)}{default}")
    return [f"class {name}(Layer):", f"    def __init__({', '.join(shown)}) -> None: ..."]


def _order(name: str) -> tuple[int, str]:
    """Constants first, then classes, then functions: as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def stub() -> str:
    """The whole file."""
    names = _Names()
    body: list[str] = []
    for name in sorted(layers.__all__):
        item = getattr(layers, name)
        if not isinstance(item, type):
            body += [f"{name}: {names.spell(type(item))}[Any, Any]" if isinstance(item, dict) else f"{name}: Any"]
        elif item is not layers.Layer and name == item.__name__:
            body += _class(name, item, names)
    body += [
        f"{name} = {getattr(layers, name).__name__}"
        for name in sorted(layers.__all__)
        if isinstance(getattr(layers, name), type) and getattr(layers, name).__name__ != name
    ]
    head = ["# Written by .ci/stubs.py from the descriptions in this folder.", *names.imports()]
    return "\n".join([*head, f"__all__ = {sorted(layers.__all__, key=_order)!r}", *body]) + "\n"


def main() -> None:
    """Checks or writes the file."""
    wanted = stub()
    if sys.argv[1:] == ["--update"]:
        STUB.write_text(wanted, encoding="utf-8")
        subprocess.run(["ruff", "check", "--quiet", "--fix", "--select", "I", str(STUB)], check=True)
        subprocess.run(["ruff", "format", "--quiet", str(STUB)], check=True)
    elif not STUB.exists() or _meaning(STUB.read_text(encoding="utf-8")) != _meaning(wanted):
        sys.exit(f"{STUB.name} is not what the layers say; run: uv run --group lint python .ci/stubs.py --update")


def _meaning(text: str) -> str:
    """The text without its layout."""
    tree = ast.parse(text)
    imports = sorted(
        (node.module or "", item.name) for node in tree.body if isinstance(node, ast.ImportFrom) for item in node.names
    )
    tree.body = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    return f"{imports} {ast.dump(tree)}"


if __name__ == "__main__":
    main()
