"""Random small networks built alike by Keras and by Depthwise: branches, shared layers, models inside, frozen parts, maps."""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["random_model"]

ACTIVATIONS = ("linear", "relu", "elu", "sigmoid", "silu", "softplus", "tanh")
JOINS = ("Add", "Average", "Concatenate")


class _Builder:
    """Draws one network. The same seed draws the same one for every kit, whatever `flatten` and `reverse` are."""

    def __init__(self, kit: Any, seed: int, reverse: bool) -> None:
        self.kit = kit
        self.rng = np.random.default_rng(seed)
        self.reverse = reverse
        self.count = 0
        self.made: list[Any] = []

    def whole(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both possible."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def layer(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        layer = getattr(self.kit.layers, kind)(*args, name=f"{kind.lower()}_{self.count}", **kwargs)
        self.made.append(layer)
        return layer

    def same(self, channels: int) -> Any:
        """A layer that keeps a map's shape and has weights."""
        activation = self.one_of(ACTIVATIONS)
        size = (self.whole(1, 3), self.whole(1, 3))
        match self.whole(0, 3):
            case 0:
                return self.layer("Conv2D", channels, size, padding="same", activation=activation)
            case 1:
                return self.layer("SeparableConv2D", channels, size, padding="same", activation=activation)
            case 2:
                return self.layer("Conv2DTranspose", channels, size, padding="same", activation=activation)
        return self.layer("DepthwiseConv2D", size, padding="same", activation=activation)

    def inner_model(self, shape: tuple[int, ...]) -> Any:
        """A model that keeps a map's shape."""
        self.count += 1
        name = f"inner_{self.count}"
        start = self.kit.Input(shape, name=f"{name}_input")
        first, second = self.same(shape[-1]), self.same(shape[-1])
        inner = self.kit.Model(start, second(first(start)), name=name)
        self.made.append(inner)
        return inner

    def join(self, kind: str, tensors: list[Any]) -> Any:
        joined = self.layer(kind)
        return joined(tensors[::-1] if self.reverse and kind != "Concatenate" else tensors)

    def block(self, tensor: Any) -> Any:
        _, rows, columns, channels = tensor.shape
        match self.whole(0, 9):
            case 0:  # a residual block
                return self.join(self.one_of(JOINS), [tensor, self.same(channels)(tensor)])
            case 1:  # branches, one of them two layers long
                long = self.same(channels)(self.same(channels)(tensor))
                return self.join(self.one_of(JOINS), [self.same(channels)(tensor), long, tensor])
            case 2:  # one layer, two calls in a row
                shared = self.same(channels)
                return shared(shared(tensor))
            case 3:  # one layer in two branches
                shared = self.same(channels)
                return self.join(self.one_of(JOINS), [shared(tensor), shared(self.same(channels)(tensor))])
            case 4:  # one model, two calls
                inner = self.inner_model((rows, columns, channels))
                return self.join("Add", [inner(tensor), inner(inner(tensor))])
            case 5:
                return self.layer("BatchNormalization")(tensor)
            case 6:
                pool = (min(rows, 2), min(columns, 2))
                return self.layer(self.one_of(("MaxPooling2D", "AveragePooling2D")), pool, 1, "same")(tensor)
            case 7:
                kernel = (self.whole(1, min(rows, 3)), self.whole(1, min(columns, 3)))
                return self.layer("Conv2D", self.whole(1, 6), kernel, activation=self.one_of(ACTIVATIONS))(tensor)
            case 8:
                return self.layer("LayerNormalization")(tensor) if channels > 1 else tensor
        return self.layer("ZeroPadding2D", ((0, 1), (1, 0)))(tensor) if rows * columns < 30 else tensor

    def outputs(self, tensors: list[Any]) -> list[Any]:
        """One to three of them: a map, a vector, and a tensor that the network reads on."""
        last = tensors[-1]
        kinds = self.whole(1, 7)
        found = []
        if kinds & 1:
            found.append(self.layer("Conv2D", self.whole(1, 3), 1, activation=self.one_of(("linear", "tanh")))(last))
        if kinds & 2:
            flat = self.layer(self.one_of(("Flatten", "GlobalAveragePooling2D")))(last)
            found.append(self.layer("Dense", self.whole(1, 4))(flat))
        if kinds & 4:
            found.append(self.one_of(tensors))
        return found


def random_model(
    kit: Any,
    seed: int,
    *,
    flatten: bool = False,
    reverse: bool = False,
    finish: Callable[[Any, list[Any]], list[Any]] | None = None,
) -> Any:
    """The network of that seed.

    Args:
        kit: `keras` or `depthwise`.
        flatten: puts a Flatten after every output that is a map.
        reverse: gives Add and Average their inputs the other way round.
        finish: (kit, outputs) → outputs: what to put behind them.
    """
    build = _Builder(kit, seed, reverse)
    starts, tensors = [], []
    for number in range(build.whole(1, 2)):
        shape = (build.whole(2, 5), build.whole(2, 5), build.whole(1, 3))
        starts.append(kit.Input(shape, name=f"input_{number}"))
        tensor = build.layer("Conv2D", build.whole(1, 5), 1, activation=build.one_of(ACTIVATIONS))(starts[-1])
        for _ in range(build.whole(1, 3)):
            tensor = build.block(tensor)
            tensors.append(tensor)
    if len(starts) == 2:  # joined where their shapes allow it, else by their means
        left, right = tensors[-1], tensors[0]
        if left.shape[1:3] != right.shape[1:3]:
            right = build.layer("GlobalAveragePooling2D", keepdims=True)(right)
            left = build.layer("GlobalAveragePooling2D", keepdims=True)(left)
        tensors.append(build.join("Concatenate", [left, right]))
    outputs = build.outputs(tensors)
    frozen = [layer for layer in build.made if build.rng.random() < 0.2]
    for layer in frozen:
        if not any(layer is made for made in build.made[-1:]):
            layer.trainable = False
    if finish is not None:
        outputs = finish(kit, outputs)
    if flatten:
        outputs = [kit.layers.Flatten()(item) if len(item.shape) > 2 else item for item in outputs]
    return kit.Model(starts[0] if len(starts) == 1 else starts, outputs[0] if len(outputs) == 1 else outputs)
