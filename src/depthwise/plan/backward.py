"""The rules by which the operations of a backward pass become kernel calls; see `plan.forward` for the forward ones."""

from dataclasses import replace
from itertools import pairwise, product
from math import prod
from typing import Any

from depthwise import gradient_operations as grad
from depthwise.emit.contraction import Contraction, Reduction
from depthwise.emit.depthwise import DepthwiseConvolution, DepthwiseWeightGradient
from depthwise.emit.elementwise import Copy, Elementwise, Fill
from depthwise.emit.gradients import GlobalPoolingGradient, RepeatedSum, SlopeAndSum, SoftmaxGradient
from depthwise.emit.loss import LossKernel
from depthwise.emit.maps import MapView
from depthwise.emit.normalisation import CollectMoments, CollectSums, FinishMoments, FinishSums
from depthwise.emit.pooling import PoolingGradient
from depthwise.emit.reductions import ChannelReduction, DivideByCounts
from depthwise.plan import packing
from depthwise.plan.forward import FORWARD, Rule, convolution_calls, window_counts
from depthwise.plan.forward import border as forward_border
from depthwise.plan.machine import choose_depthwise_tile, choose_tile
from depthwise.plan.placement import Part, Placement
from depthwise.plan.schedule import Call, Place, Pointer
from depthwise.program import Operation, Padding

__all__ = ["BACKWARD", "EXACT_GRADIENT_READERS", "border"]

EXACT_GRADIENT_READERS: tuple[type[Operation], ...] = (
    grad.LossValue,
    grad.LossGradient,
    grad.ConvolveKernelGradient,
    grad.MultiplyKernelGradient,
    grad.ScatterConvolution,
    grad.Spread,
    grad.Crop,
    grad.Slice,
)


def border(operation: Operation, name: str) -> Padding:
    """The zeros that the operation reads around its input `name`."""
    if isinstance(operation, (grad.ConvolveInputGradient, grad.DepthwiseInputGradient)):
        return operation.border
    if isinstance(operation, (grad.ConvolveKernelGradient, grad.DepthwiseKernelGradient)):
        return operation.padding if name == operation.inputs[0] else (0, 0, 0, 0)
    return forward_border(operation, name)


def _places(operation: Operation, placement: Placement) -> list[Place]:
    names = (*operation.inputs, *((operation.output,) if operation.output else ()))
    return [placement.places[name] for name in names]


def _elementwise(kind: str, places: list[Place], **more: Any) -> Call:
    kernel = Elementwise(kind, tuple(place.view for place in places), **more)
    return Call(kernel, tuple(place.pointer for place in places))


def _activation_slope(operation: grad.ActivationSlope, placement: Placement, part: Part) -> list[Call]:
    return [_elementwise("activation_slope", _places(operation, placement), detail=operation.activation)]


def _slope_and_bias_gradient(operation: grad.SlopeAndBiasGradient, placement: Placement, part: Part) -> list[Call]:
    kept, gradient, target = _places(operation, placement)
    out, _ = accumulator(placement, operation.parameter, 1, target.view.channels)
    kernel = SlopeAndSum(operation.activation, kept.view, gradient.view, target.view)
    return [Call(kernel, (kept.pointer, gradient.pointer, target.pointer, out))]


def _relu_slope(operation: grad.ReLUSlope, placement: Placement, part: Part) -> list[Call]:
    limits = (operation.limit, operation.negative_slope, operation.threshold)
    return [_elementwise("relu_layer_slope", _places(operation, placement), parameters=limits)]


def _softmax_slope(operation: grad.SoftmaxSlope, placement: Placement, part: Part) -> list[Call]:
    output, gradient, target = _places(operation, placement)
    kernel = SoftmaxGradient(output.view, gradient.view, target.view)
    return [Call(kernel, (output.pointer, gradient.pointer, target.pointer))]


def _spread(operation: grad.Spread, placement: Placement, part: Part) -> list[Call]:
    source, target = _places(operation, placement)
    view = target.view
    steps = replace(
        view,
        rows=source.view.rows,
        columns=source.view.columns,
        row_pitch=view.row_pitch * operation.strides[0],
        pixel_pitch=view.pixel_pitch * operation.strides[1],
    )
    return [
        Call(Fill(view, None, 0.0), (target.pointer,)),
        Call(Copy(source.view, steps), (source.pointer, target.pointer)),
    ]


def _convolve_input_gradient(operation: grad.ConvolveInputGradient, placement: Placement, part: Part) -> list[Call]:
    gradient, target = _places(operation, placement)
    groups, (height, width) = operation.groups, operation.kernel_size
    filters, channels = gradient.view.channels // groups, target.view.channels // groups
    total = gradient.view.channels
    origin = (
        operation.padding[0] - (height - 1) * operation.dilation[0],
        operation.padding[2] - (width - 1) * operation.dilation[1],
    )
    calls = []
    for group in range(groups):

        def pack(kernel: Contraction, group: int = group) -> Pointer:
            # The forward kernel is (height, width, channels of the group, all filters): mirrored, read by filters.
            cell = channels * total
            depth = ((height, -width * cell), (width, -cell), (filters, 1))
            last = (height * width - 1) * cell + group * filters
            return packing.panels(placement, operation.kernel, kernel, depth, total, last)

        calls += convolution_calls(
            placement,
            gradient,
            target,
            origin=origin,
            kernel_size=operation.kernel_size,
            strides=(1, 1),
            dilation=operation.dilation,
            channels=filters,
            filters=channels,
            first_channel=group * filters,
            first_filter=group * channels,
            exact=groups > 1 and channels % placement.vectors.lanes > 0,
            initial="zero",
            activation="linear",
            pack=pack,
            bias=Pointer("packed"),
            part=part,
        )
    return calls


def _scatter_convolution(operation: grad.ScatterConvolution, placement: Placement, part: Part) -> list[Call]:
    """One contraction for each cell of the kernel: all that the cell read inside the map gets its share."""
    gradient, target = _places(operation, placement)
    groups, width = operation.groups, operation.kernel_size[1]
    filters, channels = gradient.view.channels // groups, target.view.channels // groups
    total = gradient.view.channels
    rows, columns = operation.valid(target.view.rows, target.view.columns, gradient.view.rows, gradient.view.columns)
    calls = [Call(Fill(target.view, None, 0.0), (target.pointer,))]
    for (i, (top, down)), (j, (left, across)), group in product(enumerate(rows), enumerate(columns), range(groups)):
        if not down or not across:
            continue
        kernel = Contraction(
            a_rows=tuple(row * gradient.view.row_pitch for row in range(down)),
            out_rows=tuple(row * operation.strides[0] * target.view.row_pitch for row in range(down)),
            columns=across,
            a_column=gradient.view.pixel_pitch,
            out_column=operation.strides[1] * target.view.pixel_pitch,
            reduction=(Reduction(filters, 1),),
            channels=channels,
            packed=True,
            initial="out",
            activation="linear",
            exact=groups > 1 and channels % placement.vectors.lanes > 0,
            tile=choose_tile(placement.vectors, down * across, channels),
            panels_outside=False,
        )
        # The forward kernel is (height, width, channels of the group, all filters).
        first = (i * width + j) * channels * total + group * filters
        b = packing.panels(placement, operation.kernel, kernel, ((filters, 1),), total, first)
        out = target.pixel(
            top * operation.strides[0] + i * operation.dilation[0] - operation.padding[0],
            left * operation.strides[1] + j * operation.dilation[1] - operation.padding[2],
        )
        calls.append(Call(kernel, (gradient.pixel(top, left) + group * filters, b, b, out + group * channels)))
    return calls


def _depthwise_input_gradient(operation: grad.DepthwiseInputGradient, placement: Placement, part: Part) -> list[Call]:
    gradient, target = _places(operation, placement)
    kernel = DepthwiseConvolution(
        source=gradient.view,
        target=target.view,
        kernel_size=operation.kernel_size,
        strides=(1, 1),
        dilation=operation.dilation,
        bias=False,
        activation="linear",
        tile=choose_depthwise_tile(
            placement.vectors, operation.kernel_size, (1, 1), target.view.rows, target.view.columns
        ),
    )
    cells = prod(operation.kernel_size)
    weights = packing.depthwise_kernel(placement, operation.kernel, cells, target.view.channels, mirrored=True)
    start = gradient.pixel(
        operation.padding[0] - (operation.kernel_size[0] - 1) * operation.dilation[0],
        operation.padding[2] - (operation.kernel_size[1] - 1) * operation.dilation[1],
    )
    return [Call(kernel, (start, weights, weights, target.pointer))]


def _multiply_input_gradient(operation: grad.MultiplyInputGradient, placement: Placement, part: Part) -> list[Call]:
    gradient, target = _places(operation, placement)
    inputs, units = target.view.channels, gradient.view.channels
    columns = placement.group_columns
    kernel = Contraction(
        a_rows=(0,),
        out_rows=(0,),
        columns=columns,
        a_column=gradient.sample_pitch,
        out_column=target.sample_pitch,
        reduction=(Reduction(units, 1),),
        channels=inputs,
        packed=True,
        initial="zero",
        activation="linear",
        exact=False,
        tile=choose_tile(placement.vectors, columns or 4, inputs),
        panels_outside=True,
    )
    b = packing.panels(placement, operation.kernel, kernel, ((units, 1),), units)
    counts = ("images",) if columns is None else ()
    return [Call(kernel, (gradient.pointer, b, b, target.pointer, *counts))]


def accumulator(placement: Placement, parameter: str, rows: int, columns: int) -> tuple[Pointer, int]:
    """Where a chunk collects the gradient of a parameter seen as a matrix; its rows are whole vectors."""
    pitch = placement.vectors.round_up(columns)
    return placement.allocate("chunk", parameter, rows * pitch), pitch


def _convolve_kernel_gradient(operation: grad.ConvolveKernelGradient, placement: Placement, part: Part) -> list[Call]:
    source, gradient = _places(operation, placement)
    groups, (height, width) = operation.groups, operation.kernel_size
    filters, channels = gradient.view.channels // groups, source.view.channels // groups
    rows = height * width * channels
    out, pitch = accumulator(placement, operation.parameter, rows, gradient.view.channels)
    view, dy = source.view, gradient.view
    a_rows = tuple(
        i * operation.dilation[0] * view.row_pitch + j * operation.dilation[1] * view.pixel_pitch
        for i in range(height)
        for j in range(width)
    )
    start = source.pixel(-operation.padding[0], -operation.padding[2])
    calls = []
    for first, count in _strips(placement, operation, view, dy):
        kernel = Contraction(
            a_rows=a_rows,
            out_rows=tuple(cell * channels * pitch for cell in range(height * width)),
            columns=channels,
            a_column=1,
            out_column=pitch,
            reduction=_pixel_loops(view, dy.resized(count, dy.columns), operation.strides),
            channels=filters,
            packed=False,
            initial="out",
            activation="linear",
            exact=groups > 1 and filters % placement.vectors.lanes > 0,
            tile=choose_tile(placement.vectors, rows, filters),
            panels_outside=False,
        )
        a = start + first * operation.strides[0] * view.row_pitch
        for group in range(groups):
            b = gradient.pixel(first, 0) + group * filters
            calls.append(Call(kernel, (a + group * channels, b, b, out + group * filters)))
    return calls


def _pixel_loops(source: MapView, gradient: MapView, strides: tuple[int, int]) -> tuple[Reduction, ...]:
    """The sum over pixels: rows, then columns, or one loop where neither map has a gap between rows."""
    rows = Reduction(gradient.rows, strides[0] * source.row_pitch, gradient.row_pitch)
    columns = Reduction(gradient.columns, strides[1] * source.pixel_pitch, gradient.pixel_pitch)
    if (rows.a_step, rows.b_step) == (gradient.columns * columns.a_step, gradient.columns * columns.b_step):
        return (Reduction(gradient.rows * gradient.columns, columns.a_step, columns.b_step),)
    return tuple(loop for loop in (rows, columns) if loop.count != 1) or (Reduction(1, 1, 1),)


def _strips(
    placement: Placement, operation: grad.ConvolveKernelGradient, source: MapView, gradient: MapView
) -> list[tuple[int, int]]:
    """(first row, rows) of the gradient such that a strip of both maps stays in L1 while all weights read it."""
    reach = (operation.kernel_size[0] - 1) * operation.dilation[0]
    budget = placement.machine.first_cache * 3 // 4 - 4 * reach * source.row_pitch
    height = max(1, budget // (4 * (operation.strides[0] * source.row_pitch + gradient.row_pitch)))
    count = -(-gradient.rows // height)
    edges = [gradient.rows * i // count for i in range(count + 1)]
    return [(first, last - first) for first, last in pairwise(edges)]


def _depthwise_kernel_gradient(operation: grad.DepthwiseKernelGradient, placement: Placement, part: Part) -> list[Call]:
    source, gradient = _places(operation, placement)
    out, _ = accumulator(placement, operation.parameter, prod(operation.kernel_size), gradient.view.channels)
    kernel = DepthwiseWeightGradient(
        source.view, gradient.view, operation.kernel_size, operation.strides, operation.dilation
    )
    start = source.pixel(-operation.padding[0], -operation.padding[2])
    return [Call(kernel, (start, gradient.pointer, out))]


def _bias_gradient(operation: grad.BiasGradient, placement: Placement, part: Part) -> list[Call]:
    (gradient,) = _places(operation, placement)
    out, _ = accumulator(placement, operation.parameter, 1, gradient.view.channels)
    return [Call(ChannelReduction("add", (gradient.view,)), (gradient.pointer, out))]


def _pool_slope(operation: grad.PoolSlope, placement: Placement, part: Part) -> list[Call]:
    source, gradient, target = _places(operation, placement)
    padded = any(operation.counted_padding)
    windows = gradient.view
    tiled = operation.strides == operation.pool_size and all(
        size == count * stride
        for size, count, stride in zip(
            (target.view.rows, target.view.columns), (windows.rows, windows.columns), operation.strides
        )
    )
    overlaps = any(stride < size for stride, size in zip(operation.strides, operation.pool_size))
    calls = [] if tiled else [Call(Fill(target.view, None, 0.0), (target.pointer,))]
    slope = gradient
    if padded:
        row_counts, column_counts = window_counts(operation, source.view, windows)
        numbers = windows.rows * windows.row_pitch
        slope = replace(gradient, pointer=placement.allocate("extra", operation.output, numbers))
        calls += [
            _elementwise("copy", [gradient, slope]),
            Call(DivideByCounts(windows, tuple(row_counts), tuple(column_counts)), (slope.pointer,)),
        ]
    kernel = PoolingGradient(
        operation.kind,
        source.view,
        slope.view,
        target.view,
        operation.pool_size,
        operation.strides,
        adds=overlaps,
        divided=not padded,
    )
    return [*calls, Call(kernel, (source.pointer, slope.pointer, target.pointer))]


def _pool_globally_slope(operation: grad.PoolGloballySlope, placement: Placement, part: Part) -> list[Call]:
    source, gradient, target = _places(operation, placement)
    kernel = GlobalPoolingGradient(operation.kind, source.view, target.view)
    return [Call(kernel, (source.pointer, gradient.pointer, target.pointer))]


def _crop(operation: grad.Crop, placement: Placement, part: Part) -> list[Call]:
    gradient, target = _places(operation, placement)
    view = gradient.view.resized(target.view.rows, target.view.columns)
    start = gradient.pixel(operation.padding[0], operation.padding[2])
    return [Call(Copy(view, target.view), (start, target.pointer))]


def _slice(operation: grad.Slice, placement: Placement, part: Part) -> list[Call]:
    gradient, target = _places(operation, placement)
    view = replace(gradient.view, channels=operation.channels)
    return [Call(Copy(view, target.view), (gradient.pointer + operation.first, target.pointer))]


def _repeat_sum(operation: grad.RepeatSum, placement: Placement, part: Part) -> list[Call]:
    gradient, target = _places(operation, placement)
    kernel = RepeatedSum(gradient.view, target.view, operation.times)
    return [Call(kernel, (gradient.pointer, target.pointer))]


def _normalise_slope(operation: grad.NormaliseSlope, placement: Placement, part: Part) -> list[Call]:
    gradient, target = _places(operation, placement)
    kernel = Elementwise("multiply", (gradient.view, target.view), channel_vectors=1)
    return [Call(kernel, (gradient.pointer, packing.bias(placement, operation.scale), target.pointer))]


def _statistics(placement: Placement, key: str, channels: int) -> list[Pointer]:
    """Mean, 1 / deviation, gamma / deviation, beta, mean(dy), mean(dy · x̂): where each starts."""
    padded = placement.vectors.round_up(channels)
    first = placement.allocate("vectors", key, 6 * padded)
    return [first + i * padded for i in range(6)]


def _collect_moments(operation: grad.CollectMoments, placement: Placement, part: Part) -> list[Call]:
    (source,) = _places(operation, placement)
    padded = placement.vectors.round_up(source.view.channels)
    out = placement.allocate("chunk", f"{operation.key} moments", 3 * padded)
    return [Call(CollectMoments(source.view), (source.pointer, out))]


def _finish_moments(operation: grad.FinishMoments, placement: Placement, part: Part) -> list[Call]:
    padded = placement.vectors.round_up(operation.channels)
    kernel = FinishMoments(
        operation.channels,
        placement.chunk_pitch,
        operation.gamma is not None,
        operation.beta is not None,
        operation.momentum,
        operation.epsilon,
    )
    names = (operation.gamma, operation.beta, operation.moving_mean, operation.moving_variance)
    weights = [placement.parameter(name) if name else Pointer("parameters") for name in names]
    moments = placement.allocate("chunk", f"{operation.key} moments", 3 * padded)
    out = _statistics(placement, operation.key, operation.channels)[0]
    return [Call(kernel, (moments, "chunks", *weights, out))]


def _apply_normalisation(operation: grad.ApplyNormalisation, placement: Placement, part: Part) -> list[Call]:
    source, target = _places(operation, placement)
    mean, _, scale, beta, _, _ = _statistics(placement, operation.key, source.view.channels)
    kernel = Elementwise("normalise", (source.view, target.view), channel_vectors=3)
    return [Call(kernel, (source.pointer, mean, scale, beta, target.pointer))]


def _collect_sums(operation: grad.CollectNormalisationSums, placement: Placement, part: Part) -> list[Call]:
    source, gradient = _places(operation, placement)
    padded = placement.vectors.round_up(source.view.channels)
    out = placement.allocate("chunk", f"{operation.key} sums", 2 * padded)
    mean = _statistics(placement, operation.key, source.view.channels)[0]
    return [Call(CollectSums(source.view, gradient.view), (source.pointer, gradient.pointer, mean, out))]


def _finish_sums(operation: grad.FinishNormalisationSums, placement: Placement, part: Part) -> list[Call]:
    padded = placement.vectors.round_up(operation.channels)
    kernel = FinishSums(
        operation.channels,
        operation.pixels,
        placement.chunk_pitch,
        operation.gamma is not None,
        operation.beta is not None,
    )
    gradients = [
        placement.gradient(name) if name else Pointer("gradients") for name in (operation.beta, operation.gamma)
    ]
    sums = placement.allocate("chunk", f"{operation.key} sums", 2 * padded)
    out = _statistics(placement, operation.key, operation.channels)[4]
    return [Call(kernel, (sums, "chunks", "batch", *gradients, out))]


def _normalisation_slope(operation: grad.NormalisationSlope, placement: Placement, part: Part) -> list[Call]:
    source, gradient, target = _places(operation, placement)
    mean, inverse, scale, _, first, second = _statistics(placement, operation.key, source.view.channels)
    kernel = Elementwise("normalise_gradient", (source.view, gradient.view, target.view), channel_vectors=5)
    vectors = (mean, inverse, first, second, scale)
    return [Call(kernel, (source.pointer, gradient.pointer, *vectors, target.pointer))]


def _loss_value(operation: grad.LossValue, placement: Placement, part: Part) -> list[Call]:
    places = _places(operation, placement)
    kernel = LossKernel("value", operation.kind, (places[0].view,), operation.smoothing, operation.sparse)
    return [Call(kernel, tuple(place.pointer for place in places))]


def _loss_gradient(operation: grad.LossGradient, placement: Placement, part: Part) -> list[Call]:
    places = _places(operation, placement)
    views = (places[0].view, places[-1].view)
    kernel = LossKernel("gradient", operation.kind, views, operation.smoothing, operation.sparse)
    return [Call(kernel, tuple(place.pointer for place in places))]


BACKWARD: dict[type[Operation], Rule] = {
    **FORWARD,
    grad.ActivationSlope: _activation_slope,
    grad.SlopeAndBiasGradient: _slope_and_bias_gradient,
    grad.ReLUSlope: _relu_slope,
    grad.SoftmaxSlope: _softmax_slope,
    grad.Spread: _spread,
    grad.ConvolveInputGradient: _convolve_input_gradient,
    grad.ScatterConvolution: _scatter_convolution,
    grad.DepthwiseInputGradient: _depthwise_input_gradient,
    grad.MultiplyInputGradient: _multiply_input_gradient,
    grad.ConvolveKernelGradient: _convolve_kernel_gradient,
    grad.DepthwiseKernelGradient: _depthwise_kernel_gradient,
    grad.BiasGradient: _bias_gradient,
    grad.PoolSlope: _pool_slope,
    grad.PoolGloballySlope: _pool_globally_slope,
    grad.Crop: _crop,
    grad.Slice: _slice,
    grad.RepeatSum: _repeat_sum,
    grad.NormaliseSlope: _normalise_slope,
    grad.CollectMoments: _collect_moments,
    grad.FinishMoments: _finish_moments,
    grad.ApplyNormalisation: _apply_normalisation,
    grad.CollectNormalisationSums: _collect_sums,
    grad.FinishNormalisationSums: _finish_sums,
    grad.NormalisationSlope: _normalisation_slope,
    grad.LossValue: _loss_value,
    grad.LossGradient: _loss_gradient,
}
