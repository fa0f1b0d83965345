/** Runs the network in the page: every layer's output for one picture, sums in double precision, results in float32. */

import { activation, reluLayer, softmaxSteps } from "./activations";
import { layers, weight, type Axis, type Layer } from "./data";
import { broadcast, runOperations } from "./operations";

export type Values = Map<string, Float32Array>;

const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);

/** The values of all layers that the page can run, or of those up to `last`. */
export function run(input: Float32Array, count: number): Values {
  const values: Values = new Map();
  for (const layer of layers.slice(0, count)) {
    if (layer.kind === "InputLayer") {
      values.set(layer.name, input);
      continue;
    }
    const inputs = layer.inputs.map((name) => values.get(name));
    if (inputs.some((value) => !value)) continue;
    values.set(layer.name, forward(layer, inputs as Float32Array[]));
  }
  return values;
}

export function forward(layer: Layer, inputs: Float32Array[]): Float32Array {
  if (layer.operations) return runOperations(layer, inputs);
  const rule = RULES[layer.kind];
  if (!rule) throw new Error(`the page cannot run ${layer.kind}`);
  return rule(layer, inputs);
}

function finish(layer: Layer, y: Float32Array, bias: Float32Array | null): Float32Array {
  const channels = layer.output_shape[layer.output_shape.length - 1];
  if (bias) for (let i = 0; i < y.length; i++) y[i] += bias[i % channels];
  return activate(layer.activation, y, channels);
}

function activate(name: string, y: Float32Array, channels: number): Float32Array {
  if (name === "linear") return y;
  if (name === "softmax") {
    for (let start = 0; start < y.length; start += channels) {
      const steps = softmaxSteps(y.subarray(start, start + channels));
      for (let c = 0; c < channels; c++) y[start + c] = steps.exponentials[c] / steps.total;
    }
    return y;
  }
  const f = activation(name);
  for (let i = 0; i < y.length; i++) y[i] = f(y[i]);
  return y;
}

/** For every output cell, calls `visit` with the places on the map that its window reads. */
function eachWindow(
  rows: Axis,
  columns: Axis,
  visit: (output: number, cell: number, row: number, column: number) => void,
  begin: (output: number) => void,
  end: (output: number) => void,
): void {
  for (let r = 0; r < rows.output; r++) {
    for (let c = 0; c < columns.output; c++) {
      const output = r * columns.output + c;
      begin(output);
      for (let i = 0; i < rows.kernel; i++) {
        const row = r * rows.stride - rows.pad_before + i * rows.dilation;
        if (row < 0 || row >= rows.input) continue;
        for (let j = 0; j < columns.kernel; j++) {
          const column = c * columns.stride - columns.pad_before + j * columns.dilation;
          if (column >= 0 && column < columns.input) visit(output, i * columns.kernel + j, row, column);
        }
      }
      end(output);
    }
  }
}

/** sums[n] += Σ values[i]·kernel[offsets[i] + n]: four values at once, so that the sums are read and written a quarter as often. */
function accumulate(
  sums: Float64Array,
  from: number,
  to: number,
  values: Float64Array,
  offsets: Int32Array,
  count: number,
  kernel: Float32Array,
): void {
  let i = 0;
  for (; i + 3 < count; i += 4) {
    const [a, b, c, d] = [values[i], values[i + 1], values[i + 2], values[i + 3]];
    const [p, q, r, s] = [offsets[i], offsets[i + 1], offsets[i + 2], offsets[i + 3]];
    for (let n = from; n < to; n++) {
      sums[n] += a * kernel[p + n] + b * kernel[q + n] + c * kernel[r + n] + d * kernel[s + n];
    }
  }
  for (; i < count; i++) {
    const value = values[i];
    const at = offsets[i];
    for (let n = from; n < to; n++) sums[n] += value * kernel[at + n];
  }
}

function conv2d(layer: Layer, [x]: Float32Array[]): Float32Array {
  const rows = layer.rows!;
  const columns = layer.columns!;
  const kernel = weight(layer.name, "kernel")!;
  const channels = layer.input_shapes[0][2];
  const filters = layer.output_shape[2];
  const groups = Number(layer.config.groups ?? 1);
  const perGroup = channels / groups;
  const filtersPerGroup = filters / groups;
  const y = new Float32Array(size(layer.output_shape));
  const sums = new Float64Array(filters);
  const values = new Float64Array(rows.kernel * columns.kernel * perGroup);
  const offsets = new Int32Array(values.length);
  for (let g = 0; g < groups; g++) {
    const first = g * filtersPerGroup;
    let count = 0;
    eachWindow(
      rows,
      columns,
      (_, cell, row, column) => {
        const at = (row * columns.input + column) * channels + g * perGroup;
        for (let c = 0; c < perGroup; c++) {
          const value = x[at + c];
          if (value === 0) continue;
          values[count] = value;
          offsets[count++] = (cell * perGroup + c) * filters;
        }
      },
      () => {
        count = 0;
        sums.fill(0);
      },
      (output) => {
        accumulate(sums, first, first + filtersPerGroup, values, offsets, count, kernel);
        for (let n = first; n < first + filtersPerGroup; n++) y[output * filters + n] = sums[n];
      },
    );
  }
  return finish(layer, y, weight(layer.name, "bias"));
}

/** The depthwise stage alone: of a DepthwiseConv2D, or the first half of a SeparableConv2D. */
export function depthwiseStage(layer: Layer, x: Float32Array, kernel: Float32Array): Float32Array {
  const rows = layer.rows!;
  const columns = layer.columns!;
  const channels = layer.input_shapes[0][2];
  const multiplier = Number(layer.config.depth_multiplier ?? 1);
  const outputs = channels * multiplier;
  const y = new Float32Array(rows.output * columns.output * outputs);
  const sums = new Float64Array(outputs);
  eachWindow(
    rows,
    columns,
    (_, cell, row, column) => {
      const at = (row * columns.input + column) * channels;
      const k = cell * outputs;
      if (multiplier === 1) for (let m = 0; m < outputs; m++) sums[m] += x[at + m] * kernel[k + m];
      else for (let m = 0; m < outputs; m++) sums[m] += x[at + ((m / multiplier) | 0)] * kernel[k + m];
    },
    () => sums.fill(0),
    (output) => y.set(sums, output * outputs),
  );
  return y;
}

function separableConv2d(layer: Layer, [x]: Float32Array[]): Float32Array {
  const middle = depthwiseStage(layer, x, weight(layer.name, "depthwise_kernel")!);
  const pointwise = weight(layer.name, "pointwise_kernel")!;
  const filters = layer.output_shape[2];
  const y = product(middle, pointwise, pointwise.length / filters, filters);
  return finish(layer, y, weight(layer.name, "bias"));
}

/** Rows of `inputs` numbers times a matrix (inputs, outputs). */
function product(x: Float32Array, kernel: Float32Array, inputs: number, outputs: number): Float32Array {
  const count = x.length / inputs;
  const y = new Float32Array(count * outputs);
  const sums = new Float64Array(outputs);
  const values = new Float64Array(inputs);
  const offsets = new Int32Array(inputs);
  for (let p = 0; p < count; p++) {
    let used = 0;
    for (let m = 0; m < inputs; m++) {
      const value = x[p * inputs + m];
      if (value === 0) continue;
      values[used] = value;
      offsets[used++] = m * outputs;
    }
    sums.fill(0);
    accumulate(sums, 0, outputs, values, offsets, used, kernel);
    y.set(sums, p * outputs);
  }
  return y;
}

function pooling(layer: Layer, [x]: Float32Array[], isMaximum: boolean): Float32Array {
  const rows = layer.rows!;
  const columns = layer.columns!;
  const channels = layer.output_shape[2];
  const y = new Float32Array(size(layer.output_shape));
  const state = new Float64Array(channels);
  let counted = 0;
  eachWindow(
    rows,
    columns,
    (_, __, row, column) => {
      const at = (row * columns.input + column) * channels;
      counted++;
      for (let c = 0; c < channels; c++) {
        state[c] = isMaximum ? Math.max(state[c], x[at + c]) : state[c] + x[at + c];
      }
    },
    () => {
      counted = 0;
      state.fill(isMaximum ? -Infinity : 0);
    },
    (output) => {
      for (let c = 0; c < channels; c++) y[output * channels + c] = isMaximum ? state[c] : state[c] / counted;
    },
  );
  return y;
}

function globalPooling(layer: Layer, [x]: Float32Array[], isMaximum: boolean): Float32Array {
  const channels = layer.input_shapes[0][2];
  const state = new Float64Array(channels).fill(isMaximum ? -Infinity : 0);
  for (let i = 0; i < x.length; i++) {
    const c = i % channels;
    state[c] = isMaximum ? Math.max(state[c], x[i]) : state[c] + x[i];
  }
  return Float32Array.from(state, (value) => (isMaximum ? value : value / (x.length / channels)));
}

function batchNormalization(layer: Layer, [x]: Float32Array[]): Float32Array {
  const channels = layer.output_shape[layer.output_shape.length - 1];
  const mean = weight(layer.name, "moving_mean")!;
  const variance = weight(layer.name, "moving_variance")!;
  const gamma = weight(layer.name, "gamma");
  const beta = weight(layer.name, "beta");
  const epsilon = Number(layer.config.epsilon);
  return x.map((value, i) => {
    const c = i % channels;
    const normalised = (value - mean[c]) / Math.sqrt(variance[c] + epsilon);
    return normalised * (gamma ? gamma[c] : 1) + (beta ? beta[c] : 0);
  });
}

type Rule = (layer: Layer, inputs: Float32Array[]) => Float32Array;

const RULES: Record<string, Rule> = {
  Conv2D: conv2d,
  DepthwiseConv2D: (layer, [x]) =>
    finish(layer, depthwiseStage(layer, x, weight(layer.name, "kernel")!), weight(layer.name, "bias")),
  SeparableConv2D: separableConv2d,
  Dense: (layer, [x]) => {
    const kernel = weight(layer.name, "kernel")!;
    const [inputs, units] = layer.weights[0].shape;
    return finish(layer, product(x, kernel, inputs, units), weight(layer.name, "bias"));
  },
  MaxPooling2D: (layer, inputs) => pooling(layer, inputs, true),
  AveragePooling2D: (layer, inputs) => pooling(layer, inputs, false),
  GlobalMaxPooling2D: (layer, inputs) => globalPooling(layer, inputs, true),
  GlobalAveragePooling2D: (layer, inputs) => globalPooling(layer, inputs, false),
  BatchNormalization: batchNormalization,
  Activation: (layer, [x]) =>
    activate(layer.activation, x.slice(), layer.output_shape[layer.output_shape.length - 1]),
  ReLU: (layer, [x]) => x.map(reluLayer(layer.config)),
  Add: (layer, inputs) => {
    const places = layer.input_shapes.map((shape) => broadcast(layer.output_shape, shape));
    const length = layer.output_shape.reduce((a, b) => a * b, 1);
    const at = (index: number, i: number) => inputs[index][places[index] ? places[index]![i] : i];
    return Float32Array.from({ length }, (_, i) => inputs.reduce((sum, _x, index) => sum + at(index, i), 0));
  },
  Rescaling: (layer, [x]) => x.map((value) => value * Number(layer.config.scale) + Number(layer.config.offset)),
};
