"""What exporters spell out, as the operator that it is: HardSwish, Swish, Gelu, Mish and normalisations written as arithmetic.

The nodes of the arithmetic are read as well; where nothing else needs them, they are left out of the network at its end.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.onnx.reading.network import Constant, Tensor, Value
from depthwise.data.formats.onnx.reading.proto import Node
from depthwise.dataclass import dataclass

__all__ = ["Recogniser", "Spelled"]

DEEPEST_PRODUCT = 4
"""How many products of products are looked into: exporters put a factor at any of these places."""

CLOSE = 1e-6
"""How far apart, relatively, two constants may be that mean one: files keep them in float32, rounded from few digits."""


@dataclass(frozen=True)
class Spelled:
    """The nodes that stand for a spelled-out operator, and the constants that they read, by name."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant] = field(default_factory=dict)


@dataclass(frozen=True)
class _Normal:
    """(x − mean) / √(variance + epsilon) over these axes of the file."""

    x: str
    axes: tuple[int, ...]
    epsilon: float


class Recogniser:
    """Looks from a node back at those that were read before it.

    Args:
        values: what the nodes gave, by name; it grows while the file is read.
        rank_of: how many axes a tensor has in the file.
    """

    def __init__(self, values: Mapping[str, Value], rank_of: Callable[[Tensor], int]) -> None:
        self.values, self.rank_of = values, rank_of
        self.made: dict[str, Node] = {}

    def add(self, node: Node) -> None:
        """A node that was read, and what it gives."""
        for name in node.outputs:
            if name:
                self.made[name] = node

    def spelled(self, node: Node) -> Spelled | None:
        """What a node is the end of; None where it is only itself."""
        if node.operator not in ("Add", "Div", "Mul") or len(node.inputs) != 2:
            return None
        if node.operator in ("Div", "Mul"):
            for factor, names in self._products(node, DEEPEST_PRODUCT):
                found = self._activation(node, factor, names)
                if found is not None:
                    return Spelled((found,))
        return self._normalisation(node)

    # -- what is read ------------------------------------------------------------------------------------------------

    def _number(self, name: str) -> float | None:
        value = self.values.get(name)
        if isinstance(value, Constant) and value.array.shape in ((), (1,)) and value.array.dtype.kind in "fi":
            return float(np.ravel(value.array)[0])
        return None

    def _is(self, name: str, number: float) -> bool:
        found = self._number(name)
        return found is not None and _close(found, number)

    def _made_by(self, name: str, *operators: str) -> Node | None:
        node = self.made.get(name)
        return node if node is not None and node.operator in operators else None

    def _plus(self, name: str, number: float) -> str | None:
        """What `number` is added to."""
        node = self._made_by(name, "Add")
        if node is None or len(node.inputs) != 2:
            return None
        return next((a for a, b in (node.inputs, node.inputs[::-1]) if self._is(b, number)), None)

    def _products(self, node: Node, depth: int) -> Iterator[tuple[float, tuple[str, ...]]]:
        """A product, or a quotient by a number, as (the product of its numbers, its other factors), in every way."""
        first, second = node.inputs
        if node.operator == "Div":
            divisor = self._number(second)
            if divisor:
                for factor, names in self._factors(first, depth):
                    yield factor / divisor, names
            return
        for factor, names in self._factors(first, depth):
            for other, more in self._factors(second, depth):
                yield factor * other, names + more

    def _factors(self, name: str, depth: int) -> Iterator[tuple[float, tuple[str, ...]]]:
        number = self._number(name)
        if number is not None:
            yield number, ()
            return
        yield 1.0, (name,)
        node = self._made_by(name, "Mul", "Div")
        if node is not None and depth > 1 and len(node.inputs) == 2:
            yield from self._products(node, depth - 1)

    def _is_product(self, name: str, number: float, factors: tuple[str, ...]) -> bool:
        return any(
            _close(factor, number) and sorted(names) == sorted(factors)
            for factor, names in self._factors(name, DEEPEST_PRODUCT)
        )

    # -- activations -------------------------------------------------------------------------------------------------

    def _activation(self, node: Node, factor: float, names: tuple[str, ...]) -> Node | None:
        if len(names) == 1 and _close(factor, 1 / 6):
            x = self._clipped(names[0])
            return None if x is None else _as(node, "HardSigmoid", x, alpha=1 / 6, beta=0.5)
        if len(names) != 2:
            return None
        for x, other in (names, names[::-1]):
            alpha = self._sigmoid_of(other, x) if _close(factor, 1.0) else None
            if alpha is not None:
                return _as(node, "Swish", x, alpha=1.0 if _close(alpha, 1.0) else alpha)
            if _close(factor, 1.0) and self._is_hard_gate(other, x):
                return _as(node, "HardSwish", x)
            if _close(factor, 1.0) and self._is_mish(other, x):
                return _as(node, "Mish", x)
            if _close(factor, 1 / 6) and self._clipped(other) == x:
                return _as(node, "HardSwish", x)
            if _close(factor, 0.5):
                how = self._gelu(other, x)
                if how is not None:
                    return _as(node, "Gelu", x, approximate=how)
        return None

    def _sigmoid_of(self, name: str, x: str) -> float | None:
        """The α of sigmoid(α x)."""
        node = self._made_by(name, "Sigmoid")
        if node is None:
            return None
        return next((alpha for alpha, names in self._factors(node.inputs[0], DEEPEST_PRODUCT) if names == (x,)), None)

    def _is_hard_gate(self, name: str, x: str) -> bool:
        node = self._made_by(name, "HardSigmoid")
        if node is None:
            return self._is_hard_sigmoid(name, x)
        alpha, beta = (float(node.attributes.get(key, usual)) for key, usual in (("alpha", 0.2), ("beta", 0.5)))
        return node.inputs[0] == x and _close(alpha, 1 / 6) and _close(beta, 0.5)

    def _is_hard_sigmoid(self, name: str, x: str) -> bool:
        return any(
            _close(factor, 1 / 6) and len(names) == 1 and self._clipped(names[0]) == x
            for factor, names in self._factors(name, DEEPEST_PRODUCT)
        )

    def _clipped(self, name: str) -> str | None:
        """The x of Clip(x + 3, 0, 6)."""
        node = self._made_by(name, "Clip")
        if node is None:
            return None
        limits = [node.attributes.get("min"), node.attributes.get("max")]
        for place in (1, 2):
            if place < len(node.inputs) and node.inputs[place]:
                limits[place - 1] = self._number(node.inputs[place])
        if limits != [0.0, 6.0]:
            return None
        return self._plus(node.inputs[0], 3.0)

    def _is_mish(self, name: str, x: str) -> bool:
        node = self._made_by(name, "Tanh")
        inner = None if node is None else self._made_by(node.inputs[0], "Softplus")
        return inner is not None and inner.inputs[0] == x

    def _gelu(self, name: str, x: str) -> str | None:
        """Whether 1 + erf(x / √2) stands there, "none", or its approximation by tanh, "tanh"."""
        inner = self._plus(name, 1.0)
        node = None if inner is None else self._made_by(inner, "Erf", "Tanh")
        if node is None:
            return None
        (inside,) = node.inputs
        if node.operator == "Erf":
            return "none" if self._is_product(inside, sqrt(0.5), (x,)) else None
        for factor, names in self._factors(inside, DEEPEST_PRODUCT):
            if _close(factor, sqrt(2 / pi)) and (
                (len(names) == 1 and self._is_cubic(names[0], x))
                or any(names in ((x, other), (other, x)) and self._is_one_and_square(other, x) for other in names)
            ):
                return "tanh"
        return None

    def _is_cubic(self, name: str, x: str) -> bool:
        """x + 0.044715 · x³."""
        node = self._made_by(name, "Add")
        return node is not None and any(a == x and self._is_power(b, x, 3) for a, b in (node.inputs, node.inputs[::-1]))

    def _is_one_and_square(self, name: str, x: str) -> bool:
        """1 + 0.044715 · x²."""
        inner = self._plus(name, 1.0)
        return inner is not None and self._is_power(inner, x, 2)

    def _is_power(self, name: str, x: str, exponent: int) -> bool:
        """0.044715 times x to that power, as a product or by Pow."""
        for factor, names in self._factors(name, DEEPEST_PRODUCT):
            if not _close(factor, 0.044715):
                continue
            if names == (x,) * exponent:
                return True
            power = self._made_by(names[0], "Pow") if len(names) == 1 else None
            if power is not None and power.inputs[0] == x and self._is(power.inputs[1], float(exponent)):
                return True
        return False

    # -- normalisation -----------------------------------------------------------------------------------------------

    def _normalisation(self, node: Node) -> Spelled | None:
        direct = self._normal(node)
        if direct is not None:
            return self._as_normalisation(node, direct, None, None)
        folded = self._folded(node)
        if folded is not None:
            return self._as_normalisation(node, *folded)
        if node.operator not in ("Mul", "Add"):
            return None
        for inner, name in (node.inputs, node.inputs[::-1]):
            given = self.values.get(name)
            before = self.made.get(inner)
            if not isinstance(given, Constant) or before is None:
                continue
            normal = self._normal(before)
            if normal is not None:
                scale, shift = (given.array, None) if node.operator == "Mul" else (None, given.array)
                return self._as_normalisation(node, normal, scale, shift)
            if node.operator == "Add" and before.operator == "Mul":
                for product, scale_name in (before.inputs, before.inputs[::-1]):
                    scale_value, normalised = self.values.get(scale_name), self.made.get(product)
                    normal = None if normalised is None else self._normal(normalised)
                    if isinstance(scale_value, Constant) and normal is not None:
                        return self._as_normalisation(node, normal, scale_value.array, given.array)
        return None

    def _normal(self, node: Node) -> _Normal | None:
        """(x − mean) · 1 / √(variance + epsilon), or divided by the root."""
        if node.operator == "Div":
            return self._apart(node.inputs[0], self._root(node.inputs[1]))
        if node.operator == "Mul":
            for apart, inverse in (node.inputs, node.inputs[::-1]):
                found = self._apart(apart, self._inverse_root(inverse))
                if found is not None:
                    return found
        return None

    def _apart(self, name: str, root: tuple[str, float] | None) -> _Normal | None:
        """Whether `name` is x − mean, and the root that of its variance."""
        if root is None:
            return None
        variance, epsilon = root
        node = self._made_by(name, "Sub")
        if node is None:
            return None
        x, mean = node.inputs
        axes = self._mean_of(mean, x)
        if axes is None or not self._is_variance(variance, x, axes):
            return None
        return _Normal(x, axes, epsilon)

    def _root(self, name: str) -> tuple[str, float] | None:
        """(variance, epsilon) of √(variance + epsilon)."""
        node = self._made_by(name, "Sqrt", "Pow")
        if node is None or (node.operator == "Pow" and not self._is(node.inputs[1], 0.5)):
            return None
        return self._with_epsilon(node.inputs[0])

    def _inverse_root(self, name: str) -> tuple[str, float] | None:
        node = self._made_by(name, "Reciprocal", "Div", "Pow")
        if node is None:
            return None
        if node.operator == "Pow":
            return self._with_epsilon(node.inputs[0]) if self._is(node.inputs[1], -0.5) else None
        if node.operator == "Div" and not self._is(node.inputs[0], 1.0):
            return None
        return self._root(node.inputs[-1])

    def _with_epsilon(self, name: str) -> tuple[str, float] | None:
        node = self._made_by(name, "Add")
        if node is None:
            return None
        for variance, small in (node.inputs, node.inputs[::-1]):
            epsilon = self._number(small)
            if epsilon is not None and 0.0 < epsilon < 1.0:
                return variance, epsilon
        return None

    def _mean_of(self, name: str, x: str) -> tuple[int, ...] | None:
        """The axes along which it is the mean of x, in order."""
        node, rank = self._made_by(name, "ReduceMean"), self._rank(x)
        if node is None or rank is None or node.inputs[0] != x or not node.attributes.get("keepdims", 1):
            return None
        axes = node.attributes.get("axes")
        if len(node.inputs) > 1:
            given = self.values.get(node.inputs[1])
            axes = given.array.ravel().tolist() if isinstance(given, Constant) else None
        if not axes or any(not -rank <= axis < rank for axis in axes):
            return None
        return tuple(sorted({int(axis) % rank for axis in axes}))

    def _is_variance(self, name: str, x: str, axes: tuple[int, ...]) -> bool:
        """The mean of (x − mean)²."""
        node = self._made_by(name, "ReduceMean")
        square = None if node is None else self._made_by(node.inputs[0], "Mul", "Pow")
        if node is None or square is None or self._mean_of(name, node.inputs[0]) != axes:
            return False
        if square.operator == "Mul" and square.inputs[0] != square.inputs[1]:
            return False
        if square.operator == "Pow" and not self._is(square.inputs[1], 2.0):
            return False
        apart = self._made_by(square.inputs[0], "Sub")
        if apart is None:
            return False
        first, second = apart.inputs
        return any(a == x and self._mean_of(b, x) == axes for a, b in ((first, second), (second, first)))

    def _folded(self, node: Node) -> tuple[_Normal, NDArray[Any] | None, NDArray[Any]] | None:
        """TensorFlow's form: x · r + (shift − mean · r), with r the inverse deviation times the scale."""
        if node.operator != "Add":
            return None
        for product, rest in (node.inputs, node.inputs[::-1]):
            difference, times = self._made_by(rest, "Sub"), self._made_by(product, "Mul")
            moved = None if difference is None else self._made_by(difference.inputs[1], "Mul")
            if difference is None or times is None or moved is None:
                continue
            shift = self.values.get(difference.inputs[0])
            for x, inverse in (times.inputs, times.inputs[::-1]):
                mean = next((a for a, b in (moved.inputs, moved.inputs[::-1]) if b == inverse), None)
                axes = None if mean is None else self._mean_of(mean, x)
                if axes is None or not isinstance(shift, Constant):
                    continue
                root, scale = self._scaled_root(inverse)
                if root is not None and self._is_variance(root[0], x, axes):
                    return _Normal(x, axes, root[1]), scale, shift.array
        return None

    def _scaled_root(self, name: str) -> tuple[tuple[str, float] | None, NDArray[Any] | None]:
        found = self._inverse_root(name)
        node = self._made_by(name, "Mul")
        if found is not None or node is None:
            return found, None
        for inverse, scale in (node.inputs, node.inputs[::-1]):
            value = self.values.get(scale)
            if isinstance(value, Constant):
                return self._inverse_root(inverse), value.array
        return None, None

    def _rank(self, name: str) -> int | None:
        value = self.values.get(name)
        return self.rank_of(value) if isinstance(value, Tensor) else None

    def _as_normalisation(
        self, node: Node, normal: _Normal, scale: NDArray[Any] | None, shift: NDArray[Any] | None
    ) -> Spelled | None:
        """LayerNormalization of the last axes, or of one axis brought there; InstanceNormalization of all behind the channels."""
        rank = self._rank(normal.x)
        assert rank is not None
        arrays = [item for item in (scale, shift) if item is not None]
        axes, output = normal.axes, node.outputs[0]
        channels = rank > 2 and axes == tuple(range(2, rank))
        if channels and all(_varies_along(item, rank, (1,)) for item in arrays) and (arrays or rank > 3):
            return self._as_instances(node, normal, scale, shift)
        if axes[0] == 0 or not all(_varies_along(item, rank, axes) for item in arrays):
            return None
        kept = [None if item is None else _along(item, rank, axes) for item in (scale, shift)]
        names = [f"{output}/scale", *([] if shift is None else [f"{output}/shift"])]
        constants = {names[0]: Constant(np.ones((), np.float32) if kept[0] is None else kept[0])}
        if kept[1] is not None:
            constants[names[1]] = Constant(kept[1])
        attributes = {"axis": -len(axes), "epsilon": normal.epsilon}
        if axes == tuple(range(rank - len(axes), rank)):
            return Spelled((_as(node, "LayerNormalization", normal.x, *names, **attributes),), constants)
        if len(axes) > 1:
            return None
        there = [*(axis for axis in range(rank) if axis != axes[0]), axes[0]]
        back = [there.index(axis) for axis in range(rank)]
        last, done = f"{output}/last", f"{output}/normal"
        own = node.name or output
        nodes = (
            Node("Transpose", f"{own}_last", (normal.x,), (last,), {"perm": there}),
            Node("LayerNormalization", own, (last, *names), (done,), attributes),
            Node("Transpose", f"{own}_back", (done,), node.outputs, {"perm": back}),
        )
        return Spelled(nodes, constants)

    def _as_instances(
        self, node: Node, normal: _Normal, scale: NDArray[Any] | None, shift: NDArray[Any] | None
    ) -> Spelled | None:
        value = self.values[normal.x]
        assert isinstance(value, Tensor)
        if not value.shape or value.batch_axis:
            return None
        channels = value.shape[0 if len(value.shape) == self._rank(normal.x) - 1 else 1]  # type: ignore[operator]
        names = (f"{node.outputs[0]}/scale", f"{node.outputs[0]}/shift")
        constants = {
            name: Constant(np.broadcast_to(np.float32(usual) if item is None else item.ravel(), (channels,)))
            for name, item, usual in zip(names, (scale, shift), (1.0, 0.0))
        }
        attributes = {"epsilon": normal.epsilon}
        return Spelled((_as(node, "InstanceNormalization", normal.x, *names, **attributes),), constants)


def _close(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= CLOSE * abs(wanted)


def _as(node: Node, operator: str, *inputs: str, **attributes: Any) -> Node:
    return replace(node, operator=operator, inputs=inputs, attributes=attributes, message=None)


def _padded(array: NDArray[Any], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - array.ndim) + array.shape


def _varies_along(array: NDArray[Any], rank: int, axes: tuple[int, ...]) -> bool:
    """Whether a constant, broadcast to so many axes, is the same along all others."""
    return array.ndim <= rank and all(size == 1 or axis in axes for axis, size in enumerate(_padded(array, rank)))


def _along(array: NDArray[Any], rank: int, axes: tuple[int, ...]) -> NDArray[Any]:
    shape = _padded(array, rank)
    return array.reshape([shape[axis] for axis in axes])
