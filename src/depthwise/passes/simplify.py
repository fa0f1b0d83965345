"""The passes: each takes a program and gives one that computes the same with less work. `PREDICTION` and `TRAINING` list
them in the order in which they run."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from depthwise import operations as op
from depthwise.emit.activation import KEPT, MONOTONE
from depthwise.passes.verify import verify
from depthwise.program import Operation, Parameter, Program

__all__ = ["PREDICTION", "TRAINING", "derive", "run_passes"]

Pass = Callable[[Program], Program]


def run_passes(program: Program, passes: tuple[Pass, ...]) -> Program:
    """The program after all `passes`, verified after each."""
    verify(program, "lower")
    for rewrite in passes:
        program = verify(rewrite(program), rewrite.__name__)
    return program


def _fuse_pairs(
    program: Program,
    fuse: Callable[[Program, Operation, Operation], Operation | None],
    parameters: Mapping[str, Parameter] | None = None,
) -> Program:
    """Replaces a writer and the only reader of its tensor by one operation, wherever `fuse` gives one.

    `parameters` are those that `fuse` adds to while it is at work.
    """
    operations = list(program.operations)
    changed = True
    while changed:
        changed = False
        for operation in operations:
            reader = program.only_reader(operation.output)
            fused = fuse(program, operation, reader) if reader is not None else None
            if fused is not None:
                operations = [fused if item is reader else item for item in operations if item is not operation]
                program = program.rewritten(operations, parameters=parameters)
                changed = True
                break
    return program


def fold_batch_normalization(program: Program) -> Program:
    """Convolve → Normalise  ⇒  Convolve with kernel · scale and bias · scale + shift."""
    parameters: dict[str, Parameter] = dict(program.parameters)

    def fuse(current: Program, first: Operation, second: Operation) -> Operation | None:
        if not isinstance(second, op.Normalise) or not isinstance(
            first, (op.Convolve, op.ConvolveDepthwise, op.Multiply)
        ):
            return None
        if first.activation != "linear":
            return None
        kernel = Parameter(
            f"{first.kernel}·{second.scale}",
            parameters[first.kernel].shape,
            False,
            "folded_depthwise_kernel" if isinstance(first, op.ConvolveDepthwise) else "folded_kernel",
            (first.kernel, second.scale),
        )
        bias = Parameter(
            f"{first.kernel}·{second.shift}",
            parameters[second.shift].shape,
            False,
            "folded_bias",
            (first.bias or "", second.scale, second.shift),
        )
        parameters.update({kernel.name: kernel, bias.name: bias})
        return replace(first, output=second.output, kernel=kernel.name, bias=bias.name, activation=second.activation)

    return _fuse_pairs(program, fuse, parameters)


def _fuse_activation(program: Program, kinds: tuple[type[Operation], ...], only_from_output: bool) -> Program:
    def fuse(current: Program, first: Operation, second: Operation) -> Operation | None:
        if not isinstance(second, op.Activate) or not isinstance(first, kinds):
            return None
        if getattr(first, "activation", "") != "linear":
            return None
        if only_from_output and KEPT[second.activation] != "output":
            return None
        return replace(first, output=second.output, activation=second.activation)  # type: ignore[call-arg]

    return _fuse_pairs(program, fuse)


def fuse_activation(program: Program) -> Program:
    """Convolve → Activate  ⇒  Convolve that activates before it stores; Normalise and Pool likewise."""
    return _fuse_activation(program, (op.Convolve, op.ConvolveDepthwise, op.Multiply, op.Normalise, op.Pool), False)


def fuse_activation_for_training(program: Program) -> Program:
    """As `fuse_activation`, for the activations whose slope follows from their output."""
    return _fuse_activation(program, (op.Convolve, op.ConvolveDepthwise, op.Multiply, op.Pool), True)


def pool_before_activation(program: Program) -> Program:
    """Activate → Pool max  ⇒  Pool max → Activate: a monotone activation commutes with a maximum, on fewer values."""

    def fuse(current: Program, first: Operation, second: Operation) -> Operation | None:
        if not isinstance(first, op.Activate) or not isinstance(second, op.Pool):
            return None
        if second.kind != "max" or first.activation not in MONOTONE or second.activation != "linear":
            return None
        return replace(second, inputs=first.inputs, activation=first.activation)

    return _fuse_pairs(program, fuse)


def crop_unread(program: Program) -> Program:
    """Convolve → Pool that drops rows or columns  ⇒  Convolve that does not compute them."""
    tensors = dict(program.tensors)
    for operation in program.operations:
        if not isinstance(operation, (op.Convolve, op.ConvolveDepthwise)):
            continue
        reader = program.only_reader(operation.output)
        if isinstance(reader, op.Pool):
            height, width, channels = tensors[operation.output]
            rows, columns, _ = tensors[reader.output]
            read = [(size - 1) * reader.strides[i] + reader.pool_size[i] for i, size in enumerate((rows, columns))]
            tensors[operation.output] = (min(height, read[0]), min(width, read[1]), channels)
    return program.rewritten(program.operations, tensors)


def drop_unused(program: Program) -> Program:
    """Operations whose output nothing needs."""
    needed = {name for name, _ in program.outputs}
    kept: list[Operation] = []
    for operation in reversed(program.operations):
        if operation.output in needed:
            kept.append(operation)
            needed.update(operation.inputs)
    return program.rewritten(reversed(kept))


PREDICTION: tuple[Pass, ...] = (
    drop_unused,
    fold_batch_normalization,
    pool_before_activation,
    fuse_activation,
    crop_unread,
)

TRAINING: tuple[Pass, ...] = (
    drop_unused,
    pool_before_activation,
    fuse_activation_for_training,
    crop_unread,
)


Arrays = Mapping[str, np.ndarray]


def derive(parameter: Parameter, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The value of a parameter from the model's weights, in float64 where it is computed, rounded once.

    `weights` holds what was derived before and gets the new value.
    """
    if not parameter.derivation:
        return weights[parameter.name]
    sources = [weights[name].astype(np.float64) if name else None for name in parameter.sources]
    value = _DERIVATIONS[parameter.derivation](parameter, sources)
    weights[parameter.name] = value
    return value


def _normalisation_scale(parameter: Parameter, sources: list[np.ndarray | None]) -> np.ndarray:
    gamma, _, _, variance = sources
    assert variance is not None
    scale: np.ndarray = 1.0 / np.sqrt(variance + parameter.constants[0])
    return scale if gamma is None else scale * gamma


def _normalisation_shift(parameter: Parameter, sources: list[np.ndarray | None]) -> np.ndarray:
    _, beta, mean, _ = sources
    assert mean is not None
    shift: np.ndarray = -mean * _normalisation_scale(parameter, sources)
    return shift if beta is None else shift + beta


def _folded_kernel(parameter: Parameter, sources: list[np.ndarray | None]) -> np.ndarray:
    kernel, scale = sources
    assert kernel is not None
    assert scale is not None
    folded: np.ndarray = kernel * scale
    return folded


def _folded_depthwise_kernel(parameter: Parameter, sources: list[np.ndarray | None]) -> np.ndarray:
    kernel, scale = sources
    assert kernel is not None
    assert scale is not None
    folded: np.ndarray = kernel * scale.reshape(kernel.shape[-2:])
    return folded


def _folded_bias(parameter: Parameter, sources: list[np.ndarray | None]) -> np.ndarray:
    bias, scale, shift = sources
    assert scale is not None
    assert shift is not None
    return shift if bias is None else bias * scale + shift


_DERIVATIONS: dict[str, Callable[[Parameter, list[np.ndarray | None]], np.ndarray]] = {
    "normalisation_scale": _normalisation_scale,
    "normalisation_shift": _normalisation_shift,
    "folded_kernel": _folded_kernel,
    "folded_depthwise_kernel": _folded_depthwise_kernel,
    "folded_bias": _folded_bias,
}
