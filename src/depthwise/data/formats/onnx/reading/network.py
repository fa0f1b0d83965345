"""The network as it grows: layers and operations, their weights, and in which order each tensor's axes are stored.

A file keeps channels first, kernels want them last. Every tensor therefore remembers the file's shape and the order in which its
axes are stored: transposing costs nothing until somebody needs another order.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.arguments import LARGEST_FLOAT32
from depthwise.compiler.ir.expression import Constant as Number
from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.dataclass import dataclass
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

MOST_NUMBERS = 2**29
"""In all weights together: 2 GiB, which is what a file holds at most."""


class RefusedError(UnsupportedError):
    """What an operator asks for is not supported; the message is the reason alone."""


class NotBatchedError(Exception):
    """The first axis is not a batch: something mixes its places."""


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
        batch_axis: where the batch stands among the file's axes; some networks move it on their way.
    """

    port: str
    shape: Shape
    order: Order
    element: str = "float"
    positive: bool = False
    flat: "Tensor | None" = None
    batch_axis: int = 0

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
        readers: how often each value of the file is read, where that is known.
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
        self.readers: Mapping[str, int] = {}
        self._numbers = 0
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
        self._numbers += sum(prod(weight.shape) for weight in facts.weights)
        if self._numbers > MOST_NUMBERS:
            raise ValueError(f"its weights would hold more than {MOST_NUMBERS:,} numbers")
        for weight, array in zip(facts.weights, arrays):
            value = np.ascontiguousarray(array, np.float32).reshape(weight.shape)
            self.weights[WeightKey((own,), weight.name).text] = value
        self.members[own] = named
        self.calls.append(TreeCall(own, 0, tuple(map(TreePort, reads))))
        self.shapes[own] = facts.output_shape
        self.depends[own] = frozenset().union(*(self.depends[port] for port in reads))
        return own

    def takes_bias(self, tensor: Tensor, values: Array) -> bool:
        """Gives the layer whose output the tensor is a bias, where it has none, is read nowhere else and the values are one a channel."""
        member: Any = self.members[tensor.port]
        if (
            tensor.flat is not None
            or getattr(member, "use_bias", True)
            or getattr(member, "activation", None) != "linear"
        ):
            return False
        full, last = self.full(tensor), self.full_axis(tensor, tensor.order[-1]) if tensor.order else -1
        padded = (1,) * (len(full) - values.ndim) + values.shape
        fits = len(padded) == len(full) and all(
            size == (full[last] if i == last else 1) for i, size in enumerate(padded)
        )
        if not fits or any(port.member == tensor.port for call in self.calls[-8:] for port in call.inputs):
            return False
        self.members[tensor.port] = replace(member, use_bias=True)
        self.weights[f"{tensor.port}/bias"] = np.ascontiguousarray(values, np.float32).ravel()
        return True

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
        place = tensor.batch_axis
        return tensor.shape if self.batch is None else (*tensor.shape[:place], self.batch, *tensor.shape[place:])

    def axis(self, tensor: Tensor, axis: int) -> int:
        """An axis of the file as one of a sample."""
        rank = len(tensor.shape) + self.offset
        if not -rank <= axis < rank:
            raise ValueError(f"it has no axis {axis}, its input has {rank}")
        place = axis % rank
        if self.batch is None:
            return place
        if place == tensor.batch_axis:
            raise NotBatchedError
        return place - int(place > tensor.batch_axis)

    def full_axis(self, tensor: Tensor, axis: int) -> int:
        """An axis of a sample as one of the file."""
        return axis + int(self.batch is not None and axis >= tensor.batch_axis)

    def reshaped_to(self, tensor: Tensor, full: Sequence[int]) -> Tensor:
        """The numbers under another whole shape; the batch stays an axis of its own."""
        full = tuple(full)
        if self.batch is None:
            return self.reshaped(tensor, full)
        if tensor.batch_axis == 0:
            if not full or full[0] != self.batch:
                raise NotBatchedError
            return self.reshaped(tensor, full[1:])
        old = self.full(tensor)
        for before, after in _groups(old, full):
            if tensor.batch_axis in before:
                own = [axis for axis in after if full[axis] == self.batch]
                if not own or prod(full[axis] for axis in after) != self.batch:
                    raise NotBatchedError
                shape = (*full[: own[0]], *full[own[0] + 1 :])
                return replace(self.reshaped(tensor, shape), batch_axis=own[0])
        raise NotBatchedError

    # -- axes --------------------------------------------------------------------------------------------------------

    def result(self, port: str, like: Tensor, element: str = "float", positive: bool = False) -> Tensor:
        """The tensor that a layer gives which keeps the order of the axes."""
        stored = self.shapes[port]
        shape = [0] * len(like.order)
        for place, axis in enumerate(like.order):
            shape[axis] = stored[place]
        return Tensor(port, tuple(shape), like.order, element, positive, batch_axis=like.batch_axis)

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
        if tensor.batch_axis:
            raise NotBatchedError
        return self.permuted(tensor, (*range(1, len(tensor.shape)), 0))

    def settled(self, tensor: Tensor) -> Tensor:
        """A flattened tensor with its numbers in the file's order."""
        if tensor.flat is None:
            return tensor
        port = self.add(layer.Flatten(), [self.plain(tensor.flat).port], name=f"{tensor.port}_flat")
        return Tensor(port, tensor.shape, (0,), tensor.element, tensor.positive, batch_axis=tensor.batch_axis)

    def reshaped(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The numbers under another shape of a sample, with as few of them moved as possible."""
        shape = tuple(shape)
        if shape == tensor.shape:
            return tensor
        place = min(tensor.batch_axis, len(shape))
        if len(shape) == 1 and _moves(tensor) and place == 0:
            return Tensor(tensor.port, shape, (0,), tensor.element, tensor.positive, flat=tensor)
        tensor = self.settled(tensor)
        groups = _groups(tensor.shape, shape)

        def stands(group: tuple[list[int], list[int]]) -> int:
            places = [tensor.order.index(axis) for axis in group[0]]
            large = [spot for spot in places if tensor.stored[spot] > 1] or places
            return min(large, default=-1)

        groups = sorted(groups, key=stands)
        tensor = self.permuted(tensor, [axis for old, _ in groups for axis in old])
        order = tuple(axis for _, new in groups for axis in new)
        stored = tuple(shape[axis] for axis in order) or (1,)
        port = tensor.port
        if stored != self.shapes[port]:
            description: Description = layer.Flatten() if len(stored) == 1 else layer.Reshape(stored)
            port = self.add(description, [port])
        return Tensor(port, shape, order, tensor.element, tensor.positive, batch_axis=place)

    # -- arithmetic --------------------------------------------------------------------------------------------------

    def aligned(self, values: Sequence[Value]) -> tuple[list[Tensor | Array], Order]:
        """Values that are broadcast together, with equally many axes in one order; that order."""
        rank = max(len(self.full(v)) if isinstance(v, Tensor) else np.ndim(v.array) for v in values)
        places = {v.batch_axis for v in values if isinstance(v, Tensor)}
        if len(places) > 1:
            raise NotBatchedError
        place = places.pop()
        found: list[Tensor | Array] = []
        for value in values:
            if isinstance(value, Constant):
                padded = value.array.reshape((1,) * (rank - value.array.ndim) + value.array.shape)
                found.append(self._one_sample(padded, place) if self.batch is not None else padded)
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
        sample = self._one_sample(array, like.batch_axis) if self.batch is not None else array
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
        positive = bool((sample >= 0).all())
        return Tensor(port, sample.shape, tuple(range(sample.ndim)), positive=positive, batch_axis=like.batch_axis)

    def _one_sample(self, array: Array, axis: int) -> Array:
        """What all samples of a batch, which has that axis, share of a constant."""
        if array.ndim == 0:
            return array
        first: Array = np.take(array, 0, axis)
        if array.shape[axis] == 1:
            return first
        if array.shape[axis] == self.batch and (array == np.expand_dims(first, axis)).all():
            return first
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
