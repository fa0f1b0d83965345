"""Operators that exporters spell out as arithmetic are read as what they are; what only looks like them is not."""

from collections import Counter
from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np
import pytest

from support.onnx_drafts import Draft, check, network_of

Build = Callable[[Draft, str], Any]


def n(value: float) -> np.float32:
    return np.float32(value)


def clipped(d: Draft, x: str, low: float = 0.0, high: float = 6.0) -> Any:
    return d.node("Clip", d.node("Add", x, n(3.0)), n(low), n(high))


def erf(d: Draft, x: str) -> Any:
    return d.node("Add", d.node("Erf", d.node("Div", x, n(sqrt(2.0)))), n(1.0))


def tanh_of_cubic(d: Draft, x: str) -> Any:
    cubic = d.node("Mul", d.node("Pow", x, n(3.0)), n(0.044715))
    inside = d.node("Mul", d.node("Add", x, cubic), n(sqrt(2.0 / pi)))
    return d.node("Add", d.node("Tanh", inside), n(1.0))


def tanh_of_triple(d: Draft, x: str) -> Any:
    """As PyTorch writes the cube."""
    cubic = d.node("Mul", n(0.044715), d.node("Mul", x, d.node("Mul", x, x)))
    return d.node("Add", n(1.0), d.node("Tanh", d.node("Mul", n(sqrt(2.0 / pi)), d.node("Add", x, cubic))))


def tanh_of_square(d: Draft, x: str) -> Any:
    square = d.node("Add", n(1.0), d.node("Mul", d.node("Mul", x, n(0.044715)), x))
    inside = d.node("Mul", d.node("Mul", n(sqrt(2.0 / pi)), x), square)
    return d.node("Add", d.node("Tanh", inside), n(1.0))


SPELLED: dict[str, tuple[Build, str]] = {
    "silu": (lambda d, x: d.node("Mul", x, d.node("Sigmoid", x)), "silu"),
    "silu with a factor of one": (lambda d, x: d.node("Mul", x, d.node("Sigmoid", d.node("Mul", x, n(1.0)))), "silu"),
    "swish": (lambda d, x: d.node("Mul", d.node("Sigmoid", d.node("Mul", n(1.5), x)), x), "Swish"),
    "hard silu by its gate": (lambda d, x: d.node("Mul", d.node("HardSigmoid", x, alpha=1 / 6), x), "hard_silu"),
    "hard silu, divided last": (lambda d, x: d.node("Div", d.node("Mul", x, clipped(d, x)), n(6.0)), "hard_silu"),
    "hard silu, divided first": (lambda d, x: d.node("Mul", x, d.node("Div", clipped(d, x), n(6.0))), "hard_silu"),
    "hard silu, a sixth": (lambda d, x: d.node("Mul", d.node("Mul", n(1 / 6), clipped(d, x)), x), "hard_silu"),
    "hard sigmoid": (lambda d, x: d.node("Div", clipped(d, x), n(6.0)), "hard_sigmoid"),
    "mish": (lambda d, x: d.node("Mul", x, d.node("Tanh", d.node("Softplus", x))), "mish"),
    "gelu, half last": (lambda d, x: d.node("Mul", d.node("Mul", x, erf(d, x)), n(0.5)), "gelu"),
    "gelu, half first": (lambda d, x: d.node("Mul", d.node("Mul", n(0.5), x), erf(d, x)), "gelu"),
    "gelu, half of the share": (lambda d, x: d.node("Mul", x, d.node("Mul", erf(d, x), n(0.5))), "gelu"),
    "gelu by tanh": (lambda d, x: d.node("Mul", d.node("Mul", x, tanh_of_cubic(d, x)), n(0.5)), "Gelu"),
    "gelu by tanh of three": (lambda d, x: d.node("Mul", n(0.5), d.node("Mul", x, tanh_of_triple(d, x))), "Gelu"),
    "gelu by tanh of a product": (lambda d, x: d.node("Mul", d.node("Mul", x, n(0.5)), tanh_of_square(d, x)), "Gelu"),
}  # fmt: skip
NEARLY: dict[str, Build] = {
    "another input's sigmoid": lambda d, x: d.node("Mul", x, d.node("Sigmoid", d.node("Neg", x))),
    "another limit": lambda d, x: d.node("Div", d.node("Mul", x, clipped(d, x, 0.0, 5.0)), n(6.0)),
    "another gate": lambda d, x: d.node("Mul", x, d.node("HardSigmoid", x, alpha=0.2)),
    "another share": lambda d, x: d.node("Mul", d.node("Mul", x, erf(d, x)), n(0.4)),
    "another root": lambda d, x: d.node("Mul", d.node("Mul", x, d.node("Add", d.node("Erf", x), n(1.0))), n(0.5)),
}


def kinds(draft: Draft, *outputs: str, opset: int = 17) -> Counter[str]:
    """What the network's members are, activations by their name."""
    members: Any = network_of(draft.model(*outputs, opset=opset)).saved.tree.members
    found = [
        getattr(item, "activation", None) or getattr(item, "operator", "") or type(item).__name__ for item in members
    ]
    return Counter(name for name in found if name not in ("InputLayer", "Permute", "Reshape", "Identity"))


def test_activations_are_the_layer_that_they_are() -> None:
    draft = Draft("n", 5, 9)
    outputs = [build(draft, "x") for build, _ in SPELLED.values()]
    assert kinds(draft, *outputs) == Counter(wanted for _, wanted in SPELLED.values())
    check(draft.model(*outputs), (3, 5, 9))


def test_what_is_nearly_an_activation_stays_arithmetic() -> None:
    draft = Draft("n", 5, 9)
    outputs = [build(draft, "x") for build in NEARLY.values()]
    assert not {"silu", "gelu", "hard_silu", "Gelu"} & set(kinds(draft, *outputs))
    check(draft.model(*outputs), (3, 5, 9))


def normal(d: Draft, x: str, axes: list[int], form: str = "root") -> Any:
    """(x − mean) / √(variance + 10⁻⁵)."""
    apart = d.node("Sub", x, d.node("ReduceMean", x, axes=axes))
    square = d.node("Mul", apart, apart) if form == "power" else d.node("Pow", apart, n(2.0))
    total = d.node("Add", d.node("ReduceMean", square, axes=axes), n(1e-5))
    if form == "power":
        return d.node("Mul", d.node("Pow", total, n(-0.5)), apart)
    if form == "reciprocal":
        return d.node("Mul", apart, d.node("Reciprocal", d.node("Sqrt", total)))
    return d.node("Div", apart, d.node("Sqrt", total))


def folded(d: Draft, x: str, axes: list[int], size: int) -> Any:
    """As TensorFlow's batch_normalization of moments is exported."""
    mean = d.node("ReduceMean", x, axes=axes)
    apart = d.node("Sub", x, mean)
    total = d.node("Add", d.node("ReduceMean", d.node("Mul", apart, apart), axes=axes), n(1e-3))
    inverse = d.node("Mul", d.node("Reciprocal", d.node("Sqrt", total)), d.drawn(size))
    return d.node("Add", d.node("Mul", x, inverse), d.node("Sub", d.drawn(size), d.node("Mul", mean, inverse)))


def scaled(d: Draft, x: Any, *shape: int) -> Any:
    return d.node("Add", d.node("Mul", x, d.drawn(*shape)), d.drawn(*shape))


def test_normalisations_are_the_layer_that_they_are() -> None:
    draft = Draft("n", 4, 5, 6)
    layers = [
        scaled(draft, normal(draft, "x", [-1]), 6),
        scaled(draft, normal(draft, "x", [2, 3], "power"), 5, 6),
        draft.node("Mul", normal(draft, "x", [3], "reciprocal"), draft.drawn(6)),
        folded(draft, "x", [-1], 6),
        scaled(draft, normal(draft, "x", [1]), 4, 1, 1),
    ]
    groups = [scaled(draft, normal(draft, "x", [2, 3]), 4, 1, 1), normal(draft, "x", [-2, -1])]
    assert kinds(draft, *layers, *groups) == {"LayerNormalization": 5, "GroupNormalization": 2}
    check(draft.model(*layers, *groups), (3, 4, 5, 6))


def test_channels_are_normalised_where_they_are_stored() -> None:
    """As ConvNeXt's blocks normalise their channels: the maps between two convolutions are moved nowhere."""
    draft = Draft("n", 3, 7, 7)
    x = scaled(draft, normal(draft, draft.conv("x", 6, 3), [1]), 6, 1, 1)
    x = draft.node("GlobalAveragePool", draft.conv(x, 4, 6, 1))
    check(draft.model(x), (2, 3, 7, 7), transposes=1)


@pytest.mark.parametrize("axes", [[1, 3], [0], [1, 2]])
def test_what_no_layer_normalises_stays_arithmetic(axes: list[int]) -> None:
    draft = Draft(2, 3, 4, 4)
    model = draft.model(normal(draft, "x", axes))
    assert not {"LayerNormalization", "GroupNormalization"} & set(kinds(draft, draft.nodes[-1].output[0]))
    check(model, (2, 3, 4, 4))


def test_a_scale_of_single_numbers_is_kept_apart() -> None:
    """A map of factors, one for each number, is more than the normalisation of channels takes."""
    draft = Draft("n", 4, 5, 6)
    y = draft.node("Mul", normal(draft, "x", [1]), draft.drawn(4, 5, 6))
    assert kinds(draft, y) == {"LayerNormalization": 1, "Mul": 1}
    check(draft.model(y), (2, 4, 5, 6))


def test_where_the_first_axis_is_no_batch_the_arithmetic_stays() -> None:
    draft = Draft(2, 3, 4, 4)
    y = normal(draft, "x", [2, 3])
    z = draft.node("ReduceMax", "x", axes=[0], keepdims=1)
    assert not network_of(draft.model(y, z)).is_batched
    check(draft.model(y, z), (2, 3, 4, 4))
