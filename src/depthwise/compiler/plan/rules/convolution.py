"""Convolutions, forwards and transposed, and the gradients of their kernels."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Constant
from depthwise.compiler.kernels.contraction import Contraction, Reduction
from depthwise.compiler.kernels.depthwise import DepthwiseConvolution, DepthwiseWeightGradient
from depthwise.compiler.kernels.elementwise import Copy, Elementwise, Fill
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.machine import choose_depthwise_tile, choose_tile
from depthwise.compiler.plan import packing
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.repeats import repeated, rolled
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.schedule import NOWHERE, Call, Item, Place, Pointer

__all__ = ["convolution_calls"]


def _loops(kernel_size: tuple[int, int], view: MapView, dilation: tuple[int, int], channels: int) -> list[Reduction]:
    """The sum over a window's cells and channels, loops that follow each other without a gap joined."""
    loops = [
        Reduction(kernel_size[0], dilation[0] * view.row_pitch),
        Reduction(kernel_size[1], dilation[1] * view.pixel_pitch),
        Reduction(channels, 1),
    ]
    joined: list[Reduction] = []
    for loop in loops:
        if loop.count == 1:
            continue
        if joined and joined[-1].a_step == (loop.count or 0) * loop.a_step:
            joined[-1] = Reduction((joined[-1].count or 0) * (loop.count or 0), loop.a_step)
        else:
            joined.append(loop)
    return joined or [Reduction(1, 1)]


def _offsets(rows: int, pitch: int) -> tuple[int, ...]:
    """Where each row starts; there are thousands of rows in the strips of a large network."""
    return tuple(range(0, rows * pitch, pitch))


def convolution_calls(
    placement: Placement,
    source: Place,
    target: Place,
    *,
    origin: tuple[int, int],
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    initial: str,
    activation: str,
    pack: Callable[[Contraction], Pointer],
    bias: Pointer,
    part: Part,
) -> list[Item]:
    """A convolution of each group of `source`'s channels into as many of `target`'s.

    `origin` is the pixel of `source` that the first window starts at. The shares of `part` are rows, or panels of filters
    where the rows do not divide evenly and the panels do.
    """
    vectors = placement.vectors
    view = target.view
    channels, filters = source.view.channels // groups, view.channels // groups
    # A group's last vector must not reach into the next group.
    exact = groups > 1 and filters % vectors.lanes > 0
    shared = channels == 1 and strides[1] == dilation[1] == source.view.pixel_pitch
    tile = choose_tile(vectors, view.rows * view.columns, filters, kernel_size[1] if shared else 1)
    loops = _loops(kernel_size, source.view, dilation, channels)
    depth = prod(loop.count or 0 for loop in loops)
    whole = Contraction(
        a_rows=_offsets(view.rows, strides[0] * source.view.row_pitch),
        out_rows=_offsets(view.rows, view.row_pitch),
        columns=view.columns,
        a_column=strides[1] * source.view.pixel_pitch,
        out_column=view.pixel_pitch,
        reduction=tuple(loops),
        channels=filters,
        packed=True,
        initial=initial,
        activation=activation,
        exact=exact,
        tile=tile,
        panels_outside=False,
    )
    b = pack(whole)
    panels = whole.panels(vectors)
    start, out = source.pixel(*origin), target.pointer
    steps = {
        "a": channels,
        "b": packing.matrix_size(placement, whole, depth),
        "bias": filters if initial == "bias" else 0,
        "out": filters,
    }
    if part.count > 1 and view.rows % part.count and len(panels) % part.count == 0 and not exact:
        first, count = part.of(len(panels))
        channel = panels[first][0] * vectors.lanes
        share = replace(whole, channels=min(filters - channel, count * tile[1] * vectors.lanes))
        call = Call(share, (start, b + channel * depth, bias + channel, out + channel))
        return repeated([call], groups, steps)
    first, count = part.of(view.rows)
    if count == 0:
        return []
    a = start + first * strides[0] * source.view.row_pitch
    share = replace(whole, a_rows=whole.a_rows[:count], out_rows=whole.out_rows[:count])
    return repeated([Call(share, (a, b, bias, out + first * view.row_pitch))], groups, steps)


@rule(op.Convolve)
def _convolve(operation: op.Convolve, placement: Placement, part: Part) -> list[Item]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    groups, filters = operation.groups, target.view.channels
    depth = prod(operation.kernel_size) * source.view.channels // groups

    def pack(kernel: Contraction) -> Pointer:
        each = ((groups, filters // groups),)
        return packing.panels(placement, operation.kernel, kernel, ((depth, filters),), 1, repeats=each)

    return convolution_calls(
        placement,
        source,
        target,
        origin=(-operation.padding[0], -operation.padding[2]),
        kernel_size=operation.kernel_size,
        strides=operation.strides,
        dilation=operation.dilation,
        groups=groups,
        initial="bias" if operation.bias else "zero",
        activation=operation.activation,
        pack=pack,
        bias=packing.bias(placement, operation.bias) if operation.bias else NOWHERE,
        part=part,
    )


@rule(op.ConvolveDepthwise)
def _convolve_depthwise(operation: op.ConvolveDepthwise, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    first, count = part.of(target.view.rows)
    if count == 0:
        return []
    out, view = target.rows(first, count)
    kernel = DepthwiseConvolution(
        source=source.view,
        target=view,
        kernel_size=operation.kernel_size,
        strides=operation.strides,
        dilation=operation.dilation,
        bias=operation.bias is not None,
        activation=operation.activation,
        tile=choose_depthwise_tile(
            placement.vectors, operation.kernel_size, operation.strides, view.rows, view.columns
        ),
    )
    cells = prod(operation.kernel_size)
    weights = packing.depthwise_kernel(placement, operation.kernel, cells, view.channels, mirrored=False)
    bias = packing.bias(placement, operation.bias) if operation.bias else weights
    start = source.pixel(first * operation.strides[0] - operation.padding[0], -operation.padding[2])
    return [Call(kernel, (start, weights, bias, out))]


@rule(op.ConvolveTransposed)
def _convolve_transposed(operation: op.ConvolveTransposed, placement: Placement, part: Part) -> list[Item]:
    return (_scatter if operation.scatters else _gather)(operation, placement, part)


def _gather(operation: op.ConvolveTransposed, placement: Placement, part: Part) -> list[Item]:
    """A convolution of the operand with the mirrored kernel, zeros around."""
    gradient, target = operand_places(operation, placement)
    groups, (height, width) = operation.groups, operation.kernel_size
    filters, channels = gradient.view.channels // groups, target.view.channels // groups
    total = gradient.view.channels
    origin = (
        operation.padding[0] - (height - 1) * operation.dilation[0],
        operation.padding[2] - (width - 1) * operation.dilation[1],
    )

    def pack(kernel: Contraction) -> Pointer:
        # The forward kernel is (height, width, channels of the group, all filters): mirrored, read by filters.
        cell = channels * total
        depth = ((height, -width * cell), (width, -cell), (filters, 1))
        last = (height * width - 1) * cell
        return packing.panels(placement, operation.kernel, kernel, depth, total, last, repeats=((groups, filters),))

    return convolution_calls(
        placement,
        gradient,
        target,
        origin=origin,
        kernel_size=operation.kernel_size,
        strides=(1, 1),
        dilation=operation.dilation,
        groups=groups,
        initial="zero",
        activation="linear",
        pack=pack,
        bias=NOWHERE,
        part=part,
    )


def _scatter(operation: op.ConvolveTransposed, placement: Placement, part: Part) -> list[Item]:
    """One contraction for each cell of the kernel and each group: all that the cell read inside the map gets its share."""
    gradient, target = operand_places(operation, placement)
    groups, (height, width) = operation.groups, operation.kernel_size
    filters, channels = gradient.view.channels // groups, target.view.channels // groups
    total = gradient.view.channels
    rows, columns = operation.valid(gradient.view.rows, gradient.view.columns)
    # One tile for all cells, whatever they reach: so their packed weights follow each other.
    most = max(down for _, down in rows) * max(across for _, across in columns)
    tile = choose_tile(placement.vectors, max(1, most), channels)
    # The shares of `part` are panels of channels, so that no two add to the same numbers.
    lanes = tile[1] * placement.vectors.lanes
    first, count = (share * lanes for share in part.of(-(-channels // lanes)))
    if groups > 1:
        first, count = (0, 0) if part.index else (0, channels)
    count = min(count, channels - first)
    if count <= 0:
        return []
    fill = Call(Fill(target.view, None, 0.0), (target.pointer,))
    if count < channels:
        fill = Call(Elementwise(Constant(0.0), (), replace(target.view, channels=count)), (target.pointer + first,))

    def cell(i: int, j: int) -> list[Item]:
        (top, down), (left, across) = rows[i], columns[j]
        if not down or not across:
            return []
        kernel = Contraction(
            a_rows=_offsets(down, gradient.view.row_pitch),
            out_rows=_offsets(down, operation.strides[0] * target.view.row_pitch),
            columns=across,
            a_column=gradient.view.pixel_pitch,
            out_column=operation.strides[1] * target.view.pixel_pitch,
            reduction=(Reduction(filters, 1),),
            channels=channels,
            packed=True,
            initial="out",
            activation="linear",
            exact=groups > 1 and channels % placement.vectors.lanes > 0,
            tile=tile,
            panels_outside=False,
        )
        # The forward kernel is (height, width, channels of the group, all filters).
        step = channels * total
        each = ((height, width * step), (width, step), (groups, filters))
        size = packing.matrix_size(placement, kernel, filters)
        b = packing.panels(placement, operation.kernel, kernel, ((filters, 1),), total, repeats=each)
        b += (i * width + j) * groups * size + first * filters
        out = target.pixel(
            top * operation.strides[0] + i * operation.dilation[0] - operation.padding[0],
            left * operation.strides[1] + j * operation.dilation[1] - operation.padding[2],
        )
        out += first
        kernel = replace(kernel, channels=count)
        call = Call(kernel, (gradient.pixel(top, left), b, b, out))
        return repeated([call], groups, {"a": filters, "b": size, "bias": size, "out": channels})

    return [
        fill,
        *rolled([rolled([cell(i, j) for j in range(width)]) for i in range(height)]),
    ]


@rule(op.ConvolveDepthwiseTransposed)
def _depthwise_transposed(operation: op.ConvolveDepthwiseTransposed, placement: Placement, part: Part) -> list[Call]:
    gradient, target = operand_places(operation, placement)
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


@rule(op.Spread)
def _spread(operation: op.Spread, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
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


@rule(op.AccumulateConvolution)
def _convolution_kernel(operation: op.AccumulateConvolution, placement: Placement, part: Part) -> list[Item]:
    source, gradient = operand_places(operation, placement)
    groups, (height, width) = operation.groups, operation.kernel_size
    filters, channels = gradient.view.channels // groups, source.view.channels // groups
    rows = height * width * channels
    out, pitch = placement.accumulator(operation.parameter, rows, gradient.view.channels)
    view, dy = source.view, gradient.view
    a_rows = tuple(
        i * operation.dilation[0] * view.row_pitch + j * operation.dilation[1] * view.pixel_pitch
        for i in range(height)
        for j in range(width)
    )
    start = source.pixel(-operation.padding[0], -operation.padding[2])
    strips = []
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
        b = gradient.pixel(first, 0)
        call = Call(kernel, (a, b, b, out))
        strips.append(repeated([call], groups, {"a": channels, "b": filters, "bias": filters, "out": filters}))
    return rolled(strips)


def _pixel_loops(source: MapView, gradient: MapView, strides: tuple[int, int]) -> tuple[Reduction, ...]:
    """The sum over pixels: rows, then columns, or one loop where neither map has a gap between rows."""
    rows = Reduction(gradient.rows, strides[0] * source.row_pitch, gradient.row_pitch)
    columns = Reduction(gradient.columns, strides[1] * source.pixel_pitch, gradient.pixel_pitch)
    if (rows.a_step, rows.b_step) == (gradient.columns * columns.a_step, gradient.columns * columns.b_step):
        return (Reduction(gradient.rows * gradient.columns, columns.a_step, columns.b_step),)
    return tuple(loop for loop in (rows, columns) if loop.count != 1) or (Reduction(1, 1, 1),)


def _strips(
    placement: Placement, operation: op.AccumulateConvolution, source: MapView, gradient: MapView
) -> list[tuple[int, int]]:
    """(first row, rows) of the gradient such that a strip of both maps stays in L1 while all weights read it."""
    reach = (operation.kernel_size[0] - 1) * operation.dilation[0]
    budget = placement.machine.first_cache * 3 // 4 - 4 * reach * source.row_pitch
    height = max(1, budget // (4 * (operation.strides[0] * source.row_pitch + gradient.row_pitch)))
    count = -(-gradient.rows // height)
    height, higher = divmod(gradient.rows, count)
    edges = [i * height + min(i, higher) for i in range(count + 1)]
    return [(first, last - first) for first, last in pairwise(edges)]


@rule(op.AccumulateDepthwise)
def _depthwise_kernel(operation: op.AccumulateDepthwise, placement: Placement, part: Part) -> list[Call]:
    source, gradient = operand_places(operation, placement)
    out, _ = placement.accumulator(operation.parameter, prod(operation.kernel_size), gradient.view.channels)
    kernel = DepthwiseWeightGradient(
        source.view, gradient.view, operation.kernel_size, operation.strides, operation.dilation
    )
    start = source.pixel(-operation.padding[0], -operation.padding[2])
    return [Call(kernel, (start, gradient.pointer, out))]
