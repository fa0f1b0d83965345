"""Networks with several outputs, built alike by Keras and by Depthwise."""

from collections.abc import Callable
from typing import Any

__all__ = ["TOPOLOGIES"]


def two_heads(kit: Any) -> Any:
    x = kit.Input((6,), name="x")
    trunk = kit.layers.Dense(8, activation="relu", name="trunk")(x)
    kind = kit.layers.Dense(3, activation="softmax", name="kind")(trunk)
    return kit.Model(x, [kind, kit.layers.Dense(1, name="size")(trunk)])


def classes_and_map(kit: Any) -> Any:
    """A class for the image, and one for each of its positions."""
    x = kit.Input((6, 5, 2), name="x")
    h = kit.layers.Conv2D(6, 3, padding="same", activation="relu", name="stem")(x)
    pixels = kit.layers.Conv2D(3, 1, activation="softmax", name="pixels")(h)
    image = kit.layers.Dense(4, activation="softmax", name="image")(kit.layers.GlobalAveragePooling2D(name="mean")(h))
    return kit.Model(x, [pixels, image])


def read_on(kit: Any) -> Any:
    """An output that the network reads on, a softmax at that."""
    x = kit.Input((5,), name="x")
    early = kit.layers.Dense(3, activation="softmax", name="early")(x)
    return kit.Model(x, [early, kit.layers.Dense(2, name="late")(early)])


def listed_twice(kit: Any) -> Any:
    x = kit.Input((5,), name="x")
    y = kit.layers.Dense(3, activation="sigmoid", name="y")(x)
    return kit.Model(x, [y, y])


def siamese(kit: Any) -> Any:
    """One layer called on two inputs, and whether the two are alike."""
    a, b = kit.Input((5,), name="a"), kit.Input((5,), name="b")
    shared = kit.layers.Dense(4, activation="tanh", name="shared")
    left, right = shared(a), shared(b)
    both = kit.layers.Concatenate(name="pair")([left, right])
    return kit.Model([a, b], [left, kit.layers.Dense(1, activation="sigmoid", name="same")(both)])


def one_layer_twice(kit: Any) -> Any:
    """Two outputs of one layer, which therefore have one name."""
    a, b = kit.Input((5,), name="a"), kit.Input((5,), name="b")
    shared = kit.layers.Dense(3, name="shared")
    return kit.Model([a, b], [shared(a), shared(b)])


def nested(kit: Any) -> Any:
    """A model inside that gives two tensors, one of them an output."""
    x = kit.Input((6,), name="inner_x")
    h = kit.layers.Dense(5, activation="relu", name="inner_h")(x)
    inner = kit.Model(x, [h, kit.layers.Dense(2, name="inner_side")(h)], name="inner")
    start = kit.Input((6,), name="x")
    main, side = inner(start)
    return kit.Model(start, [kit.layers.Dense(3, activation="softmax", name="top")(main), side])


def encoder_twice(kit: Any) -> Any:
    """A model called twice."""
    encoder = kit.Sequential([kit.Input((5,)), kit.layers.Dense(4, activation="relu", name="code")], name="encoder")
    a, b = kit.Input((5,), name="a"), kit.Input((5,), name="b")
    left, right = encoder(a), encoder(b)
    joined = kit.layers.Concatenate(name="joined")([left, right])
    return kit.Model([a, b], [kit.layers.Dense(2, name="both")(joined), kit.layers.Dense(1, name="first")(left)])


def by_name(kit: Any) -> Any:
    """A dict of outputs whose keys are not in the order of the layers."""
    x = kit.Input((6,), name="x")
    h = kit.layers.Dense(5, activation="relu", name="h")(x)
    return kit.Model(
        x,
        {
            "zebra": kit.layers.Dense(3, activation="softmax", name="first")(h),
            "ant": kit.layers.Dense(2, name="second")(h),
        },
    )


def every_level(kit: Any) -> Any:
    """An output after each of three layers, with batch normalisation between them."""
    x = kit.Input((6, 6, 1), name="x")
    outputs, h = [], x
    for level in range(3):
        h = kit.layers.Conv2D(4, 3, padding="same", use_bias=False, name=f"conv{level}")(h)
        h = kit.layers.BatchNormalization(name=f"norm{level}")(h)
        h = kit.layers.ReLU(name=f"relu{level}")(h)
        flat = kit.layers.Flatten(name=f"flat{level}")(h)
        outputs.append(kit.layers.Dense(2, name=f"level{level}")(flat))
    return kit.Model(x, outputs)


def frozen_trunk(kit: Any) -> Any:
    x = kit.Input((6,), name="x")
    trunk = kit.layers.Dense(8, activation="relu", name="trunk", trainable=False)(x)
    return kit.Model(
        x, [kit.layers.Dense(3, activation="softmax", name="kind")(trunk), trunk]
    )  # the second output has nothing to learn


TOPOLOGIES: dict[str, Callable[[Any], Any]] = {
    item.__name__: item
    for item in (
        two_heads,
        classes_and_map,
        read_on,
        listed_twice,
        siamese,
        one_layer_twice,
        nested,
        encoder_twice,
        by_name,
        every_level,
        frozen_trunk,
    )
}
