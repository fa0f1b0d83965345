"""The networks that every rival runs: data first, then whatever each rival builds from it.

A network is a tuple of `Step`s, each the name of a Keras layer class and its arguments. `build` makes the
network of any namespace that speaks Keras' names, so `build(network, keras)` and
`build(network, depthwise)` are the same function; the rivals that speak no Keras (torch, ONNX,
LiteRT) walk the same steps. Weights come from one seed and are set into every rival.

MobileNet's blocks are measured against the machine, not against rivals: `depthwise bench --blocks mobilenet`, from
`depthwise.bench.mobilenet`. As more entries of `NETWORKS` a residual would need `Step` to name its inputs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
SEED = 20240607
CLASSES = 10


@dataclass(frozen=True)
class Step:
    """One layer: the name of its Keras class and its keyword arguments."""

    layer: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]


class HasInputShape(Protocol):
    """Any network, as far as its images are concerned."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""


@dataclass(frozen=True)
class Network:
    """A chain of layers on an image `(height, width, channels)`."""

    name: str
    input_shape: tuple[int, int, int]
    steps: tuple[Step, ...]

    @property
    def classes(self) -> int:
        """The last layer's outputs."""
        return int(self.steps[-1]["units"])


@dataclass(frozen=True)
class Adam:
    """Keras' defaults, spelled out because the frameworks' own defaults differ (torch: epsilon 1e-8)."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


def convolution(filters: int, activation: str, padding: str = "same") -> Step:
    """A 3×3 `Conv2D`, stride 1."""
    return Step(
        "Conv2D",
        {"filters": filters, "kernel_size": 3, "padding": padding, "activation": activation},
    )


def separable(filters: int, activation: str) -> Step:
    """A 3×3 `SeparableConv2D`, stride 1, padding `same`."""
    return Step(
        "SeparableConv2D",
        {"filters": filters, "kernel_size": 3, "padding": "same", "activation": activation},
    )


def dense(units: int, activation: str) -> Step:
    """A `Dense` layer."""
    return Step("Dense", {"units": units, "activation": activation})


POOL = Step("MaxPooling2D", {"pool_size": 2})
FLATTEN = Step("Flatten")

NOTE_CNN = Network(
    "note_cnn",
    (28, 28, 1),
    (
        convolution(32, "relu", padding="valid"),
        POOL,
        convolution(64, "relu", padding="valid"),
        POOL,
        convolution(64, "relu", padding="valid"),
        FLATTEN,
        dense(64, "relu"),
        dense(CLASSES, "softmax"),
    ),
)

NOTE_SEPARABLE = Network(
    "note_separable",
    (28, 28, 1),
    (
        convolution(32, "selu"),
        separable(32, "selu"),
        POOL,
        separable(64, "selu"),
        separable(64, "selu"),
        POOL,
        separable(128, "selu"),
        separable(128, "selu"),
        POOL,
        FLATTEN,
        dense(128, "selu"),
        dense(CLASSES, "softmax"),
    ),
)


def ordinary_twin(network: Network, name: str) -> Network:
    """The same network with each `SeparableConv2D` an ordinary `Conv2D` of the same shapes."""
    return Network(
        name,
        network.input_shape,
        tuple(Step("Conv2D", step.arguments) if step.layer == "SeparableConv2D" else step for step in network.steps),
    )


NOTE_TWIN = ordinary_twin(NOTE_SEPARABLE, "note_twin")

NETWORKS: dict[str, Network] = {network.name: network for network in (NOTE_SEPARABLE, NOTE_TWIN, NOTE_CNN)}


def build(network: Network, namespace: Any, logits: bool = False, channels_first: bool = False) -> Any:
    """Return the network as `namespace.models.Sequential`, for any namespace with Keras' names.

    `logits` leaves the last layer without its softmax, for the rivals whose cross-entropy is faster so;
    `channels_first` turns the input's shape for those whose namespace was told to want that.
    """
    height, width, channels = network.input_shape
    model = namespace.models.Sequential()
    model.add(namespace.Input((channels, height, width) if channels_first else network.input_shape))
    for step in network.steps:
        arguments = dict(step.arguments)
        if logits and step is network.steps[-1]:
            arguments["activation"] = "linear"
        model.add(getattr(namespace.layers, step.layer)(**arguments))
    return model


def walk(network: Network) -> Iterator[tuple[Step, tuple[int, ...], dict[str, tuple[int, ...]]]]:
    """Yield each step with its input shape (no batch) and the shapes of its weights in Keras' order.

    Only what is needed to make weights before any framework is there; a wrong shape is refused by every
    rival's own `set_weights`.
    """
    shape: tuple[int, ...] = network.input_shape
    for step in network.steps:
        weights: dict[str, tuple[int, ...]] = {}
        after = shape
        if step.layer in ("Conv2D", "SeparableConv2D"):
            size, filters, channels = step["kernel_size"], step["filters"], shape[-1]
            if step.layer == "Conv2D":
                weights["kernel"] = (size, size, channels, filters)
            else:
                weights["depthwise_kernel"] = (size, size, channels, 1)
                weights["pointwise_kernel"] = (1, 1, channels, filters)
            weights["bias"] = (filters,)
            lost = 0 if step["padding"] == "same" else size - 1
            after = (shape[0] - lost, shape[1] - lost, filters)
        elif step.layer == "MaxPooling2D":
            after = (shape[0] // step["pool_size"], shape[1] // step["pool_size"], shape[2])
        elif step.layer == "Flatten":
            after = (int(np.prod(shape)),)
        elif step.layer == "Dense":
            weights = {"kernel": (shape[0], step["units"]), "bias": (step["units"],)}
            after = (step["units"],)
        else:
            raise ValueError(f"walk knows no layer {step.layer!r}; add it to benchmarks/models.py.")
        yield step, shape, weights
        shape = after


def make_weights(network: Network, seed: int = SEED) -> list[Array]:
    """Return float32 weights in the order of Keras' `get_weights()`.

    Kernels are normal with variance 1 / fan-in, so activations neither vanish nor explode, and
    biases are not zero, so that a forgotten bias shows.
    """
    generator = np.random.default_rng(seed)
    weights = []
    for _, _, shapes in walk(network):
        for name, shape in shapes.items():
            if name == "bias":
                values = 0.1 * generator.standard_normal(shape)
            else:
                fan_in = shape[0] * shape[1] if name == "depthwise_kernel" else np.prod(shape[:-1])
                values = generator.standard_normal(shape) / np.sqrt(fan_in)
            weights.append(values.astype(np.float32))
    return weights


def step_weights(network: Network, weights: list[Array]) -> Iterator[tuple[Step, dict[str, Array]]]:
    """Yield each step with its own weights by name."""
    position = 0
    for step, _, shapes in walk(network):
        yield step, dict(zip(shapes, weights[position : position + len(shapes)], strict=True))
        position += len(shapes)


def make_images(network: HasInputShape, batch: int, seed: int = SEED) -> Array:
    """Return `(batch, height, width, channels)` float32 images in [0, 1)."""
    generator = np.random.default_rng(seed + 1)
    return generator.random((batch, *network.input_shape), dtype=np.float32)


def make_labels(batch: int, seed: int = SEED) -> Array:
    """Return `(batch,)` int32 labels."""
    return np.random.default_rng(seed + 2).integers(0, CLASSES, batch, dtype=np.int32)
