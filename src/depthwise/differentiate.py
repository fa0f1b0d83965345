"""The backward pass, as a table: for each forward operation what carries the gradient to its inputs and parameters.

`differentiate` appends ordinary operations to a program. A tensor that several operations read gets the sum of what each
gives; nothing is computed for tensors that no trainable parameter lies behind.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from depthwise import gradient_operations as grad
from depthwise import operations as op
from depthwise.emit.activation import KEPT
from depthwise.errors import UnsupportedError, describe_value
from depthwise.program import MapShape, Operation, Padding, Program

__all__ = ["LossRule", "check_shared", "differentiate", "expand_batch_normalization"]


@dataclass(frozen=True)
class LossRule:
    """How a loss reads the network's output.

    Attributes:
        name: "categorical", "binary", "squared" or "absolute".
        from_logits: the output is before softmax or sigmoid.
        sparse: the target is a class number.
        smoothing: label smoothing.
    """

    name: str
    from_logits: bool
    sparse: bool
    smoothing: float


TARGET, WEIGHT, LOSSES = "/target", "/weight", "/losses"


def expand_batch_normalization(program: Program) -> Program:
    """NormaliseBatch  ⇒  collect over the batch, finish, apply: three operations with a barrier between."""
    operations: list[Operation] = []
    for operation in program.operations:
        if not isinstance(operation, op.NormaliseBatch):
            operations.append(operation)
            continue
        key = operation.output
        rows, columns, channels = program.tensors[key]
        operations += [
            grad.CollectMoments(operation.inputs, "", key),
            grad.FinishMoments(
                (),
                "",
                key,
                rows * columns,
                channels,
                operation.gamma,
                operation.beta,
                operation.moving_mean,
                operation.moving_variance,
                operation.momentum,
                operation.epsilon,
            ),
            grad.ApplyNormalisation(operation.inputs, key, key),
        ]
    return program.rewritten(operations)


def check_shared(program: Program) -> None:
    """Whether the gradients of a parameter that several operations read can be added up.

    Raises:
        UnsupportedError: a batch normalisation that is trained in two places, or a dense layer on vectors and on maps.
    """
    readers: dict[str, set[str]] = {}
    for operation in program.operations:
        for name in operation.parameters:
            if not program.parameters[name].trainable:
                continue
            kind = type(operation).__name__
            if isinstance(operation, op.NormaliseBatch) and name in readers:
                raise UnsupportedError(
                    f"{describe_value(name)} belongs to a BatchNormalization that is called twice, which can predict but not "
                    "be trained; set its trainable to False, or make a layer for each call"
                )
            is_kernel = name == getattr(operation, "kernel", None)
            readers.setdefault(name, set()).add(kind if is_kernel else "")
            if len(readers[name]) > 1:
                raise UnsupportedError(
                    f"{describe_value(name)} is read by a layer that is called on vectors and on maps, which can predict but "
                    "not be trained; make a layer for each"
                )


def differentiate(program: Program, loss: LossRule) -> Program:
    """The program with loss and gradients: inputs /target and /weight more, outputs /losses and the predictions."""
    return _Differentiation(program, loss).run()


class _Differentiation:
    def __init__(self, program: Program, loss: LossRule) -> None:
        self.program = program
        self.loss = loss
        self.operations: list[Operation] = list(program.operations)
        self.tensors: dict[str, MapShape] = dict(program.tensors)
        self.parts: dict[str, list[str]] = {}
        self.needed = self._needed()
        self.fused_sigmoid = ""
        """The output whose sigmoid the loss's gradient already contains."""

    def _needed(self) -> set[str]:
        """Tensors behind which a trainable parameter lies."""
        needed: set[str] = set()
        for operation in self.program.operations:
            if not operation.output:
                continue
            trains = any(self.program.parameters[name].trainable for name in _weights(operation, self.program))
            if trains or any(name in needed for name in operation.inputs):
                needed.add(operation.output)
        return needed

    def trainable(self, parameter: str | None) -> bool:
        return parameter is not None and self.program.parameters[parameter].trainable

    def emit(self, operation: Operation, shape: MapShape | None = None) -> str:
        self.operations.append(operation)
        if shape is not None:
            self.tensors[operation.output] = shape
        return operation.output

    def name(self, tensor: str) -> str:
        """A fresh name for one part of the gradient of `tensor`."""
        parts = self.parts.setdefault(tensor, [])
        return f"/gradient {len(parts)} of {tensor}"

    def give(self, tensor: str, make: Callable[[str], Operation]) -> None:
        """One more part of the gradient of `tensor`: the operation that `make` gives for its name."""
        if tensor in self.needed:
            name = self.name(tensor)
            self.parts[tensor].append(self.emit(make(name), self.tensors[tensor]))

    def pass_on(self, tensor: str, gradient: str) -> None:
        """The gradient itself is one more part."""
        if tensor in self.needed:
            self.parts.setdefault(tensor, []).append(gradient)

    def total(self, tensor: str) -> str | None:
        """The gradient of `tensor`, all parts added."""
        parts = self.parts.get(tensor, [])
        if len(parts) > 1:
            return self.emit(op.Add(tuple(parts), f"/gradient of {tensor}"), self.tensors[tensor])
        return parts[0] if parts else None

    def run(self) -> Program:
        program = self.program
        ((output, shape),) = program.outputs
        self.tensors |= {
            TARGET: (1, 1, 1) if self.loss.sparse else program.tensors[output],
            WEIGHT: (1, 1, 1),
            LOSSES: (1, 1, 1),
        }
        if self.loss.sparse:
            target_shape: tuple[int, ...] = (1,)
        else:
            target_shape = shape
        skipped = self._loss(output)
        for operation in reversed(program.operations):
            if operation is skipped:
                continue
            if isinstance(operation, grad.ApplyNormalisation):
                self._normalisation(operation)
                continue
            rule = _RULES.get(type(operation))
            if rule is None or operation.output not in self.needed:
                continue
            gradient = self.total(operation.output)
            if gradient is not None:
                rule(self, operation, gradient)
        inputs = (*program.inputs, (TARGET, target_shape), (WEIGHT, (1,)))
        outputs = ((LOSSES, (1,)), (output, shape))
        return Program(inputs, outputs, tuple(self.operations), self.tensors, program.parameters)

    def _loss(self, output: str) -> Operation | None:
        """Loss and its gradient; with softmax or sigmoid last, the gradient skips it: p − t, which never divides.

        The loss behind softmax comes from what softmax reads, as in TensorFlow: a probability too small for its logarithm
        need not be clipped there.
        """
        loss = self.loss
        writer = self.program.writer[output]
        fused, source, skipped = "", output, None
        if loss.name == "categorical" and not loss.from_logits and isinstance(writer, op.Softmax):
            fused, skipped = "softmax", writer
        elif loss.name == "binary" and not loss.from_logits and getattr(writer, "activation", "") == "sigmoid":
            fused = "sigmoid"
        value_kind = loss.name + ("_logits" if loss.from_logits or skipped is not None else "")
        read = output if skipped is None else skipped.inputs[0]
        self.emit(grad.LossValue((read, TARGET), LOSSES, value_kind, loss.smoothing, loss.sparse), self.tensors[LOSSES])
        if loss.name == "categorical" and loss.from_logits:
            source = self.emit(op.Softmax((output,), "/probabilities"), self.tensors[output])
        kind = {"softmax": "categorical_fused", "sigmoid": "binary_fused"}.get(fused) or {
            "categorical": "categorical_fused" if loss.from_logits else "categorical",
            "binary": "binary_logits" if loss.from_logits else "binary",
        }.get(loss.name, loss.name)
        target = skipped.inputs[0] if skipped is not None else output

        def make(name: str) -> Operation:
            return grad.LossGradient((source, TARGET, WEIGHT), name, kind, loss.smoothing, loss.sparse)

        self.give(target, make)
        if fused == "sigmoid":
            self.fused_sigmoid = output
        return skipped

    def before_activation(self, operation: Any, gradient: str, kept_input: str | None = None) -> str:
        """The gradient of what the operation computes before its own activation."""
        activation = operation.activation
        if activation == "linear" or operation.output == self.fused_sigmoid:
            return gradient
        kept = operation.output if KEPT[activation] == "output" else kept_input
        assert kept is not None, f"{operation}: its activation must be an operation of its own"
        slope = grad.ActivationSlope((kept, gradient), f"/slope of {operation.output}", activation)
        return self.emit(slope, self.tensors[operation.output])

    def bias_gradient(self, bias: str | None, gradient: str) -> None:
        """The gradient of a bias: the sum of `gradient`.

        Where that comes out of a pooling, the pooling's own gradient has the same sum, over fewer numbers.
        """
        if bias is None or not self.trainable(bias):
            return
        writer = next((item for item in reversed(self.operations) if item.output == gradient), None)
        if isinstance(writer, grad.PoolSlope) and not any(writer.counted_padding):
            gradient = writer.inputs[1]
            writer = next((item for item in reversed(self.operations) if item.output == gradient), None)
        if isinstance(writer, grad.ActivationSlope):
            fused = grad.SlopeAndBiasGradient(writer.inputs, writer.output, bias, writer.activation)
            self.operations[self.operations.index(writer)] = fused
            return
        self.emit(grad.BiasGradient((gradient,), "", bias))

    def _normalisation(self, operation: grad.ApplyNormalisation) -> None:
        gradient = self.total(operation.output)
        if gradient is None:
            return
        (finish,) = (
            item
            for item in self.program.operations
            if isinstance(item, grad.FinishMoments) and item.key == operation.key
        )
        (source,) = operation.inputs
        self.emit(grad.CollectNormalisationSums((source, gradient), "", operation.key))
        self.emit(
            grad.FinishNormalisationSums(
                (), "", operation.key, finish.pixels, finish.channels, finish.gamma, finish.beta
            )
        )
        self.give(source, lambda name: grad.NormalisationSlope((source, gradient), name, operation.key))


def _weights(operation: Operation, program: Program) -> tuple[str, ...]:
    if isinstance(operation, grad.ApplyNormalisation):
        for item in program.operations:
            if isinstance(item, grad.FinishMoments) and item.key == operation.key:
                return tuple(name for name in (item.gamma, item.beta) if name is not None)
    return operation.parameters


def _mirrored_border(
    source: MapShape, gradient: MapShape, kernel_size: Any, dilation: Any, padding: Padding
) -> Padding:
    """Zeros that the mirrored kernel reads around the output gradient to reach every cell of the input."""
    sides = []
    for axis, before in ((0, padding[0]), (1, padding[2])):
        reach = (kernel_size[axis] - 1) * dilation[axis]
        sides += [max(0, reach - before), max(0, source[axis] - 1 + before - (gradient[axis] - 1))]
    return sides[0], sides[1], sides[2], sides[3]


def _spread(self: _Differentiation, operation: Any, gradient: str) -> str:
    if max(operation.strides) == 1:
        return gradient
    rows, columns, channels = self.tensors[gradient]
    shape = ((rows - 1) * operation.strides[0] + 1, (columns - 1) * operation.strides[1] + 1, channels)
    return self.emit(grad.Spread((gradient,), f"/spread gradient of {operation.output}", operation.strides), shape)


def _convolve(self: _Differentiation, operation: op.Convolve, gradient: str) -> None:
    gradient = self.before_activation(operation, gradient)
    (source,) = operation.inputs
    window = (operation.kernel_size, operation.strides, operation.dilation, operation.padding, operation.groups)
    self.bias_gradient(operation.bias, gradient)
    if self.trainable(operation.kernel):
        self.emit(grad.ConvolveKernelGradient((source, gradient), "", operation.kernel, *window))
    if source not in self.needed:
        return
    arguments = (operation.kernel_size, operation.strides, operation.dilation, operation.padding, operation.groups)
    scatter = grad.ScatterConvolution((gradient,), "", operation.kernel, *arguments)
    if _scatters(scatter, self.tensors[source], self.tensors[gradient]):
        self.give(source, lambda name: replace(scatter, output=name))
        return
    border = _mirrored_border(
        self.tensors[source], self.tensors[gradient], operation.kernel_size, operation.dilation, operation.padding
    )
    self.give(
        source,
        lambda name: grad.ConvolveInputGradient(
            (gradient,),
            name,
            operation.kernel,
            operation.kernel_size,
            operation.dilation,
            operation.padding,
            operation.groups,
            border,
        ),
    )


SCATTER_COST = 8
"""About how many steps of k it costs to load a sum again and store it, once for each cell of the kernel."""


def _scatters(operation: grad.ScatterConvolution, source: MapShape, gradient: MapShape) -> bool:
    """Whether adding cell by cell takes fewer multiply-adds than a convolution of the gradient with zeros around it."""
    if operation.strides != (1, 1):
        return True
    rows, columns = operation.valid(*source[:2], *gradient[:2])
    scattered = sum(count for _, count in rows) * sum(count for _, count in columns)
    gathered = source[0] * source[1] * operation.kernel_size[0] * operation.kernel_size[1]
    depth = gradient[2] // operation.groups
    return scattered * (depth + SCATTER_COST) < gathered * depth


def _convolve_depthwise(self: _Differentiation, operation: op.ConvolveDepthwise, gradient: str) -> None:
    gradient = self.before_activation(operation, gradient)
    (source,) = operation.inputs
    window = (operation.kernel_size, operation.strides, operation.dilation, operation.padding)
    self.bias_gradient(operation.bias, gradient)
    if self.trainable(operation.kernel):
        self.emit(grad.DepthwiseKernelGradient((source, gradient), "", operation.kernel, *window))
    if source in self.needed:
        spread = _spread(self, operation, gradient)
        border = _mirrored_border(
            self.tensors[source], self.tensors[spread], operation.kernel_size, operation.dilation, operation.padding
        )
        self.give(
            source,
            lambda name: grad.DepthwiseInputGradient(
                (spread,),
                name,
                operation.kernel,
                operation.kernel_size,
                operation.dilation,
                operation.padding,
                border,
            ),
        )


def _multiply(self: _Differentiation, operation: op.Multiply, gradient: str) -> None:
    gradient = self.before_activation(operation, gradient)
    (source,) = operation.inputs
    self.bias_gradient(operation.bias, gradient)
    if self.trainable(operation.kernel):
        self.emit(grad.MultiplyKernelGradient((source, gradient), "", operation.kernel))
    self.give(source, lambda name: grad.MultiplyInputGradient((gradient,), name, operation.kernel))


def _pool(self: _Differentiation, operation: op.Pool, gradient: str) -> None:
    gradient = self.before_activation(operation, gradient)
    (source,) = operation.inputs
    self.give(
        source,
        lambda name: grad.PoolSlope(
            (source, gradient),
            name,
            operation.kind,
            operation.pool_size,
            operation.strides,
            operation.counted_padding,
        ),
    )


def _pool_globally(self: _Differentiation, operation: op.PoolGlobally, gradient: str) -> None:
    (source,) = operation.inputs
    self.give(source, lambda name: grad.PoolGloballySlope((source, gradient), name, operation.kind))


def _pad(self: _Differentiation, operation: op.Pad, gradient: str) -> None:
    self.give(operation.inputs[0], lambda name: grad.Crop((gradient,), name, operation.padding))


def _activate(self: _Differentiation, operation: op.Activate, gradient: str) -> None:
    self.pass_on(operation.inputs[0], self.before_activation(operation, gradient, operation.inputs[0]))


def _apply_relu(self: _Differentiation, operation: op.ApplyReLU, gradient: str) -> None:
    (source,) = operation.inputs
    limits = (operation.limit, operation.negative_slope, operation.threshold)
    self.give(source, lambda name: grad.ReLUSlope((source, gradient), name, *limits))


def _softmax(self: _Differentiation, operation: op.Softmax, gradient: str) -> None:
    self.give(operation.inputs[0], lambda name: grad.SoftmaxSlope((operation.output, gradient), name))


def _scale(self: _Differentiation, operation: op.Scale, gradient: str) -> None:
    self.give(operation.inputs[0], lambda name: op.Scale((gradient,), name, operation.scale, 0.0))


def _normalise(self: _Differentiation, operation: op.Normalise, gradient: str) -> None:
    gradient = self.before_activation(operation, gradient)
    self.give(operation.inputs[0], lambda name: grad.NormaliseSlope((gradient,), name, operation.scale))


def _add(self: _Differentiation, operation: op.Add, gradient: str) -> None:
    for source in operation.inputs:
        self.pass_on(source, gradient)


def _concatenate(self: _Differentiation, operation: op.Concatenate, gradient: str) -> None:
    first = 0
    for source in operation.inputs:
        channels = self.tensors[source][2]

        def make(name: str, first: int = first, channels: int = channels) -> Operation:
            return grad.Slice((gradient,), name, first, channels)

        self.give(source, make)
        first += channels


def _repeat(self: _Differentiation, operation: op.Repeat, gradient: str) -> None:
    self.give(operation.inputs[0], lambda name: grad.RepeatSum((gradient,), name, operation.times))


def _reshape(self: _Differentiation, operation: op.Reshape, gradient: str) -> None:
    self.give(operation.inputs[0], lambda name: op.Reshape((gradient,), name))


def _drop(self: _Differentiation, operation: op.Drop, gradient: str) -> None:
    self.give(operation.inputs[0], lambda name: op.Drop((gradient,), name, operation.rate, operation.layer))


_RULES: dict[type[Operation], Callable[[_Differentiation, Any, str], None]] = {
    op.Convolve: _convolve,
    op.ConvolveDepthwise: _convolve_depthwise,
    op.Multiply: _multiply,
    op.Pool: _pool,
    op.PoolGlobally: _pool_globally,
    op.Pad: _pad,
    op.Activate: _activate,
    op.ApplyReLU: _apply_relu,
    op.Softmax: _softmax,
    op.Scale: _scale,
    op.Normalise: _normalise,
    op.Add: _add,
    op.Concatenate: _concatenate,
    op.Repeat: _repeat,
    op.Reshape: _reshape,
    op.Drop: _drop,
}
