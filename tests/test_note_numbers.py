"""Every number of the note, and those it gets wrong: `arithmetic` and `graph` against figures written out by hand."""

from typing import Any

import pytest

from depthwise.layers.descriptions import Conv2D, DepthwiseConv2D, MaxPooling2D, SeparableConv2D
from depthwise.network.facts import describe, largest_smaller_depth_multiplier
from support import networks


def facts_of(graph: Any) -> Any:
    """The facts of every layer but the input."""
    return [node.facts for node in graph.calls if node.reads]


def counts(graph: Any) -> Any:
    """Parameter counts of the layers that have weights."""
    return [facts.parameters.value for facts in facts_of(graph) if facts.weights]


def shapes(graph: Any) -> Any:
    return [facts.output_shape for facts in facts_of(graph)]


def test_small_example_is_57_not_54() -> None:
    (facts,) = facts_of(networks.note_small())
    assert facts.output_shape == (3, 3, 3)
    assert facts.output_formulas[0].text == "1+(5−3) = 3"
    assert facts.parameters.text == "3×(3×3×2)+3 = 57"
    assert [weight.formula.value for weight in facts.weights] == [54, 3]  # the note stops at the first


def test_small_example_separable_is_27_and_has_one_bias_after_the_pointwise_stage() -> None:
    (facts,) = facts_of(networks.note_small_separable())
    depthwise, pointwise, bias = facts.weights
    assert depthwise.formula.text == "2×(3×3×1) = 18"
    assert pointwise.formula.text == "3×(1×1×2) = 6"
    assert (bias.shape, bias.formula.value) == ((3,), 3)
    assert pointwise.formula.value + bias.formula.value == 9
    assert facts.parameters.value == 27
    assert facts.parameters.text == "2×(3×3×1)+3×(1×1×2)+3 = 27"


def test_small_example_keeps_its_size_only_under_same_padding() -> None:
    def middle(**arguments: Any) -> Any:
        return describe(DepthwiseConv2D(3, **arguments), [(5, 5, 2)]).output_shape

    assert middle() == (3, 3, 2)
    assert middle(padding="same") == (5, 5, 2)
    assert middle(padding="same", strides=2) == (3, 3, 2)


def test_one_plus_difference_holds_for_stride_1_and_dilation_1_only() -> None:
    def rows(**arguments: Any) -> Any:
        return describe(Conv2D(1, 3, **arguments), [(11, 11, 1)]).output_formulas[0].text

    assert rows() == "1+(11−3) = 9"
    assert rows(strides=2) == "1+⌊(11−3)/2⌋ = 5"
    assert rows(dilation_rate=2) == "1+(11−(2×2+1)) = 7"


def test_note_cnn() -> None:
    graph = networks.note_cnn()
    assert counts(graph) == [320, 18_496, 36_928]
    assert graph.parameters == graph.trainable_parameters == 55_744
    assert [shape[0] for shape in shapes(graph)] == [26, 13, 11, 5, 3]
    assert shapes(graph) == [(26, 26, 32), (13, 13, 32), (11, 11, 64), (5, 5, 64), (3, 3, 64)]
    assert graph.macs == 2_756_736
    names = [node.name for node in graph.calls if node.reads]
    assert names == ["conv2d", "max_pooling2d", "conv2d_1", "max_pooling2d_1", "conv2d_2"]
    fields = [graph.receptive_fields[name] for name in names]
    assert [field.rows.value for field in fields] == [3, 4, 8, 10, 18]
    assert all(field.rows.value == field.columns.value for field in fields)


@pytest.mark.parametrize(
    ("index", "text"),
    [(0, "32×(3×3×1)+32 = 320"), (2, "64×(3×3×32)+64 = 18,496"), (4, "64×(3×3×64)+64 = 36,928")],
)
def test_note_cnn_formulas(index: int, text: str) -> None:
    assert facts_of(networks.note_cnn())[index].parameters.text == text


def test_note_cnn_pooling_drops_a_row_and_a_column() -> None:
    pooling = facts_of(networks.note_cnn())[3]
    assert (pooling.input_shapes[0][0], pooling.output_shape[0]) == (11, 5)
    assert (pooling.rows.dropped, pooling.columns.dropped) == (1, 1)
    assert facts_of(networks.note_cnn())[1].rows.dropped == 0


def test_note_cnn_separable_twin() -> None:
    graph = networks.note_cnn_separable_twin()
    assert counts(graph) == [320, 2_400, 4_736]
    assert graph.parameters == 7_456
    assert graph.macs == 519_392
    assert shapes(graph) == shapes(networks.note_cnn())


def test_note_separable() -> None:
    graph = networks.note_separable()
    assert counts(graph) == [320, 1_344, 2_400, 4_736, 8_896, 17_664, 147_584, 1_290]
    assert graph.parameters == graph.trainable_parameters == 184_234
    assert graph.macs == 4_065_600
    assert shapes(graph) == [
        (28, 28, 32), (28, 28, 32), (14, 14, 32), (14, 14, 64), (14, 14, 64), (7, 7, 64), (7, 7, 128), (7, 7, 128),
        (3, 3, 128), (1152,), (128,), (10,),
    ]  # fmt: skip


def test_note_separable_stages() -> None:
    first, second = (facts for facts in facts_of(networks.note_separable())[1:4] if facts.weights)
    assert first.parameters.text == "32×(3×3×1)+32×(1×1×32)+32 = 1,344"
    assert [weight.formula.value for weight in first.weights] == [288, 1_024, 32]
    assert second.parameters.text == "32×(3×3×1)+64×(1×1×32)+64 = 2,400"
    assert [weight.formula.value for weight in second.weights] == [288, 2_048, 64]


def test_most_of_the_separable_network_is_its_dense_head() -> None:
    head = sum(facts.parameters.value for facts in facts_of(networks.note_separable())[-2:])
    assert head == 148_874
    assert 184_234 - head == 35_360


def test_note_separable_ordinary_twin() -> None:
    graph = networks.note_separable_ordinary_twin()
    assert graph.parameters == 435_306
    assert graph.macs == 29_275_904
    head = sum(facts.parameters.value for facts in facts_of(graph)[-2:])
    assert graph.parameters - head == 286_432
    assert shapes(graph) == shapes(networks.note_separable())
    assert graph.macs / networks.note_separable().macs == pytest.approx(7.2, abs=0.005)


def test_a_macs_is_neither_bias_nor_activation() -> None:
    plain = describe(Conv2D(4, 3, use_bias=False), [(8, 8, 2)]).macs
    assert plain.text == "6×6×4×(3×3×2) = 2,592"
    assert describe(Conv2D(4, 3, activation="selu"), [(8, 8, 2)]).macs.value == plain.value
    # Padded cells count: each of 8×8 positions has all its nine products.
    assert describe(Conv2D(4, 3, padding="same"), [(8, 8, 2)]).macs.text == "8×8×4×(3×3×2) = 4,608"
    assert describe(MaxPooling2D(), [(8, 8, 2)]).macs.value == 0


@pytest.mark.parametrize("filters", [1, 2, 3, 9, 32, 64, 128])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("channels", [1, 2, 32])
def test_when_a_separable_layer_is_not_smaller(filters: int, kernel: int, channels: int) -> None:
    """d ≥ k²·Cout / (k² + Cout), checked by counting."""

    def weights(layer: Any) -> Any:
        return describe(layer, [(9, 9, channels)]).parameters.value

    ordinary = weights(Conv2D(filters, kernel))
    limit = kernel**2 * filters / (kernel**2 + filters)
    largest = largest_smaller_depth_multiplier((kernel, kernel), filters)
    for multiplier in range(1, 12):
        separable = weights(SeparableConv2D(filters, kernel, depth_multiplier=multiplier))
        assert (separable < ordinary) == (multiplier < limit) == (multiplier <= largest), multiplier
