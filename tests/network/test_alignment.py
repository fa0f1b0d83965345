"""Layers that correspond stand side by side: a network with its twin, and networks that have little in common."""

import pytest

from depthwise import layers
from depthwise.layers.description import Description
from depthwise.layers.descriptions import (
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    ReLU,
    SeparableConv2D,
)
from depthwise.models import Input, Model
from depthwise.network.alignment import Group, aligned, corresponding
from depthwise.network.graph import Graph, sequential
from depthwise.network.twins import twin
from depthwise.networks import network, note_cnn, note_ordinary, note_separable


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


def _names(groups: list[Group]) -> list[tuple[list[str], list[str]]]:
    return [([call.name for call in ours], [call.name for call in theirs]) for ours, theirs in groups]


def test_a_twins_layers_stand_beside_those_that_they_were_made_of() -> None:
    block = [DepthwiseConv2D(3, padding="same"), BatchNormalization(), ReLU(), Conv2D(6, 1), BatchNormalization()]
    graph = sequential([Conv2D(4, 3, input_shape=(8, 8, 3)), *block, SeparableConv2D(6, 3), Conv2D(9, 1)], "net")
    expected = [
        (["input_layer"], ["input_layer"]),
        (["conv2d"], ["conv2d"]),
        (["depthwise_conv2d", "batch_normalization", "re_lu", "conv2d_1"], ["conv2d_1"]),
        (["batch_normalization_1"], ["batch_normalization_1"]),
        (["separable_conv2d"], ["conv2d_2"]),
        (["conv2d_2"], ["conv2d_3"]),  # which names alone would have paired with the one above
    ]
    other = twin(graph)
    found = _names(corresponding(graph, other))
    kinds = {name: type(other.by_name[name].layer).__name__ for _, (name,) in found}
    assert [ours for ours, _ in found] == [ours for ours, _ in expected]
    assert {kinds[name] for _, (name,) in found[1:4] if name.startswith("conv")} == {"Conv2D"}
    assert [other.by_name[name].layer.filters for _, (name,) in (found[4], found[5])] == [6, 9]  # type: ignore[attr-defined]
    assert [theirs for theirs, _ in _names(corresponding(other, graph))] == [theirs for _, theirs in found]


def test_a_twin_is_known_by_its_form_whatever_it_is_called() -> None:
    separable, ordinary = note_separable().graph, note_ordinary().graph
    assert all(len(ours) == len(theirs) == 1 for ours, theirs in corresponding(separable, ordinary))
    assert all(len(ours) + len(theirs) <= 2 for ours, theirs in corresponding(note_cnn().graph, ordinary))


def test_layers_that_several_calls_share_are_matched_call_by_call() -> None:
    image = Input((8, 8, 4))
    shared = layers.SeparableConv2D(4, 3, padding="same", name="shared")
    graph = Model(image, layers.Conv2D(2, 1, name="end")(shared(shared(image)))).graph
    assert _names(corresponding(graph, twin(graph)))[1:] == [
        (["shared"], ["shared"]),
        (["shared[1]"], ["shared[1]"]),
        (["end"], ["end"]),
    ]
