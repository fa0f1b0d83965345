"""Twins of models inside models and of layers that share weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise import layers, models
from depthwise.network.graph import Graph
from depthwise.network.tree import ModelTree, tree_of
from depthwise.network.twins import ordinary_twin, separable_twin, twin

SHAPE = (8, 8, 3)


def nested() -> models.Model:
    """A chain in a functional model, called twice, with convolutions inside and outside."""
    block = models.Sequential(
        [
            depthwise.Input((8, 8, 4)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(4, 3, padding="same", name="narrow"),
        ],
        name="block",
    )
    x = depthwise.Input(SHAPE, name="x")
    h = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    h = layers.Add()([block(block(h)), h])
    return models.Model(x, layers.Conv2D(16, 3)(h), name="net")


def siamese() -> models.Model:
    """A stem and a convolution on two inputs each."""
    a, b = depthwise.Input(SHAPE, name="a"), depthwise.Input(SHAPE, name="b")
    stem, conv = layers.Conv2D(4, 3, name="stem"), layers.Conv2D(16, 3)
    return models.Model([a, b], layers.Add()([conv(stem(a)), conv(stem(b))]), name="siamese")


def in_two_models() -> models.Model:
    """One convolution in two of the models inside."""
    shared = layers.Conv2D(16, 3, padding="same", name="shared")
    parts = [
        models.Sequential([depthwise.Input(SHAPE), layers.Conv2D(4, 3, name=f"stem_{name}"), shared], name=name)
        for name in ("left", "right")
    ]
    x = depthwise.Input(SHAPE, name="x")
    return models.Model(x, layers.Add()([part(x) for part in parts]), name="net")


NETWORKS = [nested, siamese, in_two_models]


def _shape_of(tree: ModelTree) -> Any:
    """How models are nested, and how often each member is called."""
    return [
        (_shape_of(member) if isinstance(member, ModelTree) else None, sum(c.member == member.name for c in tree.calls))
        for member in tree.members
    ]


@pytest.mark.parametrize("build", NETWORKS)
def test_a_twin_is_nested_and_shared_alike_and_its_twin_is_the_network(build: Callable[[], models.Model]) -> None:
    graph = build().graph
    other = separable_twin(graph)
    assert _shape_of(tree_of(other)) == _shape_of(tree_of(graph))
    assert tree_of(other).shared == tree_of(graph).shared
    assert other.output_shapes == graph.output_shapes
    assert other.parameters < graph.parameters
    assert other.macs < graph.macs
    again = ordinary_twin(other, name=graph.name)
    assert again == graph
    assert tree_of(again) == tree_of(graph)


@pytest.mark.parametrize("build", NETWORKS)
def test_a_twin_trains(build: Callable[[], models.Model]) -> None:
    graph = twin(build().graph)
    model = models.Model.from_graph(graph)
    assert len(model.weights) == len(graph.weight_shapes)
    x: Any = [np.ones((2, *shape), np.float32) for shape in graph.input_shapes]
    x = x if len(x) > 1 else x[0]
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(x, np.zeros((2, *graph.output_shapes[0]), np.float32))
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_names_within_models() -> None:
    def names(graph: Graph) -> list[str]:
        return ["/".join(path) for path, call in graph.layers.items() if call.weights]

    assert names(separable_twin(nested().graph)) == [
        "stem", "block/separable_conv2d", "block/narrow", "separable_conv2d",
    ]  # fmt: skip
    # The layer of two models keeps its name in both.
    assert names(separable_twin(in_two_models().graph)) == ["left/stem_left", "left/shared", "right/stem_right"]


def _blocks(shared: bool, together: bool) -> models.Model:
    """MobileNet's block: called twice, or with its pointwise convolution called elsewhere too."""
    x = depthwise.Input((8, 8, 4), name="x")
    depth = layers.DepthwiseConv2D(3, padding="same", name="depth")
    norm, point = layers.BatchNormalization(name="norm"), layers.Conv2D(4, 1, name="point")
    h = point(norm(depth(x)))
    if shared:
        h = point(norm(depth(h))) if together else point(h)
    return models.Model(x, h, name="net")


@pytest.mark.parametrize(("shared", "together"), [(False, True), (True, True), (True, False)])
def test_blocks_that_are_called_several_times(shared: bool, together: bool) -> None:
    other = ordinary_twin(_blocks(shared, together).graph)
    kinds = [type(call.layer).__name__ for call in other.calls]
    if together:  # one convolution in place of each block
        assert kinds == ["InputLayer"] + ["Conv2D"] * (1 + shared)
        assert [call.path for call in other.calls[1:]] == [("point",)] * (1 + shared)
    else:  # the pointwise layer works alone too, so it stays
        assert kinds == ["InputLayer", "Conv2D", "BatchNormalization", "Conv2D", "Conv2D"]
    assert other.output_shapes == ((8, 8, 4),)
