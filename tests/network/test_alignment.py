"""Layers that correspond stand side by side: a network with its twin, and networks that have little in common."""

import pytest

from depthwise.layers.description import Description
from depthwise.layers.descriptions import BatchNormalization, Conv2D, Dense, DepthwiseConv2D, Flatten, ReLU
from depthwise.network.alignment import aligned
from depthwise.network.graph import Graph, sequential
from depthwise.network.twins import twin
from depthwise.networks import network


def names(first: Graph, second: Graph) -> list[tuple[str | None, str | None]]:
    pairs = aligned(first.calls, second.calls)
    assert [one for one, _ in pairs if one] == list(first.calls)
    assert [other for _, other in pairs if other] == list(second.calls)
    return [(one.name if one else None, other.name if other else None) for one, other in pairs]


def test_the_note_s_networks_agree_layer_by_layer() -> None:
    first, second = network("note-separable").graph, network("note-ordinary").graph
    assert all(one and other for one, other in names(first, second))
    assert ("separable_conv2d_4", "conv2d_5") in names(first, second)


@pytest.mark.parametrize("blocks", [2, 40])
def test_a_block_stands_beside_the_convolution_that_replaces_it(blocks: int) -> None:
    def block(number: int) -> list[Description]:
        name = f"block_{number}"
        return [
            DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise"),
            BatchNormalization(name=f"{name}_depthwise_bn"),
            ReLU(6.0, name=f"{name}_depthwise_relu"),
            Conv2D(16, 1, name=f"{name}_project"),
        ]

    layers = [layer for number in range(blocks) for layer in block(number)]
    graph = sequential(
        [Conv2D(16, 3, input_shape=(8, 8, 3), name="stem"), *layers, Flatten(), Dense(3)],
        "blocks",
    )
    found = names(graph, twin(graph))
    assert ("stem", "stem") in found
    for number in range(blocks):
        assert (f"block_{number}_depthwise", None) in found
        assert (f"block_{number}_project", f"block_{number}_project") in found


@pytest.mark.parametrize("turn", [1, -1])
def test_networks_with_nothing_in_common_are_listed_one_after_the_other(turn: int) -> None:
    graphs = [
        sequential([Conv2D(4, 3, input_shape=(8, 8, 1), name="a")]),
        sequential([Dense(10, input_shape=(4,), name="b")]),
    ]
    first, second = graphs[::turn]
    found = aligned(first.calls[1:], second.calls[1:])
    assert [(bool(one), bool(other)) for one, other in found] == [(True, False), (False, True)]
