from dataclasses import replace

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import Derived, Role, TensorType, Value
from depthwise.compiler.passes.pairs import fuse_pairs

__all__ = ["fold_batch_normalization"]


def fold_batch_normalization(program: Program) -> Program:
    """Convolve → x · scale + shift  ⇒  Convolve with kernel · scale and bias · scale + shift."""
    values: dict[str, Value] = {}

    def fuse(current: Program, first: Operation, second: Operation) -> Operation | None:
        if not isinstance(second, op.Elementwise) or second.expression != op.AFFINE or second.source != first.output:
            return None
        if not isinstance(first, (op.Convolve, op.ConvolveDepthwise, op.Contract)) or first.activation != "linear":
            return None
        _, scale, shift = second.operands
        channels = current.type(first.output).map[2]
        parameters = [current.values[name] for name in (scale, shift)]
        if any(item.role is not Role.PARAMETER or item.shape != (channels,) for item in parameters):
            return None
        rule = "folded_depthwise_kernel" if isinstance(first, op.ConvolveDepthwise) else "folded_kernel"
        kernel = _derived(f"{first.kernel}·{scale}", current.type(first.kernel), rule, (first.kernel, scale))
        bias = _derived(f"{first.kernel}·{shift}", current.type(shift), "folded_bias", (first.bias or "", scale, shift))
        values.update({kernel.name: kernel, bias.name: bias})
        return replace(first, operands=(first.source, kernel.name, bias.name), results=second.results)

    return fuse_pairs(program, fuse, values)


def _derived(name: str, type_: TensorType, rule: str, sources: tuple[str, ...]) -> Value:
    return Value(name, type_, Role.PARAMETER, derived=Derived(rule, sources))
