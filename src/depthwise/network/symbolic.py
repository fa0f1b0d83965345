"""The functional style: symbolic tensors, which record what was called on what, and the model that lies between them."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.keywords import shape_of_input
from depthwise.layers.input import InputLayer
from depthwise.layers.layer import Layer
from depthwise.layers.operation import OPERATIONS
from depthwise.network.facts import Shape
from depthwise.network.graph import Graph, unique_names
from depthwise.network.tree import Member, ModelTree, TreeCall, TreePort, in_keras_order, inlined

__all__ = [
    "Input", "Structure", "SymbolicTensor", "first_shape", "functional", "input_tensor", "is_input", "operate",
    "refuse_late_input", "replay", "structure", "tensors_of",
]  # fmt: skip

_serial = itertools.count()


def _refused(sign: str, instead: str) -> Any:
    """A method that says what to write in place of an operator."""

    def method(self: Any, other: Any) -> Any:
        raise UnsupportedError(f"{sign} of {self!r} is not supported in a network; use {instead}")

    return method


@dataclass(frozen=True, eq=False)
class SymbolicCall:
    """One use of a layer or a model; `serial` orders the calls of one layer."""

    layer: Any
    inputs: tuple["SymbolicTensor", ...]
    serial: int


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """A value that is not there yet: the result of `Input` or of a layer called on such a result.

    Arithmetic with others and with numbers becomes part of the model: `x + y`, `2 - x`, `x * 0.5`, `x / y`, `x ** 2`, `-x`, `abs(x)`.
    """

    call: SymbolicCall
    output: int
    sample_shape: Shape

    __array_ufunc__ = None  # a NumPy number on the left leaves the operation to the tensor

    @property
    def shape(self) -> tuple[int | None, ...]:
        """With the batch, as Keras shows it: (None, height, width, channels)."""
        return (None, *self.sample_shape)

    @property
    def layer(self) -> Any:
        """The layer or model whose output it is."""
        return self.call.layer

    @property
    def inputs(self) -> tuple["SymbolicTensor", ...]:
        return self.call.inputs

    def __repr__(self) -> str:
        """What it depends on is not shown: there may be exponentially many ways to one tensor."""
        return f"<SymbolicTensor shape={self.shape}, from {self.layer!r}>"

    def __add__(self, other: Any) -> "SymbolicTensor":
        return operate("Add", self, other)

    def __radd__(self, other: Any) -> "SymbolicTensor":
        return operate("Add", other, self)

    def __sub__(self, other: Any) -> "SymbolicTensor":
        return operate("Subtract", self, other)

    def __rsub__(self, other: Any) -> "SymbolicTensor":
        return operate("Subtract", other, self)

    def __mul__(self, other: Any) -> "SymbolicTensor":
        return operate("Multiply", self, other)

    def __rmul__(self, other: Any) -> "SymbolicTensor":
        return operate("Multiply", other, self)

    def __truediv__(self, other: Any) -> "SymbolicTensor":
        return operate("TrueDivide", self, other)

    def __rtruediv__(self, other: Any) -> "SymbolicTensor":
        return operate("TrueDivide", other, self)

    def __pow__(self, other: Any) -> "SymbolicTensor":
        return operate("Power", self, other)

    def __rpow__(self, other: Any) -> "SymbolicTensor":
        return operate("Power", other, self)

    def __neg__(self) -> "SymbolicTensor":
        return operate("Negative", self)

    def __abs__(self) -> "SymbolicTensor":
        return operate("Absolute", self)

    __getitem__ = _refused(
        "x[…]", "layers.Cropping1D or Cropping2D for a part of it, GlobalMaxPooling1D for one number of many"
    )
    __matmul__ = __rmatmul__ = _refused(
        "x @ y", "layers.Dot for the products of two tensors, layers.Dense for those with a weight"
    )
    __floordiv__ = __rfloordiv__ = _refused("x // y", "x / y")
    __mod__ = __rmod__ = _refused("x % y", "a preprocessing of the arrays")
    __lt__ = __le__ = __gt__ = __ge__ = _refused("a comparison", "ops.maximum, ops.minimum or layers.ReLU(threshold=…)")

    def __bool__(self) -> bool:
        raise InvalidArgumentError(
            f"{self!r} has no value yet, so it is neither true nor false; compare its shape, or the results of predict"
        )

    def __iter__(self) -> Any:
        raise InvalidArgumentError(f"{self!r} has no values yet, so it cannot be looped over")

    def connect(self, layer: Any, inputs: Any) -> Any:
        """The result of `layer` on `inputs`: a tensor, or a list of them for a model with several outputs."""
        tensors = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        for tensor in tensors:
            if not isinstance(tensor, SymbolicTensor):
                raise InvalidArgumentError(
                    f"{type(layer).__name__}: every input must be the result of Input or of a layer, got "
                    f"{describe_value(type(tensor).__name__)}"
                )
        shapes = layer.symbolic_outputs([tensor.sample_shape for tensor in tensors])
        call = SymbolicCall(layer, tensors, next(_serial))
        result = layer.packed([SymbolicTensor(call, index, shape) for index, shape in enumerate(shapes)])
        layer.called(result)
        return result


def operate(name: str, *arguments: Any) -> SymbolicTensor:
    """The operation `name` of `keras.ops` on symbolic tensors and numbers, one of the former at least.

    Raises:
        InvalidArgumentError: an argument that is neither.
        ShapeError: tensors whose shapes do not fit.
    """
    constants = tuple(None if isinstance(item, SymbolicTensor) else _number(name, item) for item in arguments)
    layer = Layer.of(OPERATIONS[name](arguments=constants))
    tensors = [item for item in arguments if isinstance(item, SymbolicTensor)]
    result: SymbolicTensor = tensors[0].connect(layer, tensors)
    return result


def _number(operation: str, value: Any) -> float:
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()  # a NumPy number
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgumentError(
            f"{operation}: takes symbolic tensors and numbers, got {describe_value(type(value).__name__)}; an array that the "
            "model learns or keeps is a layer's weight"
        )
    number: float = value
    return number


def Input(  # noqa: N802 - Keras' name
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: Any = None,
    ragged: Any = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> SymbolicTensor:
    """Where the data enters a functional model, or a `Sequential`.

    Args:
        shape: of one sample, for example (28, 28, 1).
        batch_size: accepted for compatibility with Keras; every batch size works.
        dtype: float32, or None.
        batch_shape: in place of `shape`, with the batch: (None, 28, 28, 1).
        name: the input's name in the model; None gives one.
        sparse, tensor, optional, ragged: None or False, everything else is refused.
    """
    if shape is None and batch_shape is None:
        raise ShapeError("Input: shape is missing; give the shape of one sample, for example shape=(28, 28, 1)")
    sample = shape_of_input(shape, batch_shape, sparse, ragged, tensor, optional)
    return input_tensor(Layer.of(InputLayer(shape=sample, name=name, dtype=dtype)))


def input_tensor(layer: Layer) -> SymbolicTensor:
    """What an `InputLayer` gives out."""
    shape = layer.facts_for(()).output_shape
    tensor = SymbolicTensor(SymbolicCall(layer, (), next(_serial)), 0, shape)
    layer.called(tensor)
    return tensor


@dataclass(frozen=True)
class Structure:
    """A model's members as objects, and how they are called: what a `ModelTree` is made of, again and again.

    Attributes:
        members: layers and models by the names that they have in this model, in Keras' order.
        frame: the tree as it was when the model was made; its members' descriptions change with `trainable`.
        inputs, outputs: the symbolic tensors at the ends.
    """

    members: Mapping[str, Any]
    frame: ModelTree
    inputs: tuple[SymbolicTensor, ...]
    outputs: tuple[SymbolicTensor, ...]

    def tree(self, name: str, trainable: bool = True) -> ModelTree:
        """The model as a value, as its layers are now."""
        members = tuple(_as_member(member, own) for own, member in self.members.items())
        frame = self.frame
        return ModelTree(
            name, members, frame.calls, frame.inputs, frame.outputs, frame.is_sequential, frame.output_keys, trainable
        )


def _as_member(member: Any, name: str) -> Member:
    description: Member = member.description
    return description if description.name == name else replace(description, name=name)


def _tensors(what: str, value: Any) -> list[SymbolicTensor]:
    tensors: list[Any] = [*value] if isinstance(value, (list, tuple)) else [value]
    if not tensors or not all(isinstance(tensor, SymbolicTensor) for tensor in tensors):
        raise InvalidArgumentError(
            f"Model: {what} must be results of depthwise.Input or of layers, got {describe_value(tensors)}"
        )
    return tensors


def structure(
    inputs: Any, outputs: Any, *, is_sequential: bool = False, output_keys: tuple[str, ...] | None = None
) -> Structure:
    """What lies between `inputs` and `outputs`; its layers' names are settled.

    Raises:
        InvalidArgumentError: an input that no `Input` made, an output that depends on other inputs, or a name used twice.
    """
    starts, ends = _tensors("inputs", inputs), _tensors("outputs", outputs)
    for tensor in starts:
        if not is_input(tensor.layer):
            raise InvalidArgumentError("Model: every one of inputs must come from depthwise.Input(shape=…)")
    if len({id(tensor) for tensor in starts}) < len(starts):
        raise InvalidArgumentError("Model: the same Input is among inputs twice")
    order = _topological(starts, ends)
    objects = list({id(call.layer): call.layer for call in order}.values())
    names = unique_names([(item.chosen_name, item.name, item.default_name) for item in objects])
    name_of = {id(item): name for item, name in zip(objects, names)}
    for item, name in zip(objects, names):
        item.settle(name)
    uses: Counter[str] = Counter()
    index: dict[int, int] = {}
    for call in sorted(order, key=lambda call: call.serial):
        name = name_of[id(call.layer)]
        index[id(call)] = uses[name]
        uses[name] += 1

    def port(tensor: SymbolicTensor) -> TreePort:
        return TreePort(name_of[id(tensor.layer)], index[id(tensor.call)], tensor.output)

    calls = tuple(TreeCall(name_of[id(call.layer)], index[id(call)], tuple(map(port, call.inputs))) for call in order)
    blank = tuple(_as_member(item, name) for item, name in zip(objects, names))
    frame = in_keras_order(
        ModelTree("", blank, calls, tuple(map(port, starts)), tuple(map(port, ends)), is_sequential, output_keys)
    )
    by_name = dict(zip(names, objects))
    members = {str(member.name): by_name[str(member.name)] for member in frame.members}
    return Structure(members, frame, tuple(starts), tuple(ends))


def _topological(starts: Sequence[SymbolicTensor], ends: Sequence[SymbolicTensor]) -> list[SymbolicCall]:
    order: list[SymbolicCall] = []
    done: set[int] = set()
    known = {id(tensor.call) for tensor in starts}
    stack: list[tuple[SymbolicCall, bool]] = [
        *((tensor.call, False) for tensor in reversed(ends)),
        *((tensor.call, False) for tensor in reversed(starts)),
    ]
    while stack:
        call, expanded = stack.pop()
        if id(call) in done:
            continue
        if expanded or not call.inputs:
            if not call.inputs and id(call) not in known:
                raise InvalidArgumentError(
                    "Model: an output depends on an Input that is not among inputs; add it to inputs"
                )
            done.add(id(call))
            order.append(call)
            continue
        stack.append((call, True))
        stack.extend((item.call, False) for item in reversed(call.inputs) if id(item.call) not in done)
    return order


def is_input(layer: Any) -> bool:
    """Whether the layer is an `InputLayer`."""
    return isinstance(layer, Layer) and layer.description_class is InputLayer


def first_shape(layer: Any) -> Shape | None:
    """The shape of one sample that a chain beginning with `layer` takes; None where it does not say."""
    if not isinstance(layer, Layer):  # a model
        return layer.graph.input_shapes[0] if layer.built else None
    shape: Shape | None = layer.shape if is_input(layer) else layer.input_shape
    return shape


def refuse_late_input(chain: Sequence[Any]) -> None:
    """InvalidArgumentError for an input that is not first."""
    if any(is_input(layer) for layer in chain[1:]):
        raise InvalidArgumentError("Sequential takes one Input, as its first layer")


def tensors_of(member: Any, reads: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    """The outputs of a call as a list, however the member gives them."""
    result = reads[0].connect(member, reads)
    if isinstance(result, dict):
        return list(result.values())
    return result if isinstance(result, list) else [result]


def replay(tree: ModelTree, members: Mapping[str, Any]) -> tuple[list[SymbolicTensor], list[SymbolicTensor]]:
    """Calls layers and models as `tree` says.

    Args:
        tree: how to call them.
        members: the objects by the names that they have in the tree. An input that has its tensor already keeps it.

    Returns:
        The tree's inputs and outputs.
    """
    values: dict[TreePort, SymbolicTensor] = {}
    for call in tree.calls:
        member = members[call.member]
        reads = [values[port] for port in call.inputs]
        if reads:
            tensors = tensors_of(member, reads)
        else:
            tensors = [input_tensor(member) if member.first_output is None else member.first_output]
        values.update((TreePort(call.member, call.index, index), tensor) for index, tensor in enumerate(tensors))
    return [values[port] for port in tree.inputs], [values[port] for port in tree.outputs]


def functional(inputs: Any, outputs: Any, name: str | None = None) -> Graph:
    """The graph between `inputs` and `outputs`; raises what `structure` does."""
    return inlined(structure(inputs, outputs).tree(name or "functional"))
