/** Runs the network in the page: every layer's output for one picture, sums in double precision, results in float32. */

import { activation, reluLayer, softmaxSteps } from "./activations";
import { data, layers, weight, type Layer } from "./data";
import { broadcast, runOperations } from "./operations";
import { convolve, convolveDepthwise, pool, product, reduceMap } from "./windows";

export type Values = Map<string, Float32Array>;

/** The values of the first `count` layers, from the pictures of the inputs, in their order. */
export function run(pictures: Float32Array[], count: number): Values {
  const values: Values = new Map();
  for (const layer of layers.slice(0, count)) {
    if (layer.kind === "InputLayer") {
      values.set(layer.name, pictures[data.network.inputs.indexOf(layer.name)]);
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

function conv2d(layer: Layer, [x]: Float32Array[]): Float32Array {
  const kernel = weight(layer.name, "kernel")!;
  const groups = Number(layer.config.groups ?? 1);
  const y = convolve(x, layer.rows!, layer.columns!, layer.input_shapes[0][2], kernel, layer.output_shape[2], groups);
  return finish(layer, y, weight(layer.name, "bias"));
}

/** The depthwise stage alone: of a DepthwiseConv2D, or the first half of a SeparableConv2D. */
export function depthwiseStage(layer: Layer, x: Float32Array, kernel: Float32Array): Float32Array {
  const multiplier = Number(layer.config.depth_multiplier ?? 1);
  return convolveDepthwise(x, layer.rows!, layer.columns!, layer.input_shapes[0][2], kernel, multiplier);
}

function separableConv2d(layer: Layer, [x]: Float32Array[]): Float32Array {
  const middle = depthwiseStage(layer, x, weight(layer.name, "depthwise_kernel")!);
  const pointwise = weight(layer.name, "pointwise_kernel")!;
  const filters = layer.output_shape[2];
  const y = product(middle, pointwise, pointwise.length / filters, filters);
  return finish(layer, y, weight(layer.name, "bias"));
}

const pooling = (layer: Layer, [x]: Float32Array[], isMaximum: boolean) =>
  pool(x, layer.rows!, layer.columns!, layer.output_shape[2], isMaximum);

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
  GlobalMaxPooling2D: (layer, inputs) => reduceMap(inputs[0], layer.input_shapes[0][2], true),
  GlobalAveragePooling2D: (layer, inputs) => reduceMap(inputs[0], layer.input_shapes[0][2], false),
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
