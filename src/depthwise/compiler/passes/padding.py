from dataclasses import replace

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import Padding, Role

__all__ = ["fold_padding", "fold_padding_for_training"]

_CONVOLUTIONS = (op.Convolve, op.ConvolveDepthwise)


def fold_padding(program: Program) -> Program:
    """Pad → convolution or pooling, its only readers  ⇒  they read around the map, where the plan writes the padding once."""
    return _fold(program, (*_CONVOLUTIONS, op.PoolWindows))


def fold_padding_for_training(program: Program) -> Program:
    """As `fold_padding`, for convolutions alone: the gradient of pooling has no place for what falls outside the map."""
    return _fold(program, _CONVOLUTIONS)


def _fold(program: Program, kinds: tuple[type[Operation], ...]) -> Program:
    folded: dict[str, op.Pad] = {}
    """By the name of the padded map."""
    fills: dict[str, float] = {}
    """What lies around each map."""
    for operation in program.operations:
        if isinstance(operation, op.Pad) and _is_only_read_by(program, operation, kinds):
            fill = fills.setdefault(operation.source, _fill(program, operation))
            if fill == operation.value:
                folded[operation.output] = operation
    operations: list[Operation] = []
    for operation in program.operations:
        if operation.output in folded:
            continue
        pad = folded.get(operation.source) if operation.operands else None
        operations.append(operation if pad is None else _around(operation, pad))
    return program.rewritten(operations)


def _around(operation: Operation, pad: op.Pad) -> Operation:
    """The same, reading what `pad` reads, and the padding around it."""
    operands = (pad.source, *operation.operands[1:])
    if isinstance(operation, op.PoolWindows):
        return replace(operation, operands=operands, padding=_sum(operation.padding, pad.padding), fill=pad.value)
    assert isinstance(operation, _CONVOLUTIONS)
    return replace(operation, operands=operands, padding=_sum(operation.padding, pad.padding))


def _fill(program: Program, pad: op.Pad) -> float:
    """What the readers of the map that is padded already want around it; what the padding writes where they want nothing."""
    windows = [
        reader.window(i)
        for reader in program.readers[pad.source]
        for i, name in enumerate(reader.operands)
        if name == pad.source
    ]
    return next((window.fill for window in windows if any(window.border)), pad.value)


def _is_only_read_by(program: Program, pad: op.Pad, kinds: tuple[type[Operation], ...]) -> bool:
    """Whether all that read the padded map can read around the map itself, padded so."""
    readers = program.readers[pad.output]
    if not readers or program.is_output(pad.output) or any(pad.channels) or min(pad.padding) < 0:
        return False
    if program.values[pad.source].role is Role.PARAMETER or pad.source in program.batch_values:
        return False
    return all(
        isinstance(reader, kinds)
        and reader.operands.count(pad.output) == 1
        and reader.source == pad.output
        and (isinstance(reader, op.PoolWindows) or pad.value == 0.0)
        for reader in readers
    )


def _sum(one: Padding, other: Padding) -> Padding:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
