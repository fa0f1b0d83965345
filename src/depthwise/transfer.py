"""A trained network for classes of your own: its body stays, its head is made new and learns them.

The body is run once for each image, not once for each pass over them: what it gives is kept, and the head, which is small, trains on
that. Afterwards the whole may be fine-tuned at a low rate.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.classification import class_loss
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, InvalidDataError, UnsupportedError, describe_value
from depthwise.layers.activation import Activation, ReLU
from depthwise.layers.convolution import Conv2D
from depthwise.layers.dense import Dense
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.layers.layer import Layer
from depthwise.layers.normalization import BatchNormalization
from depthwise.layers.regularization import Dropout
from depthwise.layers.reshaping import Reshape
from depthwise.layers.shaping import Flatten
from depthwise.layers.softmax import Softmax
from depthwise.model.inputs import is_batches
from depthwise.models import Model, Sequential
from depthwise.network.graph import Call, Graph, LayerPath
from depthwise.network.symbolic import Input
from depthwise.optimizers import Adam
from depthwise.usage import Usage, checked_names

__all__ = ["CHUNK", "FINE_TUNING", "MEMORY", "features", "fine_tuned", "new_head", "retrain_head", "split"]

MEMORY = 2**30
"""Bytes of what the body gives that are kept in memory; more goes to a file that nobody sees."""

FINE_TUNING = 0.01
"""The rate of fine-tuning, as a share of that of the head."""

CHUNK = 256
"""Images that the body is given at once."""

_OF_HEADS = (Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, ReLU, Reshape, Softmax)

Float32 = NDArray[np.float32]


def new_head(model: Any, classes: int | Sequence[str]) -> Model:
    """A copy of a classifier with another number of classes: the layers at its end are new, the others keep their weights.

    New are the last layer with weights, which gets a unit for each class and softmax, and the dense layers before it, back to the
    pooling or flattening, where they together have fewer weights than the body. Models inside are put in their place.

    Args:
        model: a `depthwise.Model` with one input and one output, which ends with Dense layers, or with 1×1 convolutions after global
            pooling.
        classes: how many, at least 2; or their names, which become the model's `class_names`.

    Raises:
        UnsupportedError: the network ends with something else.
        InvalidArgumentError: fewer than two classes.

    >>> from depthwise.networks import network
    >>> new_head(network("note-cnn"), ["cat", "dog", "fish"]).output_shape
    (None, 3)
    """
    names = () if isinstance(classes, int) else checked_names(classes)
    count = classes if isinstance(classes, int) else len(names)
    if isinstance(classes, bool) or count < 2:
        raise InvalidArgumentError(f"a classifier needs two classes or more, got {describe_value(classes)}")
    graph = model.graph
    calls = _head(graph)
    start = calls[0].reads[0]
    made = _assembled(graph, start, _new_layers(calls, count), model.weights_by_name)
    usage: Usage = model.usage
    made.use(replace(usage, class_names=names))
    return made


def split(model: Any) -> tuple[Model, Sequential]:
    """The body, of layers of its own, and the head, of the very layers of the model: what trains it trains the model.

    Raises:
        UnsupportedError: see `new_head`.
    """
    graph = model.graph
    calls = _head(graph)
    start = calls[0].reads[0]
    layers = [model.get_layer(call.name) for call in calls]
    body = _assembled(graph, start, (), model.weights_by_name)
    return body, Sequential([Input(shape=graph.by_name[start].output_shape), *layers], name="head")


def retrain_head(
    model: Any,
    x: Any,
    y: Any = None,
    class_names: Sequence[str] | None = None,
    epochs: int = 20,
    fine_tune: int = 0,
    batch_size: int = 32,
    optimizer: Any = None,
    fine_tune_rate: float | None = None,
    validation_data: Any = None,
    callbacks: Any = None,
    verbose: str | int = "auto",
    memory: int = MEMORY,
) -> Model:
    """A copy of a classifier that knows other classes: `new_head`, trained on what the body makes of each image.

    Args:
        model: see `new_head`.
        x: images as the model takes them (samples, height, width, channels), or batches (x, y) that can be read more than once, such as
            those of `image_dataset_from_directory`.
        y: class numbers (samples,), or one-hot rows; None with batches.
        class_names: by default those of the data, else numbers are counted.
        epochs: passes of the head over the data; the body is run once.
        fine_tune: passes of the whole network after that, with BatchNormalization as it is.
        batch_size: samples of a step, where x is an array.
        optimizer: of the head, Adam by default.
        fine_tune_rate: of the fine-tuning; by default a hundredth of the optimizer's rate.
        validation_data: (x, y), or batches.
        callbacks, verbose: as in `fit`, for both trainings.
        memory: bytes of the body's results that are kept in memory; more goes to a temporary file.

    Returns:
        The new model, compiled; its `history` is that of the last training.

    Raises:
        UnsupportedError, InvalidArgumentError, InvalidDataError: see `new_head` and `fit`.
    """
    names = checked_names(class_names if class_names is not None else getattr(x, "class_names", None))
    graph = model.graph
    body = _assembled(graph, _head(graph)[0].reads[0], (), model.weights_by_name)
    with features(body, _pairs(x, y), memory) as (values, labels):
        made = new_head(model, names or (labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1))
        made.learn_usage(x)
        _, head = split(made)
        validation = None
        if validation_data is not None:
            pair = (validation_data, None) if is_batches(validation_data) else validation_data
            with features(body, _pairs(*pair), memory) as kept:
                validation = tuple(np.array(array) for array in kept)
        one_hot = labels.ndim == 2 and labels.shape[1] > 1
        loss = "categorical_crossentropy" if one_hot else class_loss(made.graph)
        head.compile(Adam() if optimizer is None else optimizer, loss, metrics=["accuracy"])
        head.fit(values, labels, batch_size, epochs, verbose, callbacks, validation_data=validation)
    made.history = head.history
    if fine_tune:
        rate = FINE_TUNING * float(head.optimizer.learning_rate) if fine_tune_rate is None else fine_tune_rate
        fine_tuned(made, x, y, rate, fine_tune, batch_size, loss, validation_data, callbacks, verbose)
    return made


def fine_tuned(
    model: Any,
    x: Any,
    y: Any,
    rate: float,
    epochs: int,
    batch_size: int,
    loss: Any,
    validation_data: Any = None,
    callbacks: Any = None,
    verbose: str | int = "auto",
) -> None:
    """Trains the whole model, with BatchNormalization as it is: few images would spoil its statistics.

    Args:
        model, x, y, validation_data, callbacks, verbose: see `retrain_head`.
        rate: of Adam.
        epochs: passes over the data.
        batch_size: samples of a step.
        loss: see `compile`.
    """
    layers = model.flat_layers()
    before = {layer: layer.trainable for layer in layers}
    for layer in layers:
        layer.trainable = not isinstance(layer.description, BatchNormalization)
    model.compile(Adam(learning_rate=rate), loss, metrics=["accuracy"])
    size = {} if is_batches(x) else {"batch_size": batch_size}
    try:
        model.fit(x, y, epochs=epochs, validation_data=validation_data, callbacks=callbacks, verbose=verbose, **size)
    finally:
        for layer, flag in before.items():
            layer.trainable = flag


@contextmanager
def features(
    body: Any,
    batches: Iterable[tuple[Any, Any]],
    memory: int = MEMORY,
    observe: Callable[[int], None] = lambda done: None,
) -> Iterator[tuple[Float32, NDArray[Any]]]:
    """What a model gives for each sample, every one run once, and its label; valid within the `with` statement.

    Args:
        body: a model with one output.
        batches: (x, y), read once.
        memory: bytes that are kept in memory; more goes to a temporary file, which is gone at the end.
        observe: called with the number of samples done.

    Raises:
        InvalidDataError: no batches, or one without labels.
    """
    kept: list[Float32] = []
    labels: list[NDArray[Any]] = []
    done = stored = 0
    with tempfile.TemporaryFile(prefix="depthwise-") as file:
        for x, y in batches:
            if y is None:
                raise InvalidDataError("a head learns from labels, and the data has none; give y")
            values = np.ascontiguousarray(body.predict(x, verbose=0))
            labels.append(np.asarray(y))
            done += len(values)
            if stored or sum(item.nbytes for item in kept) + values.nbytes > memory:
                for item in (*kept, values):
                    file.write(item.tobytes())
                    stored += len(item)
                kept.clear()
            else:
                kept.append(values)
            observe(done)
        if not done:
            raise InvalidDataError("the data holds no samples; a generator gives its batches only once: make a new one")
        if stored:
            file.flush()
            shape = (done, *body.output_shape[1:])
            yield np.memmap(file, np.float32, "r", shape=shape), np.concatenate(labels)
        else:
            yield np.concatenate(kept), np.concatenate(labels)


def _pairs(x: Any, y: Any, size: int = CHUNK) -> Iterator[tuple[Any, Any]]:
    if is_batches(x):
        for item in (x[index] for index in range(len(x))) if hasattr(x, "__getitem__") else x:
            yield (item[0], item[1]) if isinstance(item, tuple) and len(item) > 1 else (item, None)
        return
    labels = None if y is None else np.asarray(y)
    if labels is not None and len(labels) != len(x):
        raise InvalidDataError(f"x has {len(x)} samples, y has {len(labels)}; give a label for each")
    for start in range(0, len(x), size):
        yield x[start : start + size], None if labels is None else labels[start : start + size]


# Where the head begins.


def _head(graph: Graph) -> list[Call]:
    """The calls of the head, in order: those that a new number of classes makes new."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UnsupportedError(
            f"a new head needs a network with one input and one output; {describe_value(graph.name)} has {len(graph.inputs)} "
            f"and {len(graph.outputs)}"
        )
    chain: list[Call] = []
    call = graph.by_name[graph.outputs[0]]
    uses = dict.fromkeys(graph.layers, 0)
    for item in graph.calls:
        uses[item.path] += 1
    while isinstance(call.layer, _OF_HEADS) and len(call.reads) == 1 and uses[call.path] == 1:
        before = graph.by_name[call.reads[0]]
        if any(size != 1 for size in before.output_shape[:-1]) or len(graph.consumers[call.name]) > 1:
            break  # it still reads a map
        chain.insert(0, call)
        call = before
    weighted = [index for index, item in enumerate(chain) if isinstance(item.layer, (Conv2D, Dense))]
    if not weighted:
        raise UnsupportedError(
            f"{describe_value(graph.name)} has no head that can be replaced: it must end with Dense, or with a 1×1 convolution after "
            "global pooling"
        )
    hidden = chain[: weighted[-1]]
    parameters = sum(item.facts.parameters.value for item in hidden)
    body = graph.parameters - sum(item.facts.parameters.value for item in chain)
    is_dense = all(isinstance(chain[index].layer, Dense) for index in weighted)
    if is_dense and parameters <= body:
        return _without_shaping(chain)
    first = weighted[-1]
    while first and isinstance(chain[first - 1].layer, Dropout):
        first -= 1
    return chain[first:]


def _without_shaping(chain: list[Call]) -> list[Call]:
    """The head without what has no weights and does not train at its beginning."""
    start = 0
    while not isinstance(chain[start].layer, (BatchNormalization, Dense, Dropout)):
        start += 1
    return chain[start:]


def _new_layers(calls: Sequence[Call], classes: int) -> list[Description]:
    """The head's layers without their weights, up to the last one with weights, which gets a unit for each class."""
    last = max(index for index, call in enumerate(calls) if isinstance(call.layer, (Conv2D, Dense)))
    layers: list[Description] = [replace(call.layer, trainable=True) for call in calls[:last]]
    old = calls[last].layer
    options: dict[str, Any] = {"units": classes, "activation": "softmax", "trainable": True}
    if isinstance(old, Dense):
        return [*layers, replace(old, **options)]
    if len(calls[0].facts.input_shapes[0]) > 1:
        layers.insert(0, Flatten())
    return [*layers, Dense(name=f"{old.name}_classes", **options)]


@dataclass
class _Namer:
    """Short names for layers that lay in models inside: their own where that is free."""

    taken: set[str]

    def name(self, path: LayerPath) -> str:
        own = path[-1]
        for part in reversed(path[:-1]):
            if own not in self.taken:
                break
            own = f"{part}_{own}"
        base, number = own, 1
        while own in self.taken:
            own, number = f"{base}_{number}", number + 1
        self.taken.add(own)
        return own


def _assembled(graph: Graph, end: str, head: Sequence[Description], weights: Any) -> Model:
    """The network up to the call `end`, of new layers with the same weights, and the head behind it."""
    needed, pending = set(), [end]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += graph.by_name[name].reads
    calls = [call for call in graph.calls if call.name in needed]
    follows = all(list(call.reads) == [before.name] for before, call in pairwise(calls))
    is_chain = graph.is_sequential and follows and len({call.path for call in calls}) == len(calls)
    namer = _Namer({str(layer.name) for layer in head if layer.name})
    layers: dict[LayerPath, Any] = {}
    tensors: dict[str, Any] = {}
    kept: dict[str, Float32] = {}
    for call in calls:
        if isinstance(call.layer, InputLayer):
            tensors[call.name] = layers[call.path] = Input(shape=call.output_shape, name=namer.name(call.path))
            continue
        if call.path not in layers:
            layer = Layer.of(replace(call.layer, name=namer.name(call.path)))
            layers[call.path] = layer
            kept |= {f"{layer.name}/{weight.name}": weights[call.key(weight.name)].copy() for weight in call.weights}
        if not is_chain:
            read = [tensors[name] for name in call.reads]
            tensors[call.name] = layers[call.path](read[0] if len(read) == 1 else read)
    new = [Layer.of(layer) for layer in head]
    made: Model
    if is_chain:
        made = Sequential([*layers.values(), *new], name=graph.name)
    else:
        tensor = tensors[end]
        for layer in new:
            tensor = layer(tensor)
        made = Model(tensors[graph.inputs[0]], tensor, name=graph.name)
    made.put_weights(kept)
    return made


def __dir__() -> list[str]:
    return sorted(__all__)
