"""What `dir` and `help` show of the public modules: their names and nothing else, and docstrings with every argument."""

import importlib
import inspect
import re
from typing import Any

import pytest

import depthwise
from depthwise import callbacks, datasets, layers, losses, metrics, models, optimizers
from depthwise.layers.documentation import SHEETS
from depthwise.training.history import History

MODULES = (
    "", "activations", "applications", "backend", "callbacks", "config", "constraints", "data", "datasets", "errors", "initializers",
    "layers", "losses", "metrics", "models", "networks", "onnx_backend", "ops", "optimizers", "optimizers.schedules", "preprocessing",
    "preprocessing.image", "random", "regularizers", "saving", "transfer", "utils",
)  # fmt: skip

USED = (
    "build", "compile", "evaluate", "explain", "export", "fit", "from_config", "get_layer", "load_weights", "predict",
    "predict_on_batch", "save", "save_weights", "summary", "test_on_batch", "train_on_batch",
)  # fmt: skip
"""The methods of a model that users call."""


def module_of(name: str) -> Any:
    return importlib.import_module(f"depthwise.{name}".rstrip("."))


def parameters(item: Any) -> list[str]:
    try:
        given = inspect.signature(item).parameters.values()
    except ValueError:  # a class of data whose constructor is a built-in one
        return []
    return [one.name for one in given if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) and one.name != "self"]


def unnamed(item: Any) -> list[str]:
    """The parameters that a docstring does not name."""
    text = inspect.getdoc(item) or ""
    return [name for name in parameters(item) if not re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize("name", MODULES)
def test_dir_shows_the_public_names_only(name: str) -> None:
    module = module_of(name)
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, item) for item in dir(module))


@pytest.mark.parametrize("name", MODULES)
def test_every_argument_is_in_the_docstring(name: str) -> None:
    module = module_of(name)
    lacking = {}
    for key in module.__all__:
        item = getattr(module, key)
        own = str(getattr(inspect.unwrap(item), "__module__", "")).startswith("depthwise") if callable(item) else False
        if not own:  # a dict, or a function of NumPy, which `ops` has
            continue
        if not (item.__doc__ or "").strip():
            lacking[key] = ["a docstring"]
        elif missing := unnamed(item):
            lacking[key] = missing
    assert lacking == {}


@pytest.mark.parametrize("owner", [models.Model, models.Sequential])
def test_the_methods_of_a_model_describe_their_arguments(owner: Any) -> None:
    assert {name: missing for name in USED if (missing := unnamed(getattr(owner, name)))} == {}


@pytest.mark.parametrize(
    "owner",
    [models.Model, models.Sequential, layers.Dense, optimizers.SGD, metrics.Mean, losses.Huber, callbacks.Callback],
)
def test_properties_say_what_they_are(owner: Any) -> None:
    bare = [
        name
        for name, item in inspect.getmembers(owner)
        if isinstance(item, property) and name[0] != "_" and not item.__doc__
    ]
    assert bare == []


def test_every_layer_shows_shapes_and_an_example() -> None:
    """That the examples run is for `test_documents.py`, which finds them in the docstrings."""
    assert set(SHEETS) == set(layers.LAYERS) - {"InputLayer"}
    for name, sheet in SHEETS.items():
        text = getattr(layers, name).__doc__
        arguments, _, rest = text.partition("\nInput shape:\n")
        assert "\nOutput shape:\n" in rest, name
        assert f">>> layer = layers.{name}({sheet.arguments})" in rest, name
        assert bool(sheet.parameters) == bool(sheet.example[2]) == ("\nNumber of parameters:\n" in rest), name
        entries = re.findall(r"^    ([\w, ]+):", arguments.partition("Args:\n")[2], re.MULTILINE)
        named = [part for entry in entries for part in re.split(r",\s*", entry)]
        assert named == parameters(getattr(layers, name)), name


def test_help_of_fit_reads_like_keras() -> None:
    text = inspect.getdoc(models.Model.fit) or ""
    for part in ("Args:\n", "Returns:\n", "Raises:\n", ">>> "):
        assert part in text


def test_reprs_say_something() -> None:
    history = History()
    assert repr(history) == "<History of 0 epochs>"
    history.on_epoch_end(0, {"loss": 0.25, "accuracy": 0.5})
    assert repr(history) == "<History of 1 epochs: loss=0.25, accuracy=0.5>"
    history.on_epoch_end(1, {"loss": 0.125, "accuracy": [0.5, 1.0], "a\x1b": 1.0})
    assert repr(history) == "<History of 2 epochs: loss=0.125, accuracy=0.75, 'a\\x1b'=1>"
    model = models.Sequential([layers.Dense(2, input_shape=(3,), name="last")], name="small")
    things = [model, model.layers[0], model.explain(), model.explain("last"), losses.get("mse"), optimizers.get("adam")]
    things += [metrics.get("accuracy"), model.inputs[0], callbacks.EarlyStopping(), callbacks.CSVLogger("log.csv")]
    assert [repr(thing) for thing in things if re.search(r" object at 0x", repr(thing))] == []
    hostile = models.Sequential([layers.Dense(2, input_shape=(3,))], name="a\x1b[31m")
    assert repr(hostile.explain()) == "<Explanation of a\\x1b[31m>"
    assert repr(model.explain("last", (1,))) == "<Explanation of small, layer last, cell (1,)>"


def test_every_public_module_is_an_attribute() -> None:
    for name in depthwise.__all__:
        assert getattr(depthwise, name) is not None
    assert datasets.mnist.load_data.__doc__
