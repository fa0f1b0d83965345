"""How an operator becomes layers: the rules by name, and what they all read of a node."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.onnx.reading.network import (
    Constant,
    ConstantNeededError,
    Network,
    RefusedError,
    Tensor,
    Value,
)
from depthwise.data.formats.onnx.reading.proto import Node

__all__ = ["RULES", "Given", "operator"]


class Given:
    """One node, what it reads, and the network that it becomes a part of."""

    def __init__(self, network: Network, node: Node, inputs: Sequence[Value | None], opset: int) -> None:
        self.network, self.node, self.opset = network, node, opset
        self.inputs = inputs

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.node.attributes.get(name, default)

    def has(self, place: int) -> bool:
        return place < len(self.inputs) and self.inputs[place] is not None

    def value(self, place: int) -> Value:
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise ValueError(f"its input {place} is missing")
        return found

    def raw(self, place: int = 0) -> Tensor:
        """A tensor, be it flattened and not in the file's order."""
        found = self.value(place)
        if isinstance(found, Constant):
            raise RefusedError(f"its input {place} is constant while others are not")
        return found

    def tensor(self, place: int = 0) -> Tensor:
        return self.network.settled(self.raw(place))

    def floats(self, place: int = 0) -> Tensor:
        """A tensor that arithmetic runs on."""
        found = self.tensor(place)
        if found.element == "int":
            raise RefusedError("it computes with whole numbers; tensors are float32 here")
        return found

    def constant(self, place: int) -> NDArray[Any]:
        """An operand that must be known beforehand.

        Raises:
            ConstantNeededError: it follows from inputs.
        """
        found = self.value(place)
        if isinstance(found, Tensor):
            raise ConstantNeededError(self.network.depends[found.port])
        return found.array

    def optional(self, place: int) -> NDArray[Any] | None:
        return self.constant(place) if self.has(place) else None

    def integers(self, place: int, attribute: str) -> list[int] | None:
        """Whole numbers that older operator sets keep as an attribute, newer ones as an input."""
        if attribute in self.node.attributes:
            given = self.node.attributes[attribute]
            return [int(item) for item in (given if isinstance(given, list) else [given])]
        return [int(item) for item in np.ravel(self.constant(place))] if self.has(place) else None

    def refuse_outputs(self, from_place: int = 1) -> None:
        """RefusedError where more than the first outputs are asked for."""
        if any(self.node.outputs[from_place:]):
            raise RefusedError("only its first output is supported")


Rule = Callable[[Given], Value | list[Value]]
RULES: dict[str, Rule] = {}


def operator(*names: str) -> Callable[[Rule], Rule]:
    """Registers the rule of operators."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register
