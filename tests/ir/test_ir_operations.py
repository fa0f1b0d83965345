"""Operations describe themselves, and what one forgets to say is an error, never silence."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from depthwise.compiler.differentiate import Tape
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Operand
from depthwise.compiler.ir.program import GradientOperation, IllegalProgramError, Operation, Program, Scope
from depthwise.compiler.ir.types import NO_BORDER, ROW, Role, TensorType, Value, Window
from depthwise.compiler.ir.verify import verify
from depthwise.compiler.plan.rules import RULES
from depthwise.dataclass import dataclass

EXPANDED = {op.NormaliseBatch, op.NormaliseBatchGradient}
"""Operations that a pass replaces by others before a plan is made."""


def concrete(base: type[Operation] = Operation) -> Iterator[type[Operation]]:
    for child in base.__subclasses__():
        public = child.__module__.startswith("depthwise.") and not child.__name__.startswith("_")
        if public and child not in (op.Accumulate, GradientOperation):
            yield child
        yield from concrete(child)


def test_every_operation_has_a_rule_or_is_expanded() -> None:
    found = set(concrete())
    assert len(found) >= 30
    assert found == set(RULES) | EXPANDED
    assert not set(RULES) & EXPANDED


@pytest.mark.parametrize("kind", sorted(set(concrete()), key=str))
def test_an_operation_answers_every_question_of_its_base(kind: type[Operation]) -> None:
    assert not inspect.isabstract(kind)
    assert (kind.__doc__ or "").strip()


def test_forgetting_a_window_or_a_gradient_is_an_error() -> None:
    @dataclass(frozen=True)
    class Forgetful(Operation):
        def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
            return operands

    make: Any = Forgetful
    with pytest.raises(TypeError, match="gradient, window"):
        make(("x",), ("y",))


def program(*operations: Operation, **shapes: tuple[int, ...]) -> Program:
    values = {name: Value(name, TensorType(shape), Role.INPUT) for name, shape in shapes.items()}
    start = Program((("x", shapes["x"]),), (), (), values)
    return start.rewritten(operations)


def test_verify_names_pass_operation_and_rule() -> None:
    good = program(op.unary("relu", "x", "y"), x=(4, 4, 2))
    assert verify(good, "a pass") is good
    wrong = replace(good, values={**good.values, "y": Value("y", TensorType((1,)), Role.COMPUTED)})
    with pytest.raises(IllegalProgramError, match=r"after a pass: Elementwise.*writes TensorType.*\(4, 4, 2\)"):
        verify(wrong, "a pass")
    twice = replace(good, operations=good.operations * 2)
    with pytest.raises(IllegalProgramError, match="writes 'y' twice"):
        verify(twice, "a pass")
    early = replace(good, operations=(op.unary("relu", "z", "y"),))
    with pytest.raises(IllegalProgramError, match="reads 'z', which the program does not have"):
        verify(early, "a pass")
    lost = replace(good, outputs=(("z", (1,)),))
    with pytest.raises(IllegalProgramError, match="the output 'z' is never written"):
        verify(lost, "a pass")


def test_types_are_inferred_and_checked() -> None:
    image = TensorType((5, 6, 3))
    convolve = op.Convolve(("x", "k"), ("y",), (3, 2), (2, 1), (1, 1), NO_BORDER)
    assert convolve.infer(image, TensorType((3, 2, 3, 8))) == (TensorType((2, 5, 8)),)
    with pytest.raises(IllegalProgramError, match="does not fit 3 channels"):
        convolve.infer(image, TensorType((3, 2, 4, 8)))
    assert op.Elementwise(("x", "a"), ("y",), Operand(0) * Operand(1)).infer(image, TensorType((3,))) == (image,)
    with pytest.raises(IllegalProgramError, match="shapes do not fit"):
        op.Elementwise(("x", "a"), ("y",), Operand(0) * Operand(1)).infer(image, TensorType((2,)))
    with pytest.raises(IllegalProgramError, match="reads more than 1 operands"):
        op.Elementwise(("x",), ("y",), Operand(1)).infer(image)
    with pytest.raises(IllegalProgramError, match="not as many numbers"):
        op.Reshape(("x",), ("y",), (7,)).infer(image)


def test_windows_say_which_rows_are_read() -> None:
    assert [ROW.rows_read(end) for end in (0, 1, 5)] == [0, 1, 5]
    window = Window(3, 2, 1, (1, 1, 1, 1))
    assert window.overlaps
    assert [window.rows_read(end) for end in (0, 1, 2)] == [0, 2, 4]
    assert not Window(2, 2).overlaps


def test_an_operation_without_a_gradient_refuses() -> None:
    """Instead of ending the gradient silently."""
    tape = Tape(program(op.unary("relu", "x", "y"), x=(2,)))
    with pytest.raises(IllegalProgramError, match="has no gradient"):
        op.SoftmaxGradient(("y", "y"), ("z",)).gradient(tape, "y")


def test_scopes() -> None:
    scopes = {kind.__name__: kind.scope for kind in concrete() if kind.scope is not Scope.SAMPLE}
    assert {name for name, scope in scopes.items() if scope is Scope.GROUP} == {"Contract", "ContractTransposed"}
    assert {name for name, scope in scopes.items() if scope is Scope.BATCH} == {
        "AccumulateContraction",
        "FinishMoments",
        "FinishNormalisationSums",
        "HandOver",
    }
