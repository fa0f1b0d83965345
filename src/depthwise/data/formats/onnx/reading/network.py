"""The network as it grows: layers and operations, their weights, and in which order each tensor's axes are stored.

A file keeps channels first, kernels want them last. Every tensor therefore remembers the file's shape and the order in which its
axes are stored: transposing costs nothing until somebody needs another order.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.arguments import LARGEST_FLOAT32
from depthwise.compiler.ir.expression import Constant as Number
from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.errors import UnsupportedError
from depthwise.layers import descriptions as layer
from depthwise.layers.description import Description
from depthwise.layers.tensors import Arithmetic, StridedCopy
from depthwise.network.facts import Shape, describe, merged
from depthwise.network.graph import WeightKey
from depthwise.network.tree import ModelTree, TreeCall, TreePort, in_keras_order

__all__ = ["Constant", "ConstantNeededError", "Network", "NotBatchedError", "RefusedError", "Tensor", "Value"]

Array = NDArray[Any]
Order = tuple[int, ...]


class RefusedError(UnsupportedError):
    """What an operator asks for is not supported; the message is the reason alone."""


class NotBatchedError(Exception):
    """The first axis is no batch: something mixes its places."""


class ConstantNeededError(Exception):
    """An operand must be known beforehand, and follows from these inputs of the network."""

    def __init__(self, inputs: frozenset[str]) -> None:
        super().__init__(*sorted(inputs))
        self.inputs = inputs


@dataclass(frozen=True)
class Constant:
    """A value that does not depend on what the network computes; `inputs` are those of the file whose values were given."""

    array: Array
    inputs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Tensor:
    """What a layer gives.

    Attributes:
        port: the layer's name.
        shape: of one sample, as in the file.
        order: the axes of `shape` in the order in which they are stored.
        element: "float", or "bool" and "int", which are stored as float32 too.
        positive: never below 0.
        flat: the tensor that a flattened one comes from, where its numbers are not yet in the file's order.
    """

    port: str
    shape: Shape
    order: Order
    element: str = "float"
    positive: bool = False
    flat: "Tensor | None" = None

    @property
    def stored(self) -> Shape:
        return tuple(self.shape[axis] for axis in self.order) or (1,)


Value = Constant | Tensor


class Network:
    """Members, calls and weights; see the module.

    Attributes:
        batch: the size of the batch that the first axis is taken for; None where a sample has all the axes of the file.
        transposes: names of the layers that put axes into another order.
        prefix: what the members that come next are named after.
    """

    def __init__(self, batch: int | None) -> None:
        self.batch = batch
        self.members: dict[str, Description] = {}
        self.calls: list[TreeCall] = []
        self.shapes: dict[str, Shape] = {}
        self.weights: dict[str, NDArray[np.float32]] = {}
        self.depends: dict[str, frozenset[str]] = {}
        self.transposes: list[str] = []
        self.prefix = ""
        self._moved: dict[tuple[str, Order], str] = {}

    # -- members -----------------------------------------------------------------------------------------------------

    def unique(self, wanted: str) -> str:
        """A layer's name, as near to the file's as Keras allows."""
        wanted = re.sub(r"[^\w.\-: ]+", "_", wanted)[:200].strip("_ ") or "node"
        if wanted not in self.members:
            return wanted
        return next(name for i in itertools.count(1) if (name := f"{wanted}_{i}") not in self.members)

    def add(self, description: Description, reads: Sequence[str], arrays: Sequence[Array] = (), name: str = "") -> str:
        """One more layer, with the values of its weights in their order; its port."""
        own = self.unique(name or self.prefix)
        named = replace(description, name=own)
        facts = describe(named, [self.shapes[port] for port in reads])
        if len(facts.weights) != len(arrays) or any(
            item.size != prod(w.shape) for w, item in zip(facts.weights, arrays)
        ):
            raise ValueError(f"weights of the shapes {[np.shape(item) for item in arrays]} do not fit")
        for weight, array in zip(facts.weights, arrays):
            value = np.ascontiguousarray(array, np.float32).reshape(weight.shape)
            self.weights[WeightKey((own,), weight.name).text] = value
        self.members[own] = named
        self.calls.append(TreeCall(own, 0, tuple(map(TreePort, reads))))
        self.shapes[own] = facts.output_shape
        self.depends[own] = frozenset().union(*(self.depends[port] for port in reads))
        return own

    def renamed(self, port: str, wanted: str) -> str:
        """Gives the layer of an output the output's name, where no other layer has it; its port."""
        own = self.unique(wanted)
        if own == port or re.fullmatch(rf"{re.escape(own)}(_\d+)?", port):
            return port
        self.members = {own if name == port else name: item for name, item in self.members.items()}
        self.members[own] = replace(self.members[own], name=own)

        def reads(call: TreeCall) -> tuple[TreePort, ...]:
            return tuple(TreePort(own) if item.member == port else item for item in call.inputs)

        self.calls = [TreeCall(own if c.member == port else c.member, 0, reads(c)) for c in self.calls]
        self.shapes[own], self.depends[own] = self.shapes.pop(port), self.depends.pop(port)
        self.transposes = [own if name == port else name for name in self.transposes]
        for key in [name for name in self.weights if name.rpartition("/")[0] == port]:
            self.weights[f"{own}/{key.rpartition('/')[2]}"] = self.weights.pop(key)
        return own

    def start(self, name: str, shape: Shape, element: str) -> Tensor:
        """An input of the network."""
        own = self.unique(name)
        self.members[own] = layer.InputLayer(shape=shape or (1,), name=own)
        self.calls.append(TreeCall(own, 0, ()))
        self.shapes[own] = shape or (1,)
        self.depends[own] = frozenset([name])
        return Tensor(own, shape, tuple(range(len(shape))), element)

    def tree(self, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> ModelTree:
        """The network's members that its outputs depend on."""
        reads = {call.member: [port.member for port in call.inputs] for call in self.calls}
        needed: set[str] = set()
        stack = [*inputs, *outputs]
        while stack:
            own = stack.pop()
            if own not in needed:
                needed.add(own)
                stack.extend(reads[own])
        members = tuple(member for own, member in self.members.items() if own in needed)
        calls = tuple(call for call in self.calls if call.member in needed)
        self.transposes = [own for own in self.transposes if own in needed]
        ports = (tuple(map(TreePort, inputs)), tuple(map(TreePort, outputs)))
        return in_keras_order(ModelTree(name, members, calls, *ports))

    # -- shapes of the file ------------------------------------------------------------------------------------------

    @property
    def offset(self) -> int:
        """How many axes of the file come before those of a sample."""
        return int(self.batch is not None)

    def full(self, tensor: Tensor) -> Shape:
        """The shape that the file knows."""
        return tensor.shape if self.batch is None else (self.batch, *tensor.shape)

    def axis(self, tensor: Tensor, axis: int) -> int:
        """An axis of the file as one of a sample."""
        rank = len(tensor.shape) + self.offset
        if not -rank <= axis < rank:
            raise ValueError(f"it has no axis {axis}, its input has {rank}")
        place = axis % rank - self.offset
        if place < 0:
            raise NotBatchedError
        return place

    def sample(self, full: Sequence[int]) -> Shape:
        """The shape of a sample of what has a whole shape."""
        if self.batch is None:
            return tuple(full)
        if not full or full[0] != self.batch:
            raise NotBatchedError
        return tuple(full[1:])

    # -- axes --------------------------------------------------------------------------------------------------------

    def result(self, port: str, like: Tensor, element: str = "float", positive: bool = False) -> Tensor:
        """The tensor that a layer gives which keeps the order of the axes."""
        stored = self.shapes[port]
        shape = [0] * len(like.order)
        for place, axis in enumerate(like.order):
            shape[axis] = stored[place]
        return Tensor(port, tuple(shape), like.order, element, positive)

    def permuted(self, tensor: Tensor, order: Sequence[int]) -> Tensor:
        """The same, stored in another order."""
        order = tuple(order)
        if tensor.flat is not None:
            tensor = self.settled(tensor)
        if tensor.order == order:
            return tensor
        key = (tensor.port, tuple(tensor.order.index(axis) for axis in order))
        port = self._moved.get(key)
        if port is None:
            moved = replace(tensor, order=order)
            large = [[axis for axis in item if tensor.shape[axis] > 1] for item in (order, tensor.order)]
            if large[0] == large[1]:
                port = self.add(layer.Reshape(moved.stored), [tensor.port], name=f"{tensor.port}_axes")
            else:
                port = self.add(layer.Permute(tuple(i + 1 for i in key[1])), [tensor.port], name=f"{tensor.port}_axes")
                self.transposes.append(port)
            self._moved[key] = port
        return replace(tensor, port=port, order=order)

    def plain(self, tensor: Tensor) -> Tensor:
        """Stored as in the file."""
        return self.permuted(tensor, range(len(tensor.shape)))

    def channels_last(self, tensor: Tensor) -> Tensor:
        """Stored with the file's first axis of a sample, the channels, last."""
        if not tensor.shape:
            raise ValueError("its input has no channels")
        return self.permuted(tensor, (*range(1, len(tensor.shape)), 0))

    def settled(self, tensor: Tensor) -> Tensor:
        """A flattened tensor with its numbers in the file's order."""
        if tensor.flat is None:
            return tensor
        port = self.add(layer.Flatten(), [self.plain(tensor.flat).port], name=f"{tensor.port}_flat")
        return Tensor(port, tensor.shape, (0,), tensor.element, tensor.positive)

    def reshaped(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The numbers under another shape of a sample, with as few of them moved as possible."""
        shape = tuple(shape)
        if shape == tensor.shape:
            return tensor
        if len(shape) == 1 and _moves(tensor):
            return Tensor(tensor.port, shape, (0,), tensor.element, tensor.positive, flat=tensor)
        tensor = self.settled(tensor)
        groups = _groups(tensor.shape, shape)

        def place(group: tuple[list[int], list[int]]) -> int:
            places = [tensor.order.index(axis) for axis in group[0]]
            large = [spot for spot in places if tensor.stored[spot] > 1] or places
            return min(large, default=-1)

        groups = sorted(groups, key=place)
        tensor = self.permuted(tensor, [axis for old, _ in groups for axis in old])
        order = tuple(axis for _, new in groups for axis in new)
        stored = tuple(shape[axis] for axis in order) or (1,)
        port = tensor.port
        if stored != self.shapes[port]:
            description: Description = layer.Flatten() if len(stored) == 1 else layer.Reshape(stored)
            port = self.add(description, [port])
        return Tensor(port, shape, order, tensor.element, tensor.positive)

    # -- arithmetic --------------------------------------------------------------------------------------------------

    def aligned(self, values: Sequence[Value]) -> tuple[list[Tensor | Array], Order]:
        """Values that are broadcast together, with equally many axes in one order; that order."""
        rank = max(len(self.full(v)) if isinstance(v, Tensor) else np.ndim(v.array) for v in values)
        found: list[Tensor | Array] = []
        for value in values:
            if isinstance(value, Constant):
                padded = value.array.reshape((1,) * (rank - value.array.ndim) + value.array.shape)
                found.append(self._one_sample(padded) if self.batch is not None else padded)
                continue
            own = self.settled(value)
            missing = rank - len(self.full(own))
            if missing and self.batch is not None:
                raise NotBatchedError
            found.append(self.reshaped(own, (1,) * missing + own.shape))
        tensors = [item for item in found if isinstance(item, Tensor)]
        widest = max(tensors, key=lambda item: (_moves(item), prod(item.shape)))
        order = widest.order
        return [
            self.permuted(item, order) if isinstance(item, Tensor) else np.transpose(item, order) for item in found
        ], order

    def constant_tensor(self, constant: Constant, like: Tensor) -> Tensor:
        """A constant as the output of a layer, which `like` gives a place in the batch."""
        array = constant.array
        sample = self._one_sample(array) if self.batch is not None else array
        if sample.dtype.kind not in "fb":
            raise RefusedError("it joins whole numbers with others")
        like = self.plain(self.settled(like))
        rank = len(like.stored)
        one = StridedCopy(shape=(1,), start=(0,) * rank, steps=((0, 1),))
        shape = sample.shape or (1,)
        port = self.add(one, [like.port], name=f"{self.prefix}_one")
        port = self.add(
            Arithmetic(expression=Operand(1), constants=(shape,)), [port], [sample], name=f"{self.prefix}_constant"
        )
        return Tensor(port, sample.shape, tuple(range(sample.ndim)), positive=bool((sample >= 0).all()))

    def _one_sample(self, array: Array) -> Array:
        """What all samples of a batch share of a constant."""
        if array.ndim == 0 or array.shape[0] == 1:
            return array[0] if array.ndim else array
        if array.shape[0] == self.batch and (array == array[:1]).all():
            return np.asarray(array[0])
        raise NotBatchedError

    def arithmetic(
        self,
        operator: str,
        expression: Expression,
        values: Sequence[Value],
        element: str = "float",
        positive: bool = False,
    ) -> Tensor:
        """An expression of values, the i-th its operand i, one of them a tensor at least."""
        aligned, order = self.aligned(values)
        tensors = [item for item in aligned if isinstance(item, Tensor)]
        arrays: list[Array] = []
        names: dict[int, Expression] = {}
        count = 0
        for i, item in enumerate(aligned):
            if isinstance(item, Tensor):
                names[i] = Operand(count)
                count += 1
            elif item.size == 1 and fits(item):
                names[i] = Number(float(np.ravel(item)[0]))
        for i, item in enumerate(aligned):
            if i not in names:
                names[i] = Operand(count + len(arrays))
                arrays.append(np.asarray(item))
        shapes = [item.stored for item in tensors]
        if arrays and merged([*shapes, *(item.shape or (1,) for item in arrays)]) is None:
            whole = np.broadcast_shapes(*shapes, *(item.shape for item in arrays))
            arrays = [np.broadcast_to(item, whole) for item in arrays]
        description = Arithmetic(
            expression=expression.substitute(names),
            constants=tuple(item.shape or (1,) for item in arrays),
            operator=operator,
        )
        port = self.add(description, [item.port for item in tensors], arrays)
        return self.result(port, replace(tensors[0], order=order), element, positive)


def fits(array: Array) -> bool:
    """Whether a single number can be written into an expression."""
    return bool(
        np.isinf(array).all()
        or (np.isfinite(array).all() and np.abs(array.astype(np.float64)).max() <= LARGEST_FLOAT32)
    )


def _moves(tensor: Tensor) -> bool:
    """Whether the numbers are stored in another order than the file's."""
    if tensor.flat is not None:
        return True
    large = [axis for axis in tensor.order if tensor.shape[axis] > 1]
    return large != sorted(large)


def _groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """The axes of two shapes of one size in the smallest groups that have equally many numbers."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        first, second = i, j
        a = b = 1
        if i < len(old):
            a, i = old[i], i + 1
        if j < len(new):
            b, j = new[j], j + 1
        while a != b:
            if a < b and i < len(old):
                a, i = a * old[i], i + 1
            elif j < len(new):
                b, j = b * new[j], j + 1
            else:
                a, i = a * old[i], i + 1
        groups.append((list(range(first, i)), list(range(second, j))))
    return groups
