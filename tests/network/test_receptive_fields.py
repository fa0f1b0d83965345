"""Receptive fields: through branches the largest over all ways, whatever the order of a layer's inputs."""

import itertools
from fractions import Fraction
from typing import Any

import pytest

import depthwise
from depthwise import layers
from depthwise.models import Model


def last(model: Model) -> tuple[int, int, tuple[int | Fraction, int | Fraction]]:
    field = model.graph.receptive_fields[model.graph.outputs[0]]
    return field.rows.value, field.columns.value, field.steps


def test_a_merge_has_the_largest_field_of_its_branches() -> None:
    start = depthwise.Input((20, 20, 1))
    branches = [
        layers.Conv2D(1, 1)(start),
        layers.Conv2D(1, (7, 3), padding="same")(start),
        layers.Conv2D(1, (3, 5), padding="same")(layers.Conv2D(1, 3, padding="same")(start)),
    ]
    for order in itertools.permutations(branches):
        for merge in (layers.Add, layers.Concatenate):
            assert last(Model(start, merge()(list(order)))) == (7, 7, (1, 1))


def test_one_branch_that_sees_everything_is_enough() -> None:
    start = depthwise.Input((12, 10, 1))
    near = layers.Conv2D(1, 3, padding="same")(start)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(start)
    far = layers.ZeroPadding2D(((0, 11), (0, 9)))(pooled)
    for order in ([near, far], [far, near]):
        assert last(Model(start, layers.Add()(order))) == (12, 10, (0, 0))


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    # From "Computing receptive fields of convolutional neural networks", distill.pub 2019.
    [("ResNet50", "conv5_block3_out", 483), ("InceptionV3", "mixed10", 1311), ("VGG16", "block5_pool", 212)],
)
def test_published_networks(name: str, layer: str, size: int) -> None:
    keras: Any = pytest.importorskip("keras")
    graph = depthwise.from_keras(
        getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(224, 224, 3))
    ).graph
    field = graph.receptive_fields[layer]
    assert (field.rows.value, field.columns.value, field.steps) == (size, size, (32, 32))
