"""What `.keras` files say about training: optimizer, loss, metrics, and what the optimizer has learnt.

In the file the optimizer's state is a list without names: the steps done, the learning rate where it is a number, then arrays
for each trainable weight, in the order in which Keras' optimizer makes them.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthwise.configuration import serialized
from depthwise.data.formats.hdf5 import File
from depthwise.data.formats.hdf5_write import Group
from depthwise.data.formats.layer_config import check_module, check_shown
from depthwise.data.formats.legacy_state import LegacyState
from depthwise.data.formats.saved import SavedNetwork
from depthwise.errors import DepthwiseError, UnsupportedError, describe_value
from depthwise.network.graph import Graph

if TYPE_CHECKING:
    from depthwise.optimizers import Optimizer
    from depthwise.training.compiled import Compiled

__all__ = ["config_of", "read", "state_of"]

STATE = "optimizer/vars"
SCALE_VARIABLES = 4
"""What a LossScaleOptimizer keeps before the variables of the optimizer inside it."""


def config_of(network: SavedNetwork) -> dict[str, Any]:
    """The compilation as Keras serialises it; empty where the network is not compiled."""
    compiled = network.training
    if compiled is None:
        return {}
    optimizer = compiled.optimizer
    return {
        "optimizer": serialized("keras.optimizers", type(optimizer).__name__, optimizer.get_config()),
        "loss": _structure(compiled.loss, _loss),
        "loss_weights": _structure(compiled.loss_weights, float),
        "metrics": _structure(compiled.metrics, _metric) or None,
        "weighted_metrics": _structure(compiled.weighted_metrics, _metric) or None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": "auto",
    }


def _structure(value: Any, item: Callable[[Any], Any]) -> Any:
    """Lists and dicts as they are, with what `item` makes of everything in them."""
    if isinstance(value, (list, tuple)):
        return [_structure(each, item) for each in value]
    if isinstance(value, Mapping) and "class_name" not in value:
        return {name: _structure(each, item) for name, each in value.items()}
    return None if value is None else item(value)


def _loss(loss: Any) -> Any:
    if loss.handed_over:
        return _function(loss.value, loss.name)
    return serialized("keras.losses", type(loss).__name__, loss.get_config())


def _metric(metric: Any) -> Any:
    from depthwise.losses import Loss  # there already: the network is compiled

    if isinstance(metric, str):
        return metric
    if isinstance(metric, dict):  # as a file had it
        return serialized("keras.metrics", str(metric.get("class_name")), metric.get("config"))
    if inspect.isroutine(metric):
        return _function(metric)
    if isinstance(metric, type):
        metric = metric()
    if isinstance(metric, Loss):
        return _loss(metric)
    own = getattr(metric, "fn", None)
    if own is not None:
        return _loss(own) if isinstance(own, Loss) else _function(own)
    return serialized("keras.metrics", type(metric).__name__, metric.get_config())


def _function(function: Any, name: str | None = None) -> Any:
    """A function by its name: those of `losses` and `metrics` are known by it, others are not in the file."""
    name = name or str(getattr(function, "__name__", type(function).__name__))
    if str(getattr(function, "__module__", "")).startswith("depthwise."):
        return name
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}


def state_of(network: SavedNetwork) -> dict[str, Group]:
    """The group of the optimizer's state; nothing where the network is not compiled."""
    compiled = network.training
    if compiled is None:
        return {}
    optimizer: Optimizer = compiled.optimizer
    arrays: list[NDArray[Any]] = [np.array(optimizer.steps, dtype=np.int32)]
    if not optimizer.has_schedule:
        arrays.append(np.array(optimizer.learning_rate, dtype=np.float32))
    initial = {**optimizer.description.initial, **optimizer.description.numbers}
    for name, shape in _slots(optimizer, network.graph):
        first = np.full(shape, initial.get(name.rpartition("/")[2], 0.0))
        arrays.append(np.asarray(optimizer.state.get(name, first), dtype=np.float32).reshape(shape))
    members: dict[str, Any] = {str(index): array for index, array in enumerate(arrays)}
    return {"optimizer": Group({"vars": Group(members, name=optimizer.name)})}


def _slots(optimizer: "Optimizer", graph: Graph) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape) of every array of the state, in Keras' order."""
    weights = {
        call.key(weight.name): weight.shape
        for call in graph.layers.values()
        for weight in call.weights
        if weight.trainable
    }
    return optimizer.description.slots_in_order(weights)


def read(config: Any, file: File, graph: Graph, stacklevel: int = 4, legacy: bool = False) -> "Compiled | None":
    """What the file says of training, with what the optimizer had learnt.

    What Depthwise does not have gives None, with a warning that names it.

    Args:
        config: Keras 3's `compile_config`.
        file: where the optimizer's state is.
        graph: the network.
        stacklevel: of the warning.
        legacy: the state is kept as in an older `.h5` file.
    """
    from depthwise.training.compiled import Compiled  # not before a file is compiled

    try:
        if not isinstance(config, dict):
            raise UnsupportedError(f"the compilation is {describe_value(config)}")
        compiled = Compiled(
            optimizer=_described(config.get("optimizer"), "the optimizer"),
            loss=_read(config.get("loss"), "the loss"),
            loss_weights=_read(config.get("loss_weights"), "loss_weights"),
            metrics=_metrics(config.get("metrics")),
            weighted_metrics=_metrics(config.get("weighted_metrics")),
        )
        compiled.metric_set(graph)
        optimizer = compiled.optimizer
        slots = list(_slots(optimizer, graph))
        state = LegacyState(file, optimizer.has_schedule, slots) if legacy else file
        is_scaled = _class_of(config.get("optimizer")) == "LossScaleOptimizer"
        reason = _restore_state(optimizer, state, slots, SCALE_VARIABLES if is_scaled else 0)
        if reason:
            warnings.warn(f"{file.what}: the optimizer starts afresh: {reason}", stacklevel=stacklevel)
        return compiled
    except (DepthwiseError, TypeError, ValueError, OverflowError) as error:
        reason = str(error) if isinstance(error, DepthwiseError) else "an option has a wrong type"
        warnings.warn(
            f"{file.what}: the model is loaded but not compiled: {reason}; call compile before fit or evaluate",
            stacklevel=stacklevel,
        )
        return None


def _metrics(value: Any) -> Any:
    if value is not None and not isinstance(value, (list, dict)):
        raise UnsupportedError(f"metrics must be a list or a dict, got {describe_value(value)}")
    return _read(value, "a metric")


def _read(value: Any, what: str) -> Any:
    """Lists and dicts of what `_described` reads; a tuple is written as an object with items."""
    if isinstance(value, dict) and value.get("class_name") == "__tuple__" and isinstance(value.get("items"), list):
        value = value["items"]
    if isinstance(value, list):
        return [_read(item, what) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _read(item, what) for name, item in value.items()}
    return _described(value, what)


def _described(value: Any, what: str) -> Any:
    """A name, or `{"class_name": …, "config": …}` of one of Keras' own classes, its learning rate included."""
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "function":
        from depthwise import losses, metrics  # not before a file is compiled

        name = str(value.get("config"))
        if not hasattr(losses, name) and not hasattr(metrics, name) and name not in metrics.CLASSES:
            raise UnsupportedError(
                f"{what} {describe_value(name)} is a Python function, which a file does not hold: give it to compile again"
            )
        return name
    check_module(value, what)
    options = value.get("config")
    if isinstance(options, dict):
        for inner in options.values():
            if isinstance(inner, dict):
                check_module(inner, what)
        check_shown(options.get("name"), f"the name of {what}")
        # A metric's type of numbers: as for losses, float32 is the only one.
        options = {key: item for key, item in options.items() if key != "fn"}
    return {"class_name": value.get("class_name"), "config": options}


def _class_of(value: Any) -> Any:
    return value.get("class_name") if isinstance(value, dict) else value


def _restore_state(
    optimizer: "Optimizer", file: File | LegacyState, slots: Sequence[tuple[str, tuple[int, ...]]], skipped: int = 0
) -> str:
    """Gives the optimizer what the file keeps for `slots`; the result says why it cannot, "" if it can.

    Raises:
        UnsupportedError: the arrays are those of other weights.
    """
    members = file.group(STATE) if file.group("optimizer") else None
    first = skipped + (1 if optimizer.has_schedule else 2)
    if not members or len(members) <= first < first + len(slots):
        return ""  # saved before the first step
    if isinstance(file, LegacyState) and file.refusal:
        return file.refusal
    if sorted(members) != sorted(str(index) for index in range(first + len(slots))):
        return (
            f"of the arrays that it had learnt the file has {len(members) - first}, {type(optimizer).__name__} with these arguments "
            f"keeps {len(slots)}"
        )
    state: dict[str, NDArray[Any]] = {}
    for index, (name, shape) in enumerate(slots, first):
        dataset = file.dataset(f"{STATE}/{index}")
        fits = dataset is not None and dataset.shape == shape
        # Of a weight with one axis Adafactor in Keras keeps the integer 0.
        if (
            dataset is None
            or not fits
            or not (dataset.dtype == np.float32 or (shape == () and dataset.dtype.kind in "iu"))
        ):
            raise UnsupportedError(f"the optimizer's state {describe_value(name)} does not have the shape {shape}")
        state[name] = dataset.read().astype(np.float32, copy=False)
    if isinstance(file, LegacyState) and not file.counts_steps:
        optimizer.keep(state)
        return ""
    steps = file.dataset(f"{STATE}/{skipped}")
    if steps is None or steps.shape != () or steps.dtype.kind not in "iu":
        raise UnsupportedError("the number of steps done is not one integer")
    optimizer.keep({**state, "iteration": np.asarray(int(steps.read()), dtype=np.int64)})
    return ""
