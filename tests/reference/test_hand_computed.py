"""Cases small enough to check with pencil and paper."""

import math
from typing import Any

import numpy as np
import pytest

from depthwise import optimizers
from depthwise.arguments import ACTIVATIONS
from depthwise.errors import ShapeError
from depthwise.layers import descriptions as layers
from depthwise.reference import activations, backward, forward, layer
from depthwise.reference.losses import Loss, loss_gradient, sample_losses, total_loss
from depthwise.reference.optimizers import step
from depthwise.reference.windows import windows


def image(rows: Any) -> Any:
    """One sample with one channel."""
    return np.array(rows, dtype=float)[np.newaxis, :, :, np.newaxis]


def plain(x: Any) -> Any:
    """Back to rows of numbers."""
    return x[0, :, :, 0].tolist()


COUNT = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


def test_conv2d_of_the_note_gives_three_by_three_by_three() -> None:
    x = np.arange(50.0).reshape(1, 5, 5, 2)
    kernel = np.zeros((3, 3, 2, 3))
    kernel[0, 0, 0, 0] = 1.0  # the first filter copies channel 0 of the window's first cell
    kernel[..., 1] = 1.0  # the second adds all 18 numbers up
    kernel[1, 1, 1, 2] = 2.0  # the third doubles channel 1 of the middle cell
    y = forward.conv2d(x, kernel, [0.5, 0.0, -1.0])
    assert y.shape == (1, 3, 3, 3)
    assert y[0, 0, 0].tolist() == [0.5, sum(range(6)) + sum(range(10, 16)) + sum(range(20, 26)), 2 * 13 - 1]
    assert y[0, 2, 2].tolist() == [24.5, x[0, 2:, 2:].sum(), 2 * 37 - 1]


def test_conv2d_does_not_mirror_the_kernel() -> None:
    kernel = np.array([[1.0, 10.0]]).reshape(1, 2, 1, 1)
    assert plain(forward.conv2d(COUNT, kernel)) == [[21, 32], [54, 65], [87, 98]]


def test_same_padding_puts_the_odd_cell_at_the_end() -> None:
    kernel = np.ones((2, 2, 1, 1))
    assert plain(forward.conv2d(COUNT, kernel, padding="same")) == [[12, 16, 9], [24, 28, 15], [15, 17, 9]]
    place = windows((5, 4), (3, 3), (2, 2), "same")
    assert (place.output, place.before, place.after) == ((3, 2), (1, 0), (1, 1))


def test_stride_and_dilation() -> None:
    ones = np.ones((2, 2, 1, 1))
    assert plain(forward.conv2d(COUNT, ones, dilation_rate=(2, 2))) == [[1 + 3 + 7 + 9]]
    assert plain(forward.conv2d(COUNT, np.ones((1, 1, 1, 1)), strides=(2, 2))) == [[1, 3], [7, 9]]


def test_groups_read_their_own_channels_only() -> None:
    x = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 1, 4)
    y = forward.conv2d(x, np.ones((1, 1, 2, 2)), groups=2)
    assert y.ravel().tolist() == [11.0, 1100.0]


def test_depthwise_keeps_channels_apart_and_multiplies_depth() -> None:
    x = np.array([1.0, 10.0]).reshape(1, 1, 1, 2)
    kernel = np.array([[2.0, 3.0], [5.0, 7.0]]).reshape(1, 1, 2, 2)
    assert forward.depthwise_conv2d(x, kernel).ravel().tolist() == [2.0, 3.0, 50.0, 70.0]


def test_separable_is_depthwise_then_pointwise_with_one_bias() -> None:
    x = np.array([1.0, 10.0]).reshape(1, 1, 1, 2)
    y = forward.separable_conv2d(x, np.full((1, 1, 2, 1), 2.0), np.ones((1, 1, 2, 1)), [0.25])
    assert y.item() == 22.25


def test_a_window_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(ShapeError, match="spans 5 cells fits nowhere on 3 cells"):
        forward.conv2d(COUNT, np.ones((3, 3, 1, 1)), dilation_rate=(2, 2))


def test_pooling() -> None:
    assert plain(forward.max_pooling2d(COUNT, (2, 2), (2, 2))) == [[5]]
    assert plain(forward.max_pooling2d(-COUNT, (2, 2), (2, 2), "same")) == [[-1, -3], [-7, -9]]
    assert plain(forward.average_pooling2d(COUNT, (2, 2), (2, 2), "same")) == [[3, 4.5], [7.5, 9]]
    assert forward.global_average_pooling2d(COUNT).tolist() == [[5.0]]
    assert forward.global_max_pooling2d(COUNT, keepdims=True).shape == (1, 1, 1, 1)


def test_max_pooling_gradient_goes_to_the_first_of_equals() -> None:
    x = image([[2, 2, 0], [2, 1, 0], [0, 0, 0]])
    dy = image([[1, 10], [100, 1000]])
    assert plain(backward.max_pooling2d_gradient(x, dy, (2, 2), (1, 1))) == [[1, 10, 0], [100, 1000, 0], [0, 0, 0]]
    assert plain(backward.global_max_pooling2d_gradient(x, [[7.0]])) == [[7, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_batch_normalization() -> None:
    x = np.array([[1.0], [3.0]])
    mean, variance = forward.batch_statistics(x)
    assert (mean.item(), variance.item()) == (2.0, 1.0)
    assert forward.batch_normalization(x, mean, variance, [3.0], [10.0], 0.0).ravel().tolist() == [7.0, 13.0]
    assert forward.moving_average([0.0], mean, 0.75).item() == 0.5


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("linear", -2.5, -2.5),
        ("relu", -1.0, 0.0),
        ("relu6", 8.0, 6.0),
        ("leaky_relu", -2.0, -0.4),
        ("elu", -1.0, math.exp(-1) - 1),
        ("selu", 2.0, 2 * 1.0507009873554805),
        ("selu", -1.0, 1.0507009873554805 * 1.6732632423543772 * (math.exp(-1) - 1)),
        ("gelu", 1.0, 0.5 * (1 + math.erf(1 / math.sqrt(2)))),
        ("silu", 1.0, 1 / (1 + math.exp(-1))),
        ("sigmoid", 0.0, 0.5),
        ("sigmoid", -800.0, 0.0),
        ("hard_sigmoid", 1.5, 0.75),
        ("hard_sigmoid", 4.0, 1.0),
        ("hard_silu", 1.5, 1.125),
        ("tanh", 1.0, math.tanh(1)),
        ("celu", -1.0, math.exp(-1) - 1),
        ("exponential", 2.0, math.exp(2)),
        ("hard_shrink", 0.5, 0.0),
        ("hard_shrink", -0.75, -0.75),
        ("hard_tanh", -1.5, -1.0),
        ("log_sigmoid", 0.0, -math.log(2)),
        ("log_sigmoid", -800.0, -800.0),
        ("mish", 1.0, math.tanh(math.log(1 + math.e))),
        ("soft_shrink", -0.75, -0.25),
        ("softsign", -3.0, -0.75),
        ("sparse_plus", 0.0, 0.25),
        ("sparse_plus", 3.0, 3.0),
        ("sparse_sigmoid", 0.5, 0.75),
        ("squareplus", 0.0, 1.0),
        ("squareplus", -1.5, 0.5),
        ("tanh_shrink", 2.0, 2 - math.tanh(2)),
        ("softplus", 0.0, math.log(2)),
        ("softplus", 800.0, 800.0),
    ],
)
def test_activation(name: str, x: float, expected: Any) -> None:
    assert activations.activation(name, [x]).item() == pytest.approx(expected, rel=1e-15, abs=0.0)


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    y = activations.activation("softmax", [[0.0, math.log(3.0)], [1000.0, 1000.0]])
    np.testing.assert_allclose(y, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-15)


def test_relu_layer_clips_leaks_and_has_a_threshold() -> None:
    x = np.array([-2.0, 0.0, 0.5, 1.0, 3.0])
    assert activations.relu(x, 0.5, 2.0, 1.0).tolist() == [-1.5, -0.5, -0.25, 0.0, 2.0]
    assert activations.relu_slope(x, 0.5, 2.0, 1.0).tolist() == [0.5, 0.5, 0.5, 0.0, 0.0]


def test_activations_let_nan_through() -> None:
    for name in ACTIVATIONS:
        assert np.isnan(activations.activation(name, [np.nan])).all(), name


def test_dropout_scales_what_it_keeps() -> None:
    assert forward.dropout([1.0, 2.0], [True, False], 0.75).tolist() == [4.0, 0.0]
    assert forward.dropout([1.0, 2.0], [True, True], 1.0).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="needs its mask"):
        layer.forward(layers.Dropout(0.5, name="drop"), {}, [np.ones((1, 2))], training=True)


def test_losses() -> None:
    half = [[0.5, 0.5]]
    assert sample_losses(Loss("SparseCategoricalCrossentropy"), [1], half).item() == pytest.approx(math.log(2))
    logits = Loss("SparseCategoricalCrossentropy", from_logits=True)
    assert sample_losses(logits, [[0]], [[0.0, math.log(3)]]).item() == pytest.approx(math.log(4))
    never = Loss("CategoricalCrossentropy")
    assert sample_losses(never, [[1.0, 0.0]], [[0.0, 1.0]]).item() == pytest.approx(-math.log(1e-7))
    assert sample_losses(Loss("BinaryCrossentropy", label_smoothing=0.5), [[1.0]], [[0.5]]).item() == pytest.approx(
        math.log(2)
    )
    assert sample_losses(Loss("MeanAbsoluteError"), [[1.0, 2.0]], [[0.0, 4.0]]).item() == 1.5


def test_weighted_loss_is_divided_by_the_batch_not_by_the_weights() -> None:
    squared = Loss("MeanSquaredError")
    assert total_loss(squared, [[0.0], [0.0]], [[1.0], [2.0]], [3.0, 0.0]) == 1.5
    assert loss_gradient(squared, [[0.0], [0.0]], [[1.0], [2.0]], [3.0, 0.0]).tolist() == [[3.0], [0.0]]


def test_first_adam_step_moves_by_the_learning_rate() -> None:
    # m / (1 − β₁) = g and v / (1 − β₂) = g², so the first step is lr · sign(g), but for epsilon.
    weights, state = step(optimizers.Adam(epsilon=0.0), {"w": [1.0, 1.0]}, {"w": [0.3, -7.0]}, {}, 0.25)
    np.testing.assert_allclose(weights["w"], [0.75, 1.25], rtol=1e-14)
    assert state["iteration"] == 1
    np.testing.assert_allclose(state["w/momentum"], [0.03, -0.7], rtol=1e-14)


def test_weight_decay_is_decoupled_and_clipping_comes_first() -> None:
    sgd = optimizers.SGD(weight_decay=0.5, clipnorm=5.0)
    weights, _ = step(sgd, {"w": [10.0, 10.0], "still": [2.0]}, {"w": [30.0, 40.0]}, {}, 0.1)
    np.testing.assert_allclose(weights["w"], [10.0 - 0.5 - 0.3, 10.0 - 0.5 - 0.4], rtol=1e-14)
    assert weights["still"].tolist() == [2.0]
