"""The graph of an ONNX file as it grows: nodes, initializers, and the type of everything between them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.dataclass import dataclass
from depthwise.network.facts import broadcast

__all__ = ["BATCH", "Node", "Nodes", "Tensor", "printable"]

Shape = tuple[int, ...]

BATCH = "batch"
"""What the first size of every input and output is called."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        shape: without the batch.
        sampled: whether the batch is before that; an initializer has none.
        boolean: what a comparison gives.
    """

    name: str
    shape: Shape
    sampled: bool = True
    boolean: bool = False


@dataclass
class Node:
    """One node of the graph, its attributes as Python values."""

    operator: str
    name: str
    reads: list[str]
    output: str
    attributes: dict[str, Any]


class Nodes:
    """A graph in the making.

    Args:
        opset: the version of the operators.
        reserved: names of the graph's inputs and outputs, which nothing else gets.
    """

    def __init__(self, opset: int, reserved: set[str]) -> None:
        self.opset = opset
        self.origin = ""
        """The layer whose operations are written: what nodes are called after."""
        self._tensors = set(reserved)
        self._names: set[str] = set()
        self.nodes: list[Node] = []
        self.initializers: dict[str, NDArray[Any]] = {}
        self._constants: dict[tuple[Any, ...], str] = {}
        self.made: dict[str, Tensor] = {}
        """What the nodes give, by its name."""
        self.renamed: dict[str, str] = {}
        """What some of it is called in the file."""

    def node(
        self, operator: str, *inputs: "Tensor | str", shape: Shape, boolean: bool = False, **attributes: Any
    ) -> Tensor:
        """One more node; its result.

        Args:
            inputs: tensors; "" for an optional one that is left out.
            shape: of the result, without the batch.
            attributes: those of the operator; None leaves one out.
        """
        wanted = printable(f"{self.origin}/{operator}")
        output = _free(wanted, self._tensors)
        reads = [item if isinstance(item, str) else item.name for item in inputs]
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(Node(operator, _free(wanted, self._names), reads, output, kept))
        sampled = any(item.sampled for item in inputs if isinstance(item, Tensor))
        self.made[output] = Tensor(output, shape, sampled, boolean)
        return self.made[output]

    def call_last(self, name: str) -> None:
        """Gives the last node, and its result where that is not an output of the graph already, the name of a layer."""
        node, name = self.nodes[-1], printable(name)
        if name not in self._names:
            node.name = _free(name, self._names)
        if name not in self._tensors:
            self.renamed[node.output] = _free(name, self._tensors)

    def spread(self, operator: str, *inputs: Tensor, boolean: bool = False) -> Tensor:
        """One more node of an operator that broadcasts its inputs as NumPy does."""
        shapes = tuple(item.shape for item in inputs)
        rank = max(map(len, shapes))
        shape = broadcast(operator, tuple((*[1] * (rank - len(item)), *item) for item in shapes))
        return self.node(operator, *inputs, shape=shape, boolean=boolean)

    def initializer(self, name: str, array: NDArray[Any]) -> Tensor:
        """An array of the file under its own name, or one like it."""
        own = _free(printable(name), self._tensors)
        self.initializers[own] = array
        return Tensor(own, array.shape, sampled=False)

    def constant(self, array: NDArray[Any], name: str) -> Tensor:
        """A small array that is not a weight; equal ones are one."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer(name, array).name
        return Tensor(self._constants[key], array.shape, sampled=False)

    def number(self, value: float) -> Tensor:
        """A number that every element meets."""
        return self.constant(np.array(value, np.float32), f"number/{value:g}")

    def integers(self, values: "list[int] | Shape", name: str) -> Tensor:
        """A list of whole numbers that an operator takes as input: a shape, axes, places."""
        shown = ",".join(map(str, values)) if len(values) <= 8 else f"{len(values)}"
        return self.constant(np.array(values, np.int64), f"{name}/{shown}")

    def reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        """The same numbers under another shape."""
        if len(shape) == 1:
            return self.node("Flatten", tensor, shape=shape, axis=1)
        sizes = self.integers([0, *shape], "shape")  # 0: the batch, whatever it is
        return self.node("Reshape", tensor, sizes, shape=shape)

    def reduce(self, operator: str, tensor: Tensor, places: list[int], keep: bool) -> Tensor:
        """A reduction along axes of the tensor; the batch is axis 0."""
        rest = [1 if place + 1 in places else size for place, size in enumerate(tensor.shape)]
        if not keep:
            rest = [size for place, size in enumerate(tensor.shape) if place + 1 not in places]
        # Axes became an input: of ReduceSum with version 13 of the operators, of the others with 18.
        if self.opset >= (13 if operator == "ReduceSum" else 18):
            axes = self.integers(places, "axes")
            return self.node(operator, tensor, axes, shape=tuple(rest), keepdims=int(keep))
        return self.node(operator, tensor, shape=tuple(rest), axes=places, keepdims=int(keep))


def _free(name: str, taken: set[str]) -> str:
    own, count = name, 0
    while own in taken:
        count += 1
        own = f"{name}_{count}"
    taken.add(own)
    return own


def printable(name: str) -> str:
    """A name as UTF-8 can hold it, without what is not printed."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in name) or "_"
