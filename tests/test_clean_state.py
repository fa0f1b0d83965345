"""No test depends on another: each starts from the same state, and its data are its own."""

import ast
import os
import random
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import depthwise
from depthwise.compiler.native import cache
from support import clean_state

TESTS = Path(__file__).resolve().parent
GENERATORS = ("default_rng", "Generator", "RandomState", "Random", "SeedGenerator")


def _drawn() -> list[object]:
    """What a test's data may come from."""
    model = depthwise.Sequential([depthwise.layers.Dense(3, input_shape=(2,))])
    return [
        random.random(),
        np.random.rand(),
        model.get_weights()[0].tolist(),
        np.asarray(keras.layers.Dense(3).build((None, 2)) or keras.random.uniform((2,))).tolist(),
        keras.layers.Dense(3).name,
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        keras.config.dtype_policy().name,
        sorted(keras.saving.get_custom_objects()),
        sorted(depthwise.saving.get_custom_objects()),
        depthwise.get_threads(),
        {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        os.getcwd(),
        set(cache._already_said),
    ]


def _disturb(folder: Path) -> None:
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(1e-3)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    keras.saving.get_custom_objects()["mine"] = depthwise.saving.get_custom_objects()["mine"] = len
    depthwise.set_threads(depthwise.get_threads() + 1)
    os.environ["DEPTHWISE_THREADS"] = "5"
    os.environ["LC_ALL"] = "zh_CN.UTF-8"
    del os.environ["KERAS_BACKEND"]
    os.chdir(folder)
    cache._already_said.add("that the folder is full")


def test_every_test_starts_from_the_same_state(tmp_path: Path) -> None:
    clean_state.reset()
    expected = _drawn()
    _disturb(tmp_path)
    assert [a == b for a, b in zip(expected, _drawn())] == [False] * len(expected)
    clean_state.reset()
    assert _drawn() == expected


def test_a_folder_that_is_gone_is_left(tmp_path: Path) -> None:
    before = os.getcwd()
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    clean_state.reset()
    assert os.getcwd() == before


def test_what_is_made_in_the_middle_of_a_test_does_not_change_what_it_draws() -> None:
    clean_state.reset()
    expected = [_drawn()[:5] for _ in range(2)]
    clean_state.reset()
    found = [_drawn()[:5]]
    with clean_state.clean_state():
        assert _drawn()[:5] == expected[0]
    found.append(_drawn()[:5])
    assert found == expected


def _shared_generators(tree: ast.Module) -> set[str]:
    """Names at the top of a file that are generators of random numbers."""
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call):
            maker = ast.unparse(node.value.func).rpartition(".")[2]
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if maker in GENERATORS:
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def _draws_from_shared_generators(tree: ast.Module, shared: set[str]) -> Iterator[str]:
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        name = getattr(function, "name", "lambda")
        body = [function.body] if isinstance(function, ast.Lambda) else function.body
        for node in (inner for statement in body for inner in ast.walk(statement)):
            if isinstance(node, ast.Name) and node.id in shared:
                yield f"{name} (line {node.lineno}) draws from {node.id}"
        defaults = [*function.args.defaults, *(item for item in function.args.kw_defaults if item is not None)]
        for default in defaults:
            if isinstance(default, ast.Call) and ast.unparse(default.func).rpartition(".")[2] in GENERATORS:
                yield f"{name} (line {default.lineno}) has a generator as a default"


def _trees() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(TESTS)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(TESTS.rglob("*.py"))
    }


def test_no_test_draws_from_a_generator_that_others_draw_from() -> None:
    """It would get other numbers when other tests run before it: take the fixture `rng`, or make a generator."""
    trees = _trees()
    shared = {path: _shared_generators(tree) for path, tree in trees.items()}
    everywhere = set().union(*shared.values())
    found = []
    for path, tree in trees.items():
        imported = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.name in everywhere
        }
        found += [f"{path}: {fault}" for fault in _draws_from_shared_generators(tree, shared[path] | imported)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "RNG = np.random.default_rng(1)\ndef test() -> None:\n    x = RNG.random()",
        "R: random.Random = random.Random(1)\ndef help():\n    def inner():\n        return R.random()\n",
        "def test(rng=np.random.default_rng(0)): pass",
        "RNG = default_rng(1)\nf = lambda: RNG.random()",
    ],
)
def test_such_draws_are_found(text: str) -> None:
    tree = ast.parse(text)
    assert list(_draws_from_shared_generators(tree, _shared_generators(tree)))
