"""The program: operations on typed values, in the order in which they run. Front ends lower to it, passes rewrite it, the
plan turns it into kernel calls."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, TypeVar

from depthwise.compiler.ir.types import Derived, Role, Shape, TensorType, Value, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["GradientOperation", "IllegalProgramError", "Operation", "Program", "Scope"]

Self = TypeVar("Self", bound="Operation")


class IllegalProgramError(AssertionError):
    """An operation does not fit its operands, or a pass broke a rule: a bug of ours, never of the user's."""


class Scope(Enum):
    """What an operation runs over at once."""

    SAMPLE = "sample"
    GROUP = "group"  # a few samples, so that weights are read once for all of them
    BATCH = "batch"  # all samples of the batch; ends a stage


@dataclass(frozen=True)
class Operation(ABC):
    """Base of all operations. Everything that passes and plans ask about an operation is answered by its class.

    Attributes:
        operands: names of the values that it reads, tensors and parameters alike; each class says in which order.
        results: names of the values that it writes; none where it only adds to something that the batch collects.
        origin: the layer that it comes from, for errors, `bench` and `explain`; no part of its identity.
    """

    operands: tuple[str, ...]
    results: tuple[str, ...]
    origin: str = field(default="", kw_only=True, compare=False, repr=False)

    scope: ClassVar[Scope] = Scope.SAMPLE
    is_alias: ClassVar[bool] = False
    """Whether the result is the operand's numbers, in their order, under another shape."""
    runs_by_rows: ClassVar[bool] = False
    """Whether some rows of the result can be computed by themselves though it reads several maps."""
    writes_exactly: ClassVar[bool] = False
    """Whether it can write pixels that have no room for whole vectors."""

    @property
    def output(self) -> str:
        """The result; "" where there is none."""
        return self.results[0] if self.results else ""

    @property
    def source(self) -> str:
        """The first operand."""
        return self.operands[0]

    @abstractmethod
    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        """The types of the results.

        Raises:
            IllegalProgramError: the operands are not what the operation takes.
        """

    @abstractmethod
    def window(self, operand: int) -> Window:
        """What a row of the result reads of an operand."""

    @abstractmethod
    def gradient(self, tape: "Tape", gradient: str) -> None:
        """Emits what carries the gradient of the result to the operands.

        Raises:
            IllegalProgramError: the operation has no gradient.
        """

    def reads_exactly(self, operand: int) -> bool:
        """Whether it reads single numbers, so that the operand's pixels need no room for whole vectors."""
        return False

    def reads_by_groups(self, operand: int) -> bool:
        """Whether whole vectors of an operand are read from any channel on, where a group of channels begins: the last ones end
        behind the last pixel."""
        return False

    def work(self, result: TensorType, operands: tuple[TensorType, ...]) -> int:
        """About how many steps it takes: values written, or multiply-adds."""
        return result.size

    @property
    def accumulates(self) -> tuple[str, ...]:
        """Parameters to whose gradient it adds."""
        return ()

    @property
    def reads_besides(self) -> tuple[str, ...]:
        """Parameters that it reads in the model's own arrays, besides its operands."""
        return ()

    @property
    def updates(self) -> tuple[str, ...]:
        """Parameters that it changes by itself, as batch normalisation changes its moving statistics."""
        return ()

    def with_activation(self: Self, activation: str) -> Self | None:
        """The same with an activation before the store; None where it cannot take one."""
        return None

    def with_operands(self: Self, *operands: str) -> Self:
        return replace(self, operands=operands)

    def _refuse(self, why: str) -> "IllegalProgramError":
        return IllegalProgramError(f"{type(self).__name__} of {', '.join(self.operands)}: {why}")


@dataclass(frozen=True)
class GradientOperation(Operation):
    """An operation that training adds to a network's own: nothing differentiates it again."""

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient")


@dataclass(frozen=True)
class Program:
    """Operations in the order in which they run.

    Attributes:
        inputs, outputs: (value, shape that the caller sees) in the model's order.
        operations: what runs.
        values: every value by name, parameters among them.
    """

    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape], ...]
    operations: tuple[Operation, ...]
    values: Mapping[str, Value]

    @cached_property
    def parameters(self) -> Mapping[str, Value]:
        """The values that belong to the model, not to a sample."""
        return {name: value for name, value in self.values.items() if value.role is Role.PARAMETER}

    @cached_property
    def derived(self) -> Mapping[str, Derived]:
        """How parameters follow from the model's weights; those that are weights are not in it."""
        return {name: value.derived for name, value in self.parameters.items() if value.derived is not None}

    @cached_property
    def live_parameters(self) -> Mapping[str, Value]:
        """The parameters that an operation reads or changes; others are weights that only derived parameters need."""
        live = {name for item in self.operations for name in (*item.operands, *item.accumulates, *item.updates)}
        live |= {name for item in self.operations for name in item.reads_besides}
        return {name: value for name, value in self.parameters.items() if name in live}

    @cached_property
    def tensors(self) -> Mapping[str, TensorType]:
        """The types of inputs and computed values."""
        return {name: value.type for name, value in self.values.items() if value.role is not Role.PARAMETER}

    @cached_property
    def batch_values(self) -> frozenset[str]:
        """Values of which there is one for the whole batch."""
        found = (item.results for item in self.operations if item.scope is Scope.BATCH)
        return frozenset(name for results in found for name in results)

    @cached_property
    def writer(self) -> Mapping[str, Operation]:
        """The operation that writes each computed value."""
        return {name: operation for operation in self.operations for name in operation.results}

    @cached_property
    def readers(self) -> Mapping[str, tuple[Operation, ...]]:
        """The operations that read each value."""
        found: dict[str, list[Operation]] = {name: [] for name in self.values}
        for operation in self.operations:
            for name in dict.fromkeys(operation.operands):
                found[name].append(operation)
        return {name: tuple(operations) for name, operations in found.items()}

    def type(self, name: str) -> TensorType:
        return self.values[name].type

    def types(self, names: Iterable[str]) -> tuple[TensorType, ...]:
        return tuple(self.values[name].type for name in names)

    def tensor_operands(self, operation: Operation) -> tuple[str, ...]:
        """The operands of which each sample has its own."""
        return tuple(
            name
            for name in operation.operands
            if self.values[name].role is not Role.PARAMETER and name not in self.batch_values
        )

    def parameter_operands(self, operation: Operation) -> tuple[str, ...]:
        return tuple(name for name in operation.operands if self.values[name].role is Role.PARAMETER)

    def is_output(self, tensor: str) -> bool:
        return any(name == tensor for name, _ in self.outputs)

    def only_reader(self, tensor: str) -> Operation | None:
        """The one operation that reads the tensor; None where there are more or the caller sees it."""
        readers = self.readers[tensor] if tensor else ()
        return readers[0] if len(readers) == 1 and not self.is_output(tensor) else None

    def rewritten(self, operations: Iterable[Operation], values: Mapping[str, Value] | None = None) -> "Program":
        """The same with other operations.

        Results whose type is not given get the one that `infer` says. Values that nothing names any more are dropped.
        """
        kept = tuple(operations)
        known = {**self.values, **(values or {})}
        unchanged = {id(operation) for operation in self.operations}
        changed = set(values or {})
        for operation in kept:
            if id(operation) in unchanged and changed.isdisjoint(operation.operands):
                continue
            types = operation.infer(*(known[name].type for name in operation.operands))
            for name, type_ in zip(operation.results, types):
                if name not in known or known[name].type != type_:
                    known[name] = Value(name, type_, Role.COMPUTED)
                    changed.add(name)
        used = {name for name, _ in (*self.inputs, *self.outputs)}
        used |= {name for operation in kept for name in (*operation.operands, *operation.results)}
        used |= {name for item in kept for name in (*item.accumulates, *item.updates, *item.reads_besides)}
        for name in [*used]:  # what a derived parameter reads may be derived too
            waiting = [name]
            while waiting:
                derived = known[waiting.pop()].derived
                waiting += [] if derived is None else [source for source in derived.sources if source]
                used.update(waiting)
        values = {name: value for name, value in known.items() if name in used}
        return Program(self.inputs, self.outputs, kept, values)
