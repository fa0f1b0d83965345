"""What `compile` asks of each output: its loss, how much that counts, its metrics. Lists and dicts are read as Keras reads them.

An output is called what Keras calls it: by its key where the model returns a dict, else after the layer that computes it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from depthwise import losses
from depthwise import metrics as metric_names
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.losses import Loss
from depthwise.metrics import Metric
from depthwise.network.facts import Shape
from depthwise.network.graph import Graph
from depthwise.network.tree import tree_of

__all__ = ["TrainedOutput", "loss_structure", "names_of_outputs", "trained_outputs"]


@dataclass(frozen=True)
class TrainedOutput:
    """One output of the network, and what training and evaluation compute from it.

    Attributes:
        name: see the module.
        shape: of one sample.
        loss: None where the output has no share in what training minimises.
        weight: what the loss counts for in the sum of all losses.
        metrics, weighted_metrics: evaluated without and with the sample weights.
        place: number of its loss among those that the logs name, in Keras' order.
    """

    name: str
    shape: Shape
    loss: Loss | None
    weight: float = 1.0
    metrics: tuple[Metric, ...] = ()
    weighted_metrics: tuple[Metric, ...] = ()
    place: int = 0

    @property
    def needs_labels(self) -> bool:
        """Whether anything is computed from its labels."""
        return self.loss is not None or bool(self.metrics or self.weighted_metrics)

    @property
    def sparse(self) -> bool:
        """Whether its labels are class numbers."""
        if self.loss is not None:
            return self.loss.sparse
        return any(metric.labels == "sparse" for metric in (*self.metrics, *self.weighted_metrics))


def names_of_outputs(graph: Graph) -> tuple[str, ...]:
    """What Keras calls the network's outputs; two of one layer have the same name."""
    tree = tree_of(graph)
    return tree.output_keys or tuple(port.member for port in tree.outputs)


def loss_structure(loss: Any) -> Any:
    """What was given as `loss`, with a description in place of every name, class and configuration.

    Raises:
        InvalidArgumentError: an unknown loss.
    """
    if loss is None:
        return None
    if isinstance(loss, (list, tuple)):
        return [loss_structure(item) for item in loss]
    if isinstance(loss, Mapping) and "class_name" not in loss:  # with one, it is a loss as a .keras file has it
        return {name: loss_structure(item) for name, item in loss.items()}
    return losses.get(loss)


def trained_outputs(
    graph: Graph, loss: Any, loss_weights: Any = None, metrics: Any = None, weighted_metrics: Any = None
) -> tuple[TrainedOutput, ...]:
    """One for each of the network's outputs.

    Args:
        graph: the network.
        loss: what `loss_structure` gives.
        loss_weights, metrics, weighted_metrics: as `compile` takes them.

    Raises:
        InvalidArgumentError: lists or dicts that do not fit the outputs, or a metric that does not fit its loss.
        ShapeError: an output that its loss cannot read; the message says which layers to add.
    """
    names, shapes = names_of_outputs(graph), graph.output_shapes
    own = _losses(graph, names, loss)
    weights = _weights(names, loss, loss_weights)
    found = []
    for name, shape, item in zip(names, shapes, own):
        if item is not None:
            _check(item, shape, name if len(names) > 1 else None)
    unweighted, weighted = (
        [
            [_metric(item, each, shape, name) for item in group]
            for name, shape, each, group in zip(names, shapes, own, of)
        ]
        for of in (_metrics(names, metrics, "metrics"), _metrics(names, weighted_metrics, "weighted_metrics"))
    )
    order = list(loss) if tree_of(graph).output_keys and isinstance(loss, Mapping) else list(names)
    for number, (name, shape) in enumerate(zip(names, shapes)):
        place = order.index(name) if own[number] is not None else 0
        found.append(
            TrainedOutput(
                name, shape, own[number], weights[number], tuple(unweighted[number]), tuple(weighted[number]), place
            )
        )
    return tuple(found)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(describe_value(name) for name in names)


def _losses(graph: Graph, names: Sequence[str], loss: Any) -> list[Loss | None]:
    """The loss of every output."""
    if isinstance(loss, Mapping):
        unknown = [name for name in loss if name not in names]
        missing = [name for name in names if name not in loss and not tree_of(graph).output_keys]
        if unknown or missing:
            raise InvalidArgumentError(
                f"compile: loss is given for {_shown(list(loss)) or 'no output'}, but the model's outputs are {_shown(names)}; "
                "give a loss for each of these, None for one that is not trained"
            )
        return [loss.get(name) for name in names]
    if isinstance(loss, list):
        if len(loss) != len(names):
            raise InvalidArgumentError(
                f"compile: loss is a list of {len(loss)}, but the model has {_count(names)}; give a loss for each, None for "
                "one that is not trained"
            )
        return list(loss)
    return [loss] * len(names)


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} output{'' if len(names) == 1 else 's'} ({_shown(names)})"


def _weights(names: Sequence[str], loss: Any, given: Any) -> list[float]:
    """What the loss of every output counts."""
    if given is None:
        return [1.0] * len(names)
    if isinstance(given, Mapping):
        if set(given) != set(loss if isinstance(loss, Mapping) else names):
            raise InvalidArgumentError(
                f"compile: loss_weights are given for {_shown(list(given)) or 'no output'}, but the model's outputs are "
                f"{_shown(names)}; give a number for each output that has a loss"
            )
        return [_number(given.get(name, 1.0)) for name in names]
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    if isinstance(loss, Mapping) and len(values) == len(loss):
        by_name = dict(zip((name for name in names if name in loss), values))
        return [_number(by_name.get(name, 1.0)) for name in names]
    if len(values) == 1 and not isinstance(loss, (list, Mapping)):
        values *= len(names)  # one loss for every output, and one weight
    if len(values) != len(names):
        raise InvalidArgumentError(
            f"compile: loss_weights must be a number for each output, got {describe_value(given)} for {_count(names)}"
        )
    return [_number(value) for value in values]


def _number(value: Any) -> float:
    if value is None:
        return 1.0
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__") or not math.isfinite(float(value)):
        raise InvalidArgumentError(f"compile: loss_weights must be finite numbers, got {describe_value(value)}")
    return float(value)


def _metrics(names: Sequence[str], given: Any, argument: str) -> list[list[Any]]:
    """The metrics of every output, as they were given."""
    if given is None or (isinstance(given, (list, tuple, Mapping)) and not given):
        return [[] for _ in names]
    if not isinstance(given, (list, tuple, Mapping)):
        raise InvalidArgumentError(
            f"compile: {argument} must be a list, for example ['accuracy'], got {describe_value(given)}"
        )
    if len(names) == 1:
        return [flat_metrics(given)]
    if isinstance(given, Mapping) and set(given) <= set(names):
        return [flat_metrics(given.get(name)) for name in names]
    if not isinstance(given, Mapping) and len(given) == len(names):
        return [flat_metrics(item) for item in given]
    got = f"a dict for {_shown(list(given))}" if isinstance(given, Mapping) else f"a list of {len(given)}"
    raise InvalidArgumentError(
        f"compile: {argument} is {got}, but the model has {_count(names)}; give a list with the metrics of each output, or a "
        "dict by these names"
    )


def flat_metrics(given: Any) -> list[Any]:
    """The metrics of one output: one, a list of them, or None."""
    if given is None:
        return []
    if isinstance(given, (list, tuple)):
        return [metric for item in given for metric in flat_metrics(item)]
    if isinstance(given, Mapping) and "class_name" not in given:
        return [metric for item in given.values() for metric in flat_metrics(item)]
    return [given]


def _metric(identifier: Any, loss: Loss | None, shape: Shape, name: str) -> Metric:
    """The metric that `identifier` means for an output: what "accuracy" is follows from the loss."""
    if loss is not None:
        return metric_names.resolve(identifier, loss, shape[-1])
    if not (isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc")):
        return metric_names.get(identifier)
    if shape[-1] > 1:
        raise InvalidArgumentError(
            f"compile: the output {describe_value(name)} has no loss, so it is not known which labels {describe_value(identifier)}"
            " compares; use 'sparse_categorical_accuracy' or 'categorical_accuracy'"
        )
    return metric_names.resolve(identifier, losses.MeanSquaredError(), 1)


def _check(loss: Loss, shape: Shape, name: str | None) -> None:
    """Whether an output can be trained with the loss at all."""
    if not isinstance(loss, Loss):
        raise InvalidArgumentError(f"compile: each output has one loss, got {describe_value(loss)}")
    if loss.probabilities == "softmax" and shape[-1] < 2:
        what = "the network has one output" if name is None else f"the output {describe_value(name)} has one value"
        where = "" if len(shape) == 1 else " at each position"
        raise ShapeError(
            f"{type(loss).__name__} needs at least two classes, but {what}{where}; use loss='binary_crossentropy' with a "
            "sigmoid, or more outputs"
        )
