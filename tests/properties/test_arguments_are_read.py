"""No argument is accepted and ignored: what a public callable takes is read, or refused."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import depthwise

CHANGE_NOTHING = {
    "Dataset.batch": ["num_parallel_calls"],
    "Dataset.map": ["deterministic", "num_parallel_calls"],
    "Dataset.prefetch": ["buffer_size"],
    "Input": ["batch_size"],
    "Sequential.add": ["rebuild"],
    "Sequential.pop": ["rebuild"],
    "Trainable.compile": ["auto_scale_loss", "jit_compile", "run_eagerly", "steps_per_execution"],
    "apply_channel_shift": ["channel_axis"],
    "load_model": ["safe_mode"],
    "plot_model": ["dpi"],
    "preprocess_input": ["data_format"],
    "split_dataset": ["preferred_backend"],
}
"""Arguments of Keras about what is not there: devices, tracing, code in files. Each docstring says so."""


def public_modules() -> Iterator[tuple[str, Any]]:
    """(name, module) of everything that users import from."""
    yield "depthwise", depthwise
    for name in depthwise.__all__:
        value = getattr(depthwise, name)
        if inspect.ismodule(value):
            yield f"depthwise.{name}", value
            for inner in getattr(value, "__all__", ()):
                if inspect.ismodule(getattr(value, inner)):
                    yield f"depthwise.{name}.{inner}", getattr(value, inner)


def functions_of(value: Any) -> Iterator[tuple[str, Any]]:
    """A function itself; of a class, its constructor and public methods, those of its bases too."""
    if inspect.isfunction(value):
        yield value.__qualname__, value
    if inspect.isclass(value):
        described = getattr(value, "description_class", value)  # a layer's and an optimizer's arguments work there
        for base in dict.fromkeys((*value.__mro__, *described.__mro__)):
            for name, member in vars(base).items():
                plain = member.fset if isinstance(member, property) else getattr(member, "__func__", member)
                public = not name.startswith("_") or name in ("__init__", "__call__")
                if public and inspect.isfunction(plain) and plain.__module__.startswith("depthwise"):
                    yield plain.__qualname__, plain


def public_functions() -> dict[str, Any]:
    """Every function and method that users can call, by its module and name."""
    found: dict[str, Any] = {}
    for _, module in public_modules():
        for name in getattr(module, "__all__", ()):
            for qualified, function in functions_of(getattr(module, name)):
                found[f"{function.__module__}.{qualified}"] = function
    return found


def written(function: Any) -> tuple[ast.FunctionDef, list[ast.stmt]] | None:
    """The definition and what it does; None where it only raises, is empty, or is a dataclass' own constructor."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function.__code__))).body[0]
    except OSError:
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    return None if all(isinstance(item, (ast.Raise, ast.Pass)) for item in body) else (tree, body)


def unread(function: Any) -> list[str]:
    """Parameters whose names the body does not have."""
    found = written(function)
    if found is None:
        return []
    tree, body = found
    names = {node.id for item in body for node in ast.walk(item) if isinstance(node, ast.Name)}
    if "locals" in names:
        return []
    arguments = tree.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [item.arg for item in every if item is not None and item.arg not in {*names, "self", "cls"}]


FUNCTIONS = public_functions()


def owner_of(function: Any) -> Any:
    """The class that a method is written in; None of a function."""
    owner: Any = inspect.getmodule(function)
    for part in function.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part, None)
    return owner if inspect.isclass(owner) else None


def first_definer(owner: Any, name: str) -> Any:
    """The base whose method of this name all others override: its arguments are what a caller gives."""
    return [base for base in owner.__mro__ if name in vars(base)][-1]


def test_parameters_are_read() -> None:
    """One that every override of a method leaves unread is not read; hooks that their base leaves empty are called so."""
    read_by: dict[tuple[Any, str], list[set[str]]] = {}
    for function in FUNCTIONS.values():
        owner, name = owner_of(function), function.__name__
        key = (function if owner is None or name == "__init__" else first_definer(owner, name), name)
        read_by.setdefault(key, []).append(set(unread(function)))
    for owner, name in list(read_by):
        base = getattr(owner, name, None) if inspect.isclass(owner) else None
        if inspect.isfunction(base) and written(base) is None:
            del read_by[owner, name]
    found = {
        getattr(owner, name, owner).__qualname__: sorted(missing)
        for (owner, name), each in read_by.items()
        if (missing := set.intersection(*each))
    }
    assert found == CHANGE_NOTHING


def test_docstrings_name_what_changes_nothing() -> None:
    by_name = {function.__qualname__: function for function in FUNCTIONS.values()}
    for name, arguments in CHANGE_NOTHING.items():
        for argument in arguments:
            assert argument in (by_name[name].__doc__ or ""), (name, argument)
