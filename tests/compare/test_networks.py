"""The note's networks have the note's numbers, and one is the other's twin."""

import pytest

from depthwise.errors import InvalidArgumentError
from depthwise.network.twins import ordinary_twin
from depthwise.networks import NETWORKS, network


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        # 55,744 + Flatten → Dense 64: 64×576+64, Dense 10: 10×64+10; MACs 2,756,736 + 36,864 + 640.
        ("note-cnn", 55_744 + 36_928 + 650, 2_756_736 + 36_864 + 640),
        ("note-separable", 184_234, 4_065_600),
        ("note-ordinary", 435_306, 29_275_904),
    ],
)
def test_numbers_of_the_design(name: str, parameters: int, macs: int) -> None:
    model = network(name)
    assert (model.name, model.count_params(), model.graph.macs) == (name, parameters, macs)


def test_note_separable_has_the_note_s_rows() -> None:
    graph = network("note-separable").graph
    rows = [node.facts.parameters.value for node in graph.calls if node.weights]
    assert rows == [320, 1_344, 2_400, 4_736, 8_896, 17_664, 147_584, 1_290]
    names = [node.name for node in graph.calls if node.weights]
    assert names[:3] == ["conv2d", "separable_conv2d", "separable_conv2d_1"]


def test_note_ordinary_is_the_twin_of_note_separable() -> None:
    assert ordinary_twin(network("note-separable").graph, "note-ordinary") == network("note-ordinary").graph


def test_every_call_gives_a_fresh_model() -> None:
    assert all(function() is not function() for function in NETWORKS.values())


def test_an_unknown_name_is_answered_with_the_names_that_exist() -> None:
    with pytest.raises(InvalidArgumentError, match=r"no network is named 'mobile'; there are note-cnn, note-separable"):
        network("mobile")
