/** Operations that read many numbers for one: convolutions, products, pooling, resampling; as `depthwise.explain.operations`. */

import { activation } from "./activations";
import type { Axis, Operation } from "./data";
import { convolve, convolveDepthwise, convolveTransposed, pool, product, reduceMap, size } from "./windows";

type Arrays = Float32Array[];

/** Shape or place as kernels see it: rows, columns, channels. */
export const asMap = (shape: number[], filler: number) => [...Array(Math.max(0, 3 - shape.length)).fill(filler), ...shape];

/** How a window moves along one axis (0 for rows, 1 for columns) over `input` cells to `output` places. */
function axisOf(operation: Operation, axis: number, input: number, output: number, padding: number[]): Axis {
  const kernel = operation.kernel_size![axis];
  const dilation = operation.dilation?.[axis] ?? 1;
  return {
    input,
    kernel,
    stride: operation.strides![axis],
    dilation,
    pad_before: padding[2 * axis],
    pad_after: padding[2 * axis + 1],
    output,
    span: (kernel - 1) * dilation + 1,
    dropped: 0,
  };
}

function maps(operation: Operation): { from: number[]; to: number[] } {
  return { from: asMap(operation.operands[0].shape, 1), to: asMap(operation.result.shape, 1) };
}

function finished(operation: Operation, y: Float32Array, bias: Float32Array | undefined): Float32Array {
  const channels = operation.result.shape[operation.result.shape.length - 1];
  if (bias) for (let i = 0; i < y.length; i++) y[i] += bias[i % channels];
  return operation.activation && operation.activation !== "linear" ? y.map(activation(operation.activation)) : y;
}

function convolved(operation: Operation, [x, kernel, bias]: Arrays): Float32Array {
  const { from, to } = maps(operation);
  const [rows, columns] = [0, 1].map((axis) => axisOf(operation, axis, from[axis], to[axis], operation.padding!));
  const y =
    operation.kind === "ConvolveDepthwise"
      ? convolveDepthwise(x, rows, columns, from[2], kernel, 1)
      : convolve(x, rows, columns, from[2], kernel, to[2], operation.groups ?? 1);
  return finished(operation, y, bias);
}

function transposed(operation: Operation, [x, kernel, bias]: Arrays): Float32Array {
  const { from, to } = maps(operation);
  // The axes are the convolution's: it reads what is the result here.
  const [rows, columns] = [0, 1].map((axis) => axisOf(operation, axis, to[axis], from[axis], operation.padding!));
  return finished(operation, convolveTransposed(x, rows, columns, from[2], kernel, to[2]), bias);
}

/** Windows of pooling stay inside the map as it is given; padding that does not count is skipped as if it were outside. */
function pooled(operation: Operation, [x]: Arrays): Float32Array {
  const { from, to } = maps(operation);
  const isMaximum = operation.reduction === "max";
  const [top, bottom, left, right] = isMaximum ? [0, 0, 0, 0] : operation.counted_padding!;
  const inner = [from[0] - top - bottom, from[1] - left - right];
  const values = inner[0] === from[0] && inner[1] === from[1] ? x : cropped(x, from, [top, left], inner);
  const padding = [top, bottom, left, right];
  const [rows, columns] = [0, 1].map((axis) => axisOf(operation, axis, inner[axis], to[axis], padding));
  return finished(operation, pool(values, rows, columns, from[2], isMaximum), undefined);
}

function cropped(x: Float32Array, shape: number[], start: number[], inner: number[]): Float32Array {
  const y = new Float32Array(inner[0] * inner[1] * shape[2]);
  const row = inner[1] * shape[2];
  for (let r = 0; r < inner[0]; r++) {
    const at = ((r + start[0]) * shape[1] + start[1]) * shape[2];
    y.set(x.subarray(at, at + row), r * row);
  }
  return y;
}

function resampled(operation: Operation, [x]: Arrays): Float32Array {
  const { from, to } = maps(operation);
  const channels = from[2];
  const y = new Float32Array(size(to));
  for (let r = 0; r < to[0]; r++) {
    for (let c = 0; c < to[1]; c++) {
      for (let n = 0; n < channels; n++) {
        let sum = 0;
        for (const [i, down] of operation.rows![r])
          for (const [j, across] of operation.columns![c]) sum += down * across * x[(i * from[1] + j) * channels + n];
        y[(r * to[1] + c) * channels + n] = sum;
      }
    }
  }
  return y;
}

export const WINDOWED: Record<string, (operation: Operation, operands: Arrays) => Float32Array> = {
  Convolve: convolved,
  ConvolveDepthwise: convolved,
  ConvolveTransposed: transposed,
  Contract: (operation, [x, kernel, bias]) => {
    const [inputs, units] = operation.operands[1].shape;
    return finished(operation, product(x, kernel, inputs, units), bias);
  },
  PoolWindows: pooled,
  ReduceMap: (operation, [x]) => reduceMap(x, operation.operands[0].shape.at(-1)!, operation.reduction === "max"),
  Resample: resampled,
};

/** How many numbers go into one of the result. */
export function countOf(operation: Operation, position: number[]): number {
  const { from } = maps(operation);
  const kernel = operation.operands[1]?.shape ?? [];
  switch (operation.kind) {
    case "ConvolveDepthwise":
      return size(operation.kernel_size!);
    case "ConvolveTransposed":
      return (
        operation.kernel_size!.reduce((count, cells, axis) => count * Math.ceil(cells / operation.strides![axis]), 1) *
        kernel[kernel.length - 1]
      );
    case "ReduceMap":
      return from[0] * from[1];
    case "PoolWindows": {
      const sides = operation.counted_padding!;
      return asMap(position, 0)
        .slice(0, 2)
        .reduce((count, place, axis) => {
          const start = place * operation.strides![axis];
          const end = Math.min(start + operation.kernel_size![axis], from[axis] - sides[2 * axis + 1]);
          return count * (end - Math.max(start, sides[2 * axis]));
        }, 1);
    }
    case "Resample":
      return operation.rows![asMap(position, 0)[0]].length * operation.columns![asMap(position, 0)[1]].length;
    default:
      return size(kernel.slice(0, -1));
  }
}
