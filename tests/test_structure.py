"""How the source is put together: each level imports only from those below it, nothing imports in a circle, files are short."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "depthwise"

LEVELS = [
    # What everything stands on.
    {"absent", "collection", "dataclass", "documentation", "errors", "meanings", "moved"},
    {"configuration"},
    {
        "arguments",
        "constraints",
        "files",
        "initializers",
        "keywords",
        "messages",
        "progress",
        "random",
        "regularizers",
        "registration",
        "seeds",
        "timing",
        "usage",
        "wrapping",
    },
    # The network as data, and what follows from it.
    {"network.formula", "network.window"},
    {"network.facts"},
    {"arrays"},
    {"network.initialize"},
    {"compiler.ir"},
    {"layers"},
    {"activations", "network"},
    {"ops"},
    {"backend"},
    {"reference", "data", "model.inputs"},
    # From the graph to machine code, and what runs it.
    {"compiler"},
    {"losses", "metrics", "optimizers"},
    {"runtime"},
    # Files, models, training.
    {"data.formats", "model.predict_loop", "training"},
    {"model"},
    {"models"},
    {"onnx_backend"},
    {"trained"},
    {"callbacks", "config", "datasets", "saving"},
    {"utils"},
    {"applications"},
    {"networks"},
    {"preprocessing"},
    # The user's tools.
    {"classification"},
    {"pictures", "transfer"},
    {"predictions"},
    {"explain"},
    {"compare"},
    {"distributed"},
    {"bench"},
    {"cli"},
    {"__main__"},
]
"""Each file or folder of the package, the foundation first. What stands in one level may import from it and from those above."""

LAZY_UPWARD = {
    ("initializers", "network.initialize"): "a description that is called draws an array, as in Keras",
    ("layers", "network"): "layers.Input, which Keras has there too",
    ("layers", "data.formats"): "layer.get_config() and from_config() write and read as files do",
    ("layers", "models"): "a layer called on an array computes, with a model of this layer alone",
    ("layers", "model"): "the same; and which layers may be called with training=False",
    ("model", "explain"): "model.explain(…) and how a model shows itself in a notebook",
}
"""Imports inside functions that go up, each with its reason."""

STANDARD_LIBRARY_ONLY = {
    "arguments",
    "errors",
    "initializers",
    "layers",
    "compiler.ir",
    "messages",
    "network",
    "network.facts",
    "network.formula",
    "network.window",
}
LONGEST_FUNCTION = 60
LONGEST_FILE = 500


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name within it."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """What a file imports, as (name with `depthwise.`, whether inside a function); imports for the type checker aside."""

    def visit(node: ast.AST, in_function: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, in_function) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                yield from ((f"{child.module}.{alias.name}", in_function) for alias in child.names)
            inner = in_function or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from visit(child, inner)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


def own_module(name: str) -> str | None:
    """The module of the package that an imported name comes from; None for the package itself and for other packages."""
    if not name.startswith("depthwise."):
        return None
    inner = name.removeprefix("depthwise.")
    while inner and inner not in MODULES:
        inner = inner.rpartition(".")[0]
    return inner or None


def unit(module: str) -> str:
    """The entry of `LEVELS` that a module belongs to: the longest one that it starts with."""
    parts = module.split(".")
    listed = {name for level in LEVELS for name in level}
    heads = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((head for head in heads if head in listed), parts[0])


def level_of(name: str) -> int:
    return next(index for index, level in enumerate(LEVELS) if name in level)


def test_every_file_and_folder_has_exactly_one_level() -> None:
    listed = [name for level in LEVELS for name in level]
    assert len(listed) == len(set(listed))
    assert set(listed) == {unit(module) for module in MODULES if module != "__init__"}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_imports_go_one_way(module: str) -> None:
    own = unit(module)
    wrong = []
    for name, in_function in imports(MODULES[module]):
        target = own_module(name)
        if target is None or unit(target) == own or level_of(unit(target)) <= level_of(own):
            continue
        if not (in_function and (own, unit(target)) in LAZY_UPWARD):
            wrong.append(target)
    assert not wrong, f"{module} imports from above: {wrong}"


def test_every_exception_is_needed() -> None:
    used = {
        (unit(module), unit(target))
        for module, path in MODULES.items()
        for name, in_function in imports(path)
        if in_function and (target := own_module(name)) and module != "__init__"
    }
    assert set(LAZY_UPWARD) <= used


def test_no_circles() -> None:
    reads = {
        module: {target for name, in_function in imports(path) if not in_function and (target := own_module(name))}
        - {module}
        for module, path in MODULES.items()
        if module != "__init__"
    }
    done: set[str] = set()
    while True:
        ready = {module for module, targets in reads.items() if module not in done and targets <= done}
        if not ready:
            break
        done |= ready
    assert set(reads) == done, f"modules that import each other: {sorted(set(reads) - done)}"


def test_functions_are_short() -> None:
    """Their statements: signature and docstring, which Keras' many arguments make long, do not count."""
    long: dict[str, int] = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > LONGEST_FUNCTION:
                    long[f"{module}.{node.name}"] = lines
    assert long == {}


@pytest.mark.parametrize("name", sorted(STANDARD_LIBRARY_ONLY))
def test_descriptions_need_the_standard_library_only(name: str) -> None:
    for module, path in MODULES.items():
        if unit(module) == name:
            foreign = {
                imported.partition(".")[0]
                for imported, in_function in imports(path)
                if not in_function and imported.partition(".")[0] not in {*sys.stdlib_module_names, "depthwise"}
            }
            assert not foreign, f"{module} imports {foreign}"


def test_files_are_short() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: length for module, length in lengths.items() if length > LONGEST_FILE} == {}


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by name alone."""
    names = [path.name for path in Path(__file__).resolve().parent.rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
