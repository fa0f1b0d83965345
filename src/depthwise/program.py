"""The program: a graph lowered to operations on maps, which passes rewrite and the plan turns into kernel calls.

Every tensor is a map (height, width, channels); a vector of n numbers is a 1×1 map of n channels. An operation reads
tensors and parameters by name and writes one tensor or one gradient.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from depthwise.arithmetic import Shape

__all__ = ["MapShape", "Operation", "Padding", "Parameter", "Program"]

MapShape = tuple[int, int, int]
Padding = tuple[int, int, int, int]  # top, bottom, left, right


@dataclass(frozen=True)
class Operation:
    """Base of all operations: what they read and what they write; subclasses add their own arguments.

    `output` is empty where an operation writes no tensor but collects something for the batch.
    """

    inputs: tuple[str, ...]
    output: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that it reads."""
        return ()

    def with_inputs(self, *inputs: str) -> "Operation":
        return replace(self, inputs=inputs)


@dataclass(frozen=True)
class Parameter:
    """An array that does not belong to a sample: a weight of the model (`sources` empty) or one derived from weights.

    `derivation` names a rule of `depthwise.passes.fold_batch_normalization.DERIVATIONS` and `sources` its arguments.
    """

    name: str
    shape: Shape
    trainable: bool = False
    derivation: str = ""
    sources: tuple[str, ...] = ()
    constants: tuple[float, ...] = ()


@dataclass(frozen=True)
class Program:
    """Operations in the order in which they run.

    Attributes:
        inputs, outputs: (tensor, shape that the caller sees) in the model's order.
        tensors: the shape of every tensor.
        parameters: everything that operations read besides tensors.
    """

    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape], ...]
    operations: tuple[Operation, ...]
    tensors: Mapping[str, MapShape]
    parameters: Mapping[str, Parameter]

    @cached_property
    def writer(self) -> Mapping[str, Operation]:
        """The operation that writes each tensor."""
        return {operation.output: operation for operation in self.operations if operation.output}

    @cached_property
    def readers(self) -> Mapping[str, tuple[Operation, ...]]:
        """The operations that read each tensor."""
        found: dict[str, list[Operation]] = {name: [] for name in self.tensors}
        for operation in self.operations:
            for name in dict.fromkeys(operation.inputs):
                found[name].append(operation)
        return {name: tuple(operations) for name, operations in found.items()}

    def is_output(self, tensor: str) -> bool:
        return any(name == tensor for name, _ in self.outputs)

    def only_reader(self, tensor: str) -> Operation | None:
        """The one operation that reads the tensor; None where there are more or the caller sees it."""
        readers = self.readers[tensor]
        return readers[0] if len(readers) == 1 and not self.is_output(tensor) else None

    def rewritten(
        self,
        operations: Iterable[Operation],
        tensors: Mapping[str, MapShape] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> "Program":
        """The same with other operations; tensors and parameters that nothing names any more are dropped."""
        kept = tuple(operations)
        shapes = {**self.tensors, **(tensors or {})}
        used = {name for name, _ in (*self.inputs, *self.outputs)}
        used |= {name for operation in kept for name in (*operation.inputs, operation.output)}
        used.discard("")
        known = {**self.parameters, **(parameters or {})}
        return Program(
            self.inputs,
            self.outputs,
            kept,
            {name: shape for name, shape in shapes.items() if name in used},
            _needed(known, (name for operation in kept for name in operation.parameters)),
        )

    def description(self) -> str:
        """The whole program as text: equal programs, and only they, have equal text. Part of the cache key."""
        return repr(
            (self.inputs, self.outputs, self.operations, sorted(self.tensors.items()), list(self.parameters.values()))
        )


def _needed(parameters: Mapping[str, Parameter], read: Iterable[str]) -> dict[str, Parameter]:
    """The parameters that are read, and those that they are derived from, in the order of `parameters`."""
    needed: set[str] = set()
    waiting = [name for name in read if name]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [source for source in parameters[name].sources if source]
    return {name: parameter for name, parameter in parameters.items() if name in needed}
