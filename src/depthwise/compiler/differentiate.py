"""The backward pass: a program with its losses and the gradients of its trainable parameters, as ordinary operations.

Each operation says what carries a gradient to its operands (`Operation.gradient`), by writing to a `Tape`. A tensor that
several operations read gets the sum of what each gives; nothing is computed for tensors that no trainable parameter lies
behind.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from depthwise.compiler.functions import KNOWN, slope_of, vector_jacobian
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Apply, Operand
from depthwise.compiler.ir.formula import PREDICTION, TARGET, Formula, Reduction, result
from depthwise.compiler.ir.program import IllegalProgramError, Operation, Program
from depthwise.compiler.ir.types import Element, Role, TensorType, Value
from depthwise.dataclass import dataclass

__all__ = ["LossRule", "Tape", "differentiate"]


@dataclass(frozen=True)
class LossRule:
    """How a loss reads the network's output.

    Attributes:
        name: "categorical", "binary", "squared" or "absolute"; else what the loss of `formula` is called.
        from_logits: the output is before softmax or sigmoid; a formula has that in itself.
        sparse: the target is a class number (of each pixel, where the output is a map).
        smoothing: label smoothing.
        formula: what it computes, of losses that have no kernel of their own.
        handed_over: the caller computes it, and its gradient, between the forward and the backward pass.
    """

    name: str
    from_logits: bool
    sparse: bool
    smoothing: float
    formula: Formula | None = None
    handed_over: bool = False

    def pixels(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """How many losses an output of that shape has: one for each pixel, or one in all."""
        whole = self.formula is not None and self.formula.whole
        return (1,) if whole else shape[:-1] or (1,)


def differentiate(program: Program, losses: Sequence[LossRule | None]) -> Program:
    """The program with losses and gradients.

    Args:
        losses: one for each output; None for an output that is not trained.

    Returns:
        A program with two inputs more for each loss, its target and its weights ("/target 0", "/weight 0", …), whose outputs
        are the losses (but for those that are handed over), then the predictions. An output (…, channels) has a loss, and a weight, for each of its pixels (…):
        one where it is a vector.
    """
    if len(losses) != len(program.outputs):
        raise IllegalProgramError(f"{len(losses)} losses for {len(program.outputs)} outputs")
    tape = Tape(program)
    return tape.run(losses)


class Tape:
    """What operations write their gradients to."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.operations: list[Operation] = list(program.operations)
        self.values: dict[str, Value] = dict(program.values)
        self._parts: dict[str, list[str]] = {}
        self._needed = self._behind_parameters()
        self._origin = ""
        self._with_activation: set[str] = set()
        """Outputs whose activation the loss's gradient already contains."""

    def _behind_parameters(self) -> set[str]:
        """Values that depend on a trainable parameter."""
        needed = {name for name, value in self.program.values.items() if value.trainable}
        for operation in self.program.operations:
            if any(name in needed for name in operation.operands):
                needed.update(operation.results)
        return needed

    # -- for the operations ------------------------------------------------------------------------------------------

    def type(self, name: str) -> TensorType:
        return self.values[name].type

    def needs(self, name: str) -> bool:
        """Whether a trainable parameter lies behind the value."""
        return name in self._needed

    def trains(self, name: str | None) -> bool:
        """Whether the value is a trainable parameter."""
        return name is not None and self.values[name].trainable

    def emit(self, operation: Operation) -> str:
        """Appends an operation; the name of its result."""
        operation = replace(operation, origin=self._origin)
        self.operations.append(operation)
        types = operation.infer(*(self.type(name) for name in operation.operands))
        for name, type_ in zip(operation.results, types):
            self.values[name] = Value(name, type_, Role.COMPUTED)
        return operation.output

    def fresh(self, tensor: str) -> str:
        """A name for one more part of the gradient of `tensor`."""
        return f"/gradient {len(self._parts.get(tensor, []))} of {tensor}"

    def take(self, tensor: str) -> None:
        """What `fresh` named has been emitted: it is one more part of the gradient of `tensor`."""
        self._parts.setdefault(tensor, []).append(self.fresh(tensor))

    def give(self, tensor: str, make: Callable[[str], Operation]) -> None:
        """One more part of the gradient of `tensor`: the operation that `make` gives for its name."""
        if tensor in self._needed:
            self.emit(make(self.fresh(tensor)))
            self.take(tensor)

    def pass_on(self, tensor: str, gradient: str) -> None:
        """The gradient itself is one more part of the gradient of `tensor`."""
        if tensor in self._needed:
            self._parts.setdefault(tensor, []).append(gradient)

    def accumulate(self, operation: op.Accumulate) -> None:
        """Adds to the gradient of a parameter, where that trains."""
        if self.trains(operation.parameter):
            self.emit(operation)

    def before_activation(self, operation: Any, gradient: str) -> str:
        """The gradient of what an operation computes before its own activation."""
        activation: str = operation.activation
        if activation == "linear" or operation.output in self._with_activation:
            return gradient
        if not KNOWN[activation].reads_output:
            raise IllegalProgramError(f"{operation}: its activation must be an operation of its own")
        slope = op.Elementwise((operation.output, gradient), (f"/slope of {operation.output}",), slope_of(activation))
        return self.emit(slope)

    def elementwise(self, operation: op.Elementwise, gradient: str) -> None:
        """The gradients of an element-wise operation's operands."""
        if operation.output in self._with_activation:
            self.pass_on(operation.source, gradient)
            return
        count = len(operation.operands)
        result, seed = Operand(count), Operand(count + 1)
        names = (*operation.operands, operation.output, gradient)
        slopes = vector_jacobian(operation.expression, result, seed)
        for index, slope in slopes.items():
            target = operation.operands[index]
            if target not in self._needed:
                continue
            whole = self.type(target).shape == self.type(operation.output).shape
            if whole and slope == seed and not self.trains(target):
                self.pass_on(target, gradient)
                continue
            used = slope.operands
            renumbered = slope.substitute({old: Operand(new) for new, old in enumerate(used)})
            part = op.Elementwise(tuple(names[i] for i in used), (self.fresh(target),), renumbered)
            if not self.trains(target):
                if whole:
                    self.emit(part)
                else:
                    self._sum_to(target, part, gradient if slope == seed else "")
                self.take(target)
                continue
            name = gradient if slope == seed else self.emit(part)
            if slope != seed:
                self.take(target)
            one_row = prod(self.type(target).shape[:-1]) == 1
            whole_rows = self.type(target).shape[-1] == self.type(operation.output).shape[-1]
            kind = op.AccumulateSum if one_row and whole_rows else op.AccumulateMap
            self.accumulate(kind((name,), (), target))

    def _sum_to(self, target: str, part: op.Elementwise, known: str) -> None:
        """The gradient of a tensor that was broadcast: the sum of `part`, the gradient for each place where it was read.

        `known` is a tensor that holds this already, if there is one.
        """
        shape = self.type(target).shape
        if not known:
            known = self.emit(replace(part, results=(f"{part.output}, broadcast",)))
        self.emit(op.Sum((known,), (self.fresh(target),), shape))

    # -- from the losses back to the inputs --------------------------------------------------------------------------

    def run(self, losses: Sequence[LossRule | None]) -> Program:
        program = self.program
        inputs, results = [*program.inputs], []
        skipped: set[int] = set()
        for number, ((output, shape), loss) in enumerate(zip(program.outputs, losses)):
            if loss is None:
                continue
            pixels = loss.pixels(shape)
            target_shape = (shape[:-1] or (1,)) if loss.sparse else shape
            element = Element.I32 if loss.sparse else Element.F32
            # As NumPy has them: a row of numbers without gaps.
            for name, shown, kind in (("target", target_shape, element), ("weight", pixels, Element.F32)):
                name = f"/{name} {number}"
                self.values[name] = Value(name, TensorType((prod(shown),), kind), Role.INPUT)
                inputs.append((name, shown))
            if loss.handed_over:
                continue
            results.append((f"/losses {number}", pixels))
            fused = self._loss(number, output, loss)
            if fused is not None:
                skipped.add(id(fused))
        self._hand_over([i for i, loss in enumerate(losses) if loss is not None and loss.handed_over])
        for operation in reversed(program.operations):
            if id(operation) in skipped or not any(name in self._needed for name in operation.results):
                continue
            self._origin = operation.origin
            gradient = self._total(operation.output)
            if gradient is not None:
                operation.gradient(self, gradient)
        outputs = (*results, *program.outputs)
        return Program(tuple(inputs), outputs, tuple(self.operations), self.values)

    def _hand_over(self, numbers: Sequence[int]) -> None:
        """The gradients of these outputs come from the caller, as targets, once it has seen the predictions."""
        if not numbers:
            return
        outputs = [self.program.outputs[number][0] for number in numbers]
        handed = self.emit(op.HandOver(tuple(dict.fromkeys(outputs)), ("/handed over",)))
        # The gradient of Σ prediction · target is the target.
        same = Formula((Reduction("sum", PREDICTION * TARGET),), result(0))
        for number, output in zip(numbers, outputs):
            operands = (output, f"/target {number}", f"/weight {number}", handed)
            self.give(output, lambda name, read=operands: op.LossGradient(read, (name,), "given", 0.0, False, same))  # type: ignore[misc]

    def _total(self, tensor: str) -> str | None:
        """The gradient of `tensor`, all parts added."""
        parts = self._parts.get(tensor, [])
        if len(parts) > 1:
            return self.emit(op.sum_of(tuple(parts), f"/gradient of {tensor}"))
        return parts[0] if parts else None

    def _loss(self, number: int, output: str, loss: LossRule) -> Operation | None:
        """Loss and its gradient; with softmax or sigmoid last, the gradient skips it: p − t, which never divides.

        The loss behind softmax comes from what softmax reads, as in TensorFlow: a probability too small for its logarithm
        need not be clipped there.

        Returns:
            the softmax that the gradient skips, if it does.
        """
        target, weight, losses = (f"/{name} {number}" for name in ("target", "weight", "losses"))
        writer = self.program.writer.get(output)
        named = [name for name, _ in self.program.outputs].count(output)
        alone = named == 1 and not self.program.readers[output]
        fused, source, skipped = "", output, None
        ends_in_softmax = isinstance(writer, op.Softmax) and not writer.logarithm
        if loss.name == "categorical" and not loss.from_logits and ends_in_softmax and alone:
            fused, skipped = "softmax", writer
        elif loss.name == "binary" and not loss.from_logits and _ends_in_sigmoid(writer) and alone:
            fused = "sigmoid"
        value_kind = loss.name + ("_logits" if loss.from_logits or skipped is not None else "")
        read = output if skipped is None else skipped.source
        self.emit(op.LossValue((read, target), (losses,), value_kind, loss.smoothing, loss.sparse, loss.formula))
        if loss.name == "categorical" and loss.from_logits:
            source = self.emit(op.Softmax((output,), (f"/probabilities {number}",)))
        kind = {"softmax": "categorical_fused", "sigmoid": "binary_fused"}.get(fused) or {
            "categorical": "categorical_fused" if loss.from_logits else "categorical",
            "binary": "binary_logits" if loss.from_logits else "binary",
        }.get(loss.name, loss.name)

        def make(name: str) -> Operation:
            return op.LossGradient((source, target, weight), (name,), kind, loss.smoothing, loss.sparse, loss.formula)

        self.give(skipped.source if skipped is not None else output, make)
        if fused == "sigmoid":
            self._with_activation.add(output)
        return skipped


def _ends_in_sigmoid(writer: Operation | None) -> bool:
    if isinstance(writer, op.Elementwise):
        return writer.expression == Apply("sigmoid", (Operand(0),))
    return getattr(writer, "activation", "") == "sigmoid"
