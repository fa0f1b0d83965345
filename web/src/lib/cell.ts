/** How one output number comes about, in the same steps as `depthwise.explain.cells`. */

import { activation, reluLayer, reluName, softmaxSteps, type SoftmaxSteps } from "./activations";
import { weight, type Axis, type Layer } from "./data";
import { depthwiseStage, type Values } from "./network";
import { isMove, placeIn, steps, type Step } from "./operations";

export interface Window {
  rows: number[];
  columns: number[];
  inside: boolean[][];
}

export interface Channel {
  input: number;
  /** The channel of the intermediate map, for a separable layer. */
  middle: number;
  window: number[][];
  kernel: number[][];
  products: number[][];
  sum: number;
}

export interface Term {
  index: number;
  value: number;
  weight: number;
  product: number;
}

export interface Cell {
  operation: string;
  position: number[];
  window: Window | null;
  channels: Channel[];
  terms: Term[];
  equivalent: Channel[];
  sum: number | null;
  bias: number | null;
  before: number | null;
  activation: string;
  softmax: SoftmaxSteps | null;
  values: number[][];
  winner: [number, number] | null;
  counted: number;
  from: { layer: string; position: number[] } | null;
  normalisation: Record<string, number> | null;
  /** The layer's operations, where it has no display of its own. */
  steps: Step[];
  output: number;
}

/** The offset of a position in a row-major array. */
export function offset(position: number[], shape: number[]): number {
  return position.reduce((at, place, axis) => at * shape[axis] + place, 0);
}

/** Where on the input the window of an output cell reads. */
export function places(axis: Axis, output: number): number[] {
  return Array.from({ length: axis.kernel }, (_, i) => output * axis.stride - axis.pad_before + i * axis.dilation);
}

export function windowAt(layer: Layer, position: number[]): Window | null {
  if (!layer.rows || !layer.columns) return null;
  const rows = places(layer.rows, position[0]);
  const columns = places(layer.columns, position[1]);
  const inside = rows.map((row) =>
    columns.map((column) => row >= 0 && row < layer.rows!.input && column >= 0 && column < layer.columns!.input),
  );
  return { rows, columns, inside };
}

function read(x: Float32Array, shape: number[], window: Window, channel: number): number[][] {
  return window.rows.map((row, i) =>
    window.columns.map((column, j) => (window.inside[i][j] ? x[(row * shape[1] + column) * shape[2] + channel] : 0)),
  );
}

function multiply(window: number[][], kernel: number[][], input: number, middle: number): Channel {
  let sum = 0;
  const products = window.map((row, i) =>
    row.map((value, j) => {
      const product = value * kernel[i][j];
      sum += product;
      return product;
    }),
  );
  return { input, middle, window, kernel, products, sum };
}

/** One slice of a kernel array (height, width, a, b): the numbers [·, ·, first, second]. */
function slice(kernel: Float32Array, shape: number[], first: number, second: number): number[][] {
  return Array.from({ length: shape[0] }, (_, i) =>
    Array.from({ length: shape[1] }, (_, j) => kernel[((i * shape[1] + j) * shape[2] + first) * shape[3] + second]),
  );
}

function empty(operation: string, position: number[], output: number): Cell {
  return {
    operation,
    position,
    window: null,
    channels: [],
    terms: [],
    equivalent: [],
    sum: null,
    bias: null,
    before: null,
    activation: "linear",
    softmax: null,
    values: [],
    winner: null,
    counted: 0,
    from: null,
    normalisation: null,
    steps: [],
    output,
  };
}

/** The steps to the layer's output at `position`, or null where the page does not hold what they read. */
export function explain(layer: Layer, position: number[], values: Values): Cell | null {
  const inputs = layer.inputs.map((name) => values.get(name));
  const computed = values.get(layer.name);
  if (!computed || inputs.some((value) => !value)) return null;
  const output = computed[offset(position, layer.output_shape)];
  if (layer.operations) return byOperations(layer, position, computed, output);
  const rule = RULES[layer.kind] ?? RULES.InputLayer;
  return rule(layer, position, inputs as Float32Array[], output);
}

/** The steps of any layer: the operations that it lowers to. */
function byOperations(layer: Layer, position: number[], computed: Float32Array, output: number): Cell {
  const found = steps(layer, position, computed);
  if (found.length > 1 || (found.length && !isMove(found[0]))) {
    return { ...empty("operations", position, found[found.length - 1].value), steps: found };
  }
  const cell = empty("copy", position, found[0]?.value ?? output);
  if (!found.length) cell.from = { layer: layer.inputs[0], position };
  const [read] = found[0]?.operands ?? [];
  if (read) cell.from = { layer: layer.inputs[read.index], position: read.position };
  return cell;
}

function weighted(layer: Layer, cell: Cell, sums: (unit: number) => number): Cell {
  const unit = cell.position[cell.position.length - 1];
  const bias = weight(layer.name, "bias");
  cell.sum = sums(unit);
  cell.bias = bias ? bias[unit] : null;
  cell.before = cell.sum + (cell.bias ?? 0);
  cell.activation = layer.activation;
  if (layer.activation === "softmax") {
    const units = layer.output_shape[layer.output_shape.length - 1];
    cell.softmax = softmaxSteps(Array.from({ length: units }, (_, n) => sums(n) + (bias ? bias[n] : 0)));
    cell.output = cell.softmax.exponentials[unit] / cell.softmax.total;
  } else {
    cell.output = activation(layer.activation)(cell.before);
  }
  return cell;
}

const total = (channels: Channel[]) => channels.reduce((sum, channel) => sum + channel.sum, 0);

type Rule = (layer: Layer, position: number[], inputs: Float32Array[], computed: number) => Cell;

const conv2d: Rule = (layer, position, [x], computed) => {
  const cell = empty("convolution", position, computed);
  const kernel = weight(layer.name, "kernel")!;
  const shape = layer.weights[0].shape;
  const perGroup = layer.output_shape[2] / Number(layer.config.groups ?? 1);
  const window = (cell.window = windowAt(layer, position)!);
  const channelsOf = (unit: number) =>
    Array.from({ length: shape[2] }, (_, c) => {
      const input = Math.floor(unit / perGroup) * shape[2] + c;
      return multiply(read(x, layer.input_shapes[0], window, input), slice(kernel, shape, c, unit), input, input);
    });
  cell.channels = channelsOf(position[2]);
  return weighted(layer, cell, (unit) => total(unit === position[2] ? cell.channels : channelsOf(unit)));
};

const depthwiseConv2d: Rule = (layer, position, [x], computed) => {
  const cell = empty("convolution", position, computed);
  const kernel = weight(layer.name, "kernel")!;
  const shape = layer.weights[0].shape;
  const window = (cell.window = windowAt(layer, position)!);
  const channelOf = (unit: number) => {
    const input = Math.floor(unit / shape[3]);
    const values = read(x, layer.input_shapes[0], window, input);
    return multiply(values, slice(kernel, shape, input, unit % shape[3]), input, unit);
  };
  cell.channels = [channelOf(position[2])];
  return weighted(layer, cell, (unit) => channelOf(unit).sum);
};

const separableConv2d: Rule = (layer, position, [x], computed) => {
  const cell = empty("separable", position, computed);
  const kernel = weight(layer.name, "depthwise_kernel")!;
  const pointwise = weight(layer.name, "pointwise_kernel")!;
  const shape = layer.weights[0].shape;
  const [channels, multiplier] = [shape[2], shape[3]];
  const filters = layer.output_shape[2];
  const window = (cell.window = windowAt(layer, position)!);
  const windows = Array.from({ length: channels }, (_, c) => read(x, layer.input_shapes[0], window, c));
  for (let c = 0; c < channels; c++) {
    for (let q = 0; q < multiplier; q++) {
      cell.channels.push(multiply(windows[c], slice(kernel, shape, c, q), c, c * multiplier + q));
    }
  }
  const unit = position[2];
  cell.terms = cell.channels.map((channel, index) => {
    const factor = pointwise[index * filters + unit];
    return { index, value: channel.sum, weight: factor, product: channel.sum * factor };
  });
  cell.equivalent = windows.map((values, c) => {
    const same = values.map((row, i) =>
      row.map((_, j) => {
        let sum = 0;
        for (let q = 0; q < multiplier; q++) {
          const m = c * multiplier + q;
          sum += cell.channels[m].kernel[i][j] * pointwise[m * filters + unit];
        }
        return sum;
      }),
    );
    return multiply(values, same, c, c);
  });
  return weighted(layer, cell, (n) =>
    cell.channels.reduce((sum, channel, m) => sum + channel.sum * pointwise[m * filters + n], 0),
  );
};

const dense: Rule = (layer, position, [x], computed) => {
  const cell = empty("dense", position, computed);
  const kernel = weight(layer.name, "kernel")!;
  const [inputs, units] = layer.weights[0].shape;
  const start = offset(position.slice(0, -1), layer.output_shape.slice(0, -1)) * inputs;
  const unit = position[position.length - 1];
  cell.terms = Array.from({ length: inputs }, (_, index) => {
    const value = x[start + index];
    const factor = kernel[index * units + unit];
    return { index, value, weight: factor, product: value * factor };
  });
  return weighted(layer, cell, (n) => {
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += x[start + i] * kernel[i * units + n];
    return sum;
  });
};

function extreme(values: number[][], inside: boolean[][] | null): [number, number] {
  let best: [number, number] = [0, 0];
  let most = -Infinity;
  values.forEach((row, i) =>
    row.forEach((value, j) => {
      if ((!inside || inside[i][j]) && value > most) {
        most = value;
        best = [i, j];
      }
    }),
  );
  return best;
}

function pooled(isMaximum: boolean): Rule {
  return (layer, position, [x], computed) => {
    const cell = empty(isMaximum ? "maximum" : "average", position, computed);
    const channel = position[position.length - 1];
    const shape = layer.input_shapes[0];
    cell.window = windowAt(layer, position);
    cell.values = cell.window
      ? read(x, shape, cell.window, channel)
      : Array.from({ length: shape[0] }, (_, i) =>
          Array.from({ length: shape[1] }, (_, j) => x[(i * shape[1] + j) * shape[2] + channel]),
        );
    const inside = cell.window?.inside ?? null;
    cell.counted = inside ? inside.flat().filter(Boolean).length : shape[0] * shape[1];
    if (isMaximum) {
      const [i, j] = (cell.winner = extreme(cell.values, inside));
      cell.output = cell.values[i][j];
    } else {
      cell.sum = cell.values.flat().reduce((a, b) => a + b, 0);
      cell.output = cell.sum / cell.counted;
    }
    return cell;
  };
}

const RULES: Record<string, Rule> = {
  Conv2D: conv2d,
  DepthwiseConv2D: depthwiseConv2d,
  SeparableConv2D: separableConv2d,
  Dense: dense,
  MaxPooling2D: pooled(true),
  GlobalMaxPooling2D: pooled(true),
  AveragePooling2D: pooled(false),
  GlobalAveragePooling2D: pooled(false),
  BatchNormalization: (layer, position, [x], computed) => {
    const cell = empty("normalisation", position, computed);
    const channel = position[position.length - 1];
    const input = x[offset(position, layer.output_shape)];
    const at = (name: string, neutral: number) => weight(layer.name, name)?.[channel] ?? neutral;
    const [mean, variance] = [at("moving_mean", 0), at("moving_variance", 1)];
    const [gamma, beta, epsilon] = [at("gamma", 1), at("beta", 0), Number(layer.config.epsilon)];
    cell.normalisation = { input, mean, variance, gamma, beta, epsilon };
    cell.output = (gamma * (input - mean)) / Math.sqrt(variance + epsilon) + beta;
    return cell;
  },
  Activation: (layer, position, [x], computed) => {
    const cell = empty("activation", position, computed);
    const at = offset(position, layer.output_shape);
    cell.before = x[at];
    cell.activation = layer.activation;
    if (layer.activation === "softmax") {
      const channels = layer.output_shape[layer.output_shape.length - 1];
      const channel = position[position.length - 1];
      cell.softmax = softmaxSteps(x.subarray(at - channel, at - channel + channels));
      cell.output = cell.softmax.exponentials[channel] / cell.softmax.total;
    } else {
      cell.output = activation(layer.activation)(cell.before);
    }
    return cell;
  },
  ReLU: (layer, position, [x], computed) => {
    const cell = empty("activation", position, computed);
    cell.before = x[offset(position, layer.output_shape)];
    cell.activation = reluName(layer.config);
    cell.output = reluLayer(layer.config)(cell.before);
    return cell;
  },
  Add: (layer, position, inputs, computed) => {
    const cell = empty("sum", position, computed);
    cell.terms = inputs.map((x, index) => {
      const shape = layer.input_shapes[index];
      const value = x[offset(placeIn(shape, position), shape)];
      return { index, value, weight: 1, product: value };
    });
    cell.sum = cell.output = cell.terms.reduce((sum, term) => sum + term.product, 0);
    return cell;
  },
  Rescaling: (layer, position, [x], computed) => {
    const cell = empty("rescaling", position, computed);
    cell.before = x[offset(position, layer.output_shape)];
    cell.output = cell.before * Number(layer.config.scale) + Number(layer.config.offset);
    return cell;
  },
  InputLayer: (_, position, __, computed) => empty("input", position, computed),
};

/** The intermediate map of a separable layer. */
export function middleMap(layer: Layer, values: Values): Float32Array | null {
  const x = values.get(layer.inputs[0]);
  const kernel = weight(layer.name, "depthwise_kernel");
  return x && kernel ? depthwiseStage(layer, x, kernel) : null;
}

/** The kernel slices that an output channel uses, as a map with one channel for each slice. */
export function kernelSlices(layer: Layer, unit: number): { values: Float32Array; shape: number[] } {
  const own = layer.weights[0];
  const kernel = own && weight(layer.name, own.name);
  if (!kernel) return { values: new Float32Array(0), shape: [1, 1, 0] };
  const [height, breadth, first, second] = own.shape;
  if (layer.kind === "SeparableConv2D") return { values: kernel, shape: [height, breadth, first * second] };
  const isDepthwise = layer.kind === "DepthwiseConv2D";
  const count = isDepthwise ? 1 : first;
  const values = new Float32Array(height * breadth * count);
  for (let p = 0; p < height * breadth; p++) {
    for (let c = 0; c < count; c++) {
      values[p * count + c] = isDepthwise ? kernel[p * first * second + unit] : kernel[(p * first + c) * second + unit];
    }
  }
  return { values, shape: [height, breadth, count] };
}
