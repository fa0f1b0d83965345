/** Runs the operations that a layer lowers to, for layers that the page has no rule for: as `depthwise.explain.operations`. */

import { activation, erf, reluLayer, softmaxSteps } from "./activations";
import { weight, type Expression, type Layer, type Operation, type OperationValue } from "./data";
import { short } from "./formula";
import { asMap, countOf, WINDOWED } from "./windowed";
import { size } from "./windows";

interface StepOperand {
  /** Which of the operation's operands it is. */
  index: number;
  name: string;
  position: number[];
  value: number;
}

/** One operation's part in one output number. */
export interface Step {
  kind: string;
  result: string;
  position: number[];
  value: number;
  /** The expression with the operands' names, and with their values. */
  text: string;
  filled: string;
  operands: StepOperand[];
  /** Mean, deviation and the like, for operations that read a whole row. */
  row: Record<string, number>;
}

type Arrays = Map<string, Float32Array>;

const strides = (shape: number[]) => shape.map((_, axis) => size(shape.slice(axis + 1)));

const FUNCTIONS: Record<string, (...values: number[]) => number> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  negate: (a) => -a,
  fma: (a, b, c) => a * b + c,
  max: Math.max,
  min: Math.min,
  maximum: Math.max,
  minimum: Math.min,
  abs: Math.abs,
  sqrt: Math.sqrt,
  exp: Math.exp,
  log: Math.log,
  where_ogt: (a, b, x, y) => (a > b ? x : y),
  where_ugt: (a, b, x, y) => (a <= b ? y : x),
  where_oge: (a, b, x, y) => (a >= b ? x : y),
  where_uge: (a, b, x, y) => (a < b ? y : x),
  where_olt: (a, b, x, y) => (a < b ? x : y),
  where_ole: (a, b, x, y) => (a <= b ? x : y),
  where_negative: (a, x, y) => (a < 0 || Object.is(a, -0) ? x : y),
  expm1_negative: (x, factor) => factor * Math.expm1(Math.min(x, 0)),
  gelu_slope: (x) => 0.5 * (1 + erf(x / Math.SQRT2)) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  relu_layer: (x, max_value, negative_slope, threshold) => reluLayer({ max_value, negative_slope, threshold })(x),
};

/** The expression as a function of the operands' values. */
function compile(expression: Expression): (values: number[]) => number {
  if (typeof expression !== "object") {
    const value = Number(expression);
    return () => value;
  }
  if ("operand" in expression) {
    const index = expression.operand;
    return (values) => values[index];
  }
  const f = FUNCTIONS[expression.function] ?? activation(expression.function);
  const parts = expression.arguments.map(compile);
  return (values) => f(...parts.map((part) => part(values)));
}

/** Where in an operand, broadcast to `shape`, each number of the result is read; null where that is the same place. */
export function broadcast(shape: number[], operand: number[]): Int32Array | null {
  const count = size(shape);
  if (size(operand) === count) return null;
  const own = strides(operand);
  const skipped = shape.length - operand.length;
  const steps = strides(shape);
  return Int32Array.from({ length: count }, (_, index) => {
    let at = 0;
    for (let axis = skipped; axis < shape.length; axis++) {
      const place = Math.floor(index / steps[axis]) % shape[axis];
      if (operand[axis - skipped] > 1) at += place * own[axis - skipped];
    }
    return at;
  });
}

function elementwise(operation: Operation, operands: Float32Array[]): Float32Array {
  const f = compile(operation.expression!);
  const shape = operation.result.shape;
  const places = operation.operands.map((operand) => broadcast(shape, operand.shape));
  const values: number[] = new Array(operands.length);
  return Float32Array.from({ length: size(shape) }, (_, index) => {
    for (let n = 0; n < operands.length; n++) values[n] = operands[n][places[n] ? places[n]![index] : index];
    return f(values);
  });
}

function rowSteps(row: Float32Array, epsilon: number): { mean: number; variance: number; deviation: number } {
  const mean = row.reduce((a, b) => a + b, 0) / row.length;
  const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
  return { mean, variance, deviation: Math.sqrt(variance + epsilon) };
}

function byRows(operation: Operation, x: Float32Array, rule: (row: Float32Array) => ArrayLike<number>): Float32Array {
  const length = operation.result.shape[operation.result.shape.length - 1];
  const y = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += length) y.set(rule(x.subarray(start, start + length)), start);
  return y;
}

const RULES: Record<string, (operation: Operation, operands: Float32Array[]) => Float32Array> = {
  Elementwise: elementwise,
  NormaliseRows: (operation, [x]) =>
    byRows(operation, x, (row) => {
      const { mean, deviation } = rowSteps(row, operation.epsilon!);
      return row.map((value) => (value - mean) / deviation);
    }),
  Softmax: (operation, [x]) =>
    byRows(operation, x, (row) => {
      const { before, largest, exponentials, total } = softmaxSteps(row);
      if (operation.logarithm) return before.map((value) => value - largest - Math.log(total));
      return exponentials.map((value) => value / total);
    }),
  ...WINDOWED,
  Sum: (operation, [x]) => {
    const places = broadcast(operation.operands[0].shape, operation.result.shape);
    if (!places) return x.slice();
    const y = new Float64Array(size(operation.result.shape));
    for (let i = 0; i < x.length; i++) y[places[i]] += x[i];
    return Float32Array.from(y);
  },
};

/** The place in a shape of a number by its index, and back. */
const placeOf = (index: number, shape: number[]) =>
  strides(shape).map((step, axis) => Math.floor(index / step) % shape[axis]);
const indexOf = (place: number[], shape: number[]) =>
  place.reduce((sum, index, axis) => sum * shape[axis] + index, 0);

/** Where operations read that only move numbers: which operand and where in it; null where they put in a number of their own. */
const MOVES: Record<string, (operation: Operation, position: number[]) => [number, number[]] | null> = {
  Reshape: (operation, position) => [
    0,
    placeOf(indexOf(position, operation.result.shape), operation.operands[0].shape),
  ],
  Transpose: (operation, position) => {
    const place: number[] = new Array(position.length);
    operation.axes!.forEach((axis, index) => (place[axis] = position[index]));
    return [0, place];
  },
  Repeat: (operation, position) => {
    const channel = Math.floor(position[position.length - 1] / operation.times!);
    return [0, [...position.slice(0, -1), channel]];
  },
  Slice: (operation, position) => {
    const rank = operation.operands[0].shape.length;
    const place = asMap(position, 0).map((index, axis) => index + operation.start![axis]);
    return [0, place.slice(3 - rank)];
  },
  Pad: (operation, position) => {
    const shape = operation.operands[0].shape;
    const before = [operation.padding![0], operation.padding![2], operation.channels![0]].slice(3 - shape.length);
    const place = position.map((index, axis) => index - before[axis]);
    return place.every((index, axis) => index >= 0 && index < shape[axis]) ? [0, place] : null;
  },
  Concatenate: (operation, position) => {
    let channel = position[position.length - 1];
    for (let index = 0; index < operation.operands.length; index++) {
      const channels = operation.operands[index].shape.at(-1)!;
      if (channel < channels) return [index, [...position.slice(0, -1), channel]];
      channel -= channels;
    }
    return null;
  },
};

/** All numbers of an operation that only moves them. */
function moveAll(operation: Operation, operands: Float32Array[]): Float32Array {
  if (operation.kind === "Reshape") return operands[0].slice();
  const shape = operation.result.shape;
  return Float32Array.from({ length: size(shape) }, (_, index) => {
    const found = MOVES[operation.kind](operation, placeOf(index, shape));
    if (!found) return Number(operation.value);
    return operands[found[0]][indexOf(found[1], operation.operands[found[0]].shape)];
  });
}

/** Whether a step reads many numbers of its operands for one of its result. */
const readsMany = (kind: string) => kind === "Sum" || kind in WINDOWED;

/** Whether a step only moves a number. */
export const isMove = (step: Step) => step.kind in MOVES;

/** What the operations of a layer computed, by the layer's output: `steps` reads what lies between. */
const intermediates = new WeakMap<Float32Array, Arrays>();

/** The layer's output, by its operations. */
export function runOperations(layer: Layer, inputs: Float32Array[]): Float32Array {
  const values: Arrays = new Map(layer.inputs.map((name, index) => [name, inputs[index]]));
  let output = inputs[0];
  for (const operation of layer.operations!) {
    const operands = operation.operands.map((operand) => read(layer, operand, values));
    output = operation.kind in MOVES ? moveAll(operation, operands) : RULES[operation.kind](operation, operands);
    values.set(operation.result.name, output);
  }
  if (layer.operations!.length) intermediates.set(output, values);
  return output;
}

function read(layer: Layer, value: OperationValue, values: Arrays): Float32Array {
  return value.role === "parameter" ? weight(layer.name, value.label)! : values.get(value.name)!;
}

/** The steps to one number of a layer's output, in the order in which they are computed. */
export function steps(layer: Layer, position: number[], output: Float32Array): Step[] {
  const values = intermediates.get(output);
  const found: Step[] = [];
  const operations = layer.operations!;
  if (!values || !operations.length) return found; // without operations the output is the input, which has steps of its own
  const wanted = new Map([[operations[operations.length - 1].result.name, position]]);
  for (const operation of [...operations].reverse()) {
    const place = wanted.get(operation.result.name);
    if (!place) continue;
    const step = stepAt(layer, operation, place, values);
    found.unshift(step);
    if (readsMany(step.kind)) continue;
    for (const { index, position: at } of step.operands) {
      const { name } = operation.operands[index];
      if (!wanted.has(name)) wanted.set(name, at);
    }
  }
  return found;
}

function stepAt(layer: Layer, operation: Operation, position: number[], values: Arrays): Step {
  const move = MOVES[operation.kind]?.(operation, position);
  const places: [number, number[]][] =
    operation.kind in MOVES
      ? move
        ? [move]
        : []
      : operation.operands.map(({ shape }, index) => [
          index,
          readsMany(operation.kind) ? shape.map(() => 0) : placeIn(shape, position),
        ]);
  const operands = places.map(([index, place]) => {
    const operand = operation.operands[index];
    const at = place.reduce((sum, i, axis) => sum * operand.shape[axis] + i, 0);
    return { index, name: operand.label, position: place, value: read(layer, operand, values)[at] };
  });
  const step: Step = {
    kind: operation.logarithm ? "LogSoftmax" : operation.kind,
    result: operation.result.label,
    position,
    value: operands.length ? operands[0].value : Number(operation.value),
    text: "",
    filled: "",
    operands,
    row: {},
  };
  if (operation.kind === "Elementwise") {
    const expression = operation.expression!;
    step.text = written(expression, (index) => operands[index].name);
    step.filled = written(expression, (index) => short(operands[index].value));
    step.value = compile(expression)(operands.map((operand) => operand.value));
  } else if (operation.kind === "Sum") {
    const whole = size(operation.operands[0].shape);
    step.row = { count: whole / size(operation.result.shape) };
    step.value = values.get(operation.result.name)![indexOf(position, operation.result.shape)];
  } else if (operation.kind in WINDOWED) {
    const bias = operation.operands[2] && read(layer, operation.operands[2], values)[position[position.length - 1]];
    step.value = values.get(operation.result.name)![indexOf(position, operation.result.shape)];
    step.row = { count: countOf(operation, position), bias: bias ?? NaN, channel: position[position.length - 1] };
    step.filled = operation.reduction ?? "";
  } else if (!(operation.kind in MOVES)) {
    const shape = operation.result.shape;
    const length = shape[shape.length - 1];
    const channel = position[position.length - 1];
    const at = position.reduce((sum, index, axis) => sum * shape[axis] + index, 0) - channel;
    const row = read(layer, operation.operands[0], values).subarray(at, at + length);
    if (operation.kind === "NormaliseRows") {
      step.row = { count: length, epsilon: operation.epsilon!, ...rowSteps(row, operation.epsilon!) };
      step.value = (row[channel] - step.row.mean) / step.row.deviation;
    } else {
      const { largest, exponentials, total } = softmaxSteps(row);
      step.row = { largest, exponential: exponentials[channel], total };
      step.value = operation.logarithm ? row[channel] - largest - Math.log(total) : exponentials[channel] / total;
    }
  }
  return step;
}

/** Which place of an operand of this shape, broadcast, the result's `position` reads. */
export function placeIn(shape: number[], position: number[]): number[] {
  const own = position.slice(position.length - shape.length);
  return own.map((place, axis) => (shape[axis] === 1 ? 0 : place));
}

// -- as text, as `depthwise.explain.expressions.written` ------------------------------------------------------------------

const SIGNS: Record<string, [string, number]> = {
  add: [" + ", 1],
  subtract: [" − ", 1],
  multiply: ["·", 2],
  divide: ["/", 2],
};
const COMPARISONS: Record<string, string> = { ogt: ">", ugt: ">", oge: "≥", uge: "≥", olt: "<", ole: "≤" };

export function written(expression: Expression, operand: (index: number) => string): string {
  return parts(expression, operand)[0];
}

/** Seven digits, small and large numbers with an exponent, as Python's format `.7g` has it. */
function general(value: number): string {
  const rounded = Number(value.toPrecision(7));
  const size = Math.abs(rounded);
  if (size === 0 || size === Infinity || (size >= 1e-4 && size < 1e7)) return String(rounded);
  return rounded.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

/** The text, and how strongly its last operation binds: 0 a sign, 1 a sum, 2 a product, 3 what needs no parentheses. */
function parts(expression: Expression, operand: (index: number) => string): [string, number] {
  if (typeof expression !== "object" || "operand" in expression) {
    const text =
      typeof expression === "object"
        ? operand(expression.operand)
        : general(Number(expression)).replace("Infinity", "∞").replace(/^-/, "−");
    return [text, text.startsWith("−") ? 0 : 3];
  }
  const name = expression.function;
  const found = expression.arguments.map((item) => parts(item, operand));
  const within = (index: number, strength: number) =>
    found[index][1] >= strength ? found[index][0] : `(${found[index][0]})`;
  if (name in SIGNS) {
    const [sign, strength] = SIGNS[name];
    const more = name === "subtract" || name === "divide" ? 1 : 0;
    return [within(0, strength) + sign + within(1, strength + more), strength];
  }
  if (name === "fma") return [`${within(0, 2)}·${within(1, 2)} + ${within(2, 1)}`, 1];
  if (name === "negate") return [`−${within(0, 3)}`, 0];
  if (name === "sqrt") return [`√(${found[0][0]})`, 3];
  if (name === "expm1_negative") return [`${within(1, 2)}·(exp(${found[0][0]}) − 1)`, 2];
  if (name.startsWith("where_")) {
    const texts = found.map(([text]) => text);
    if (name === "where_negative") texts.splice(1, 0, "0");
    const sign = COMPARISONS[name.slice("where_".length)] ?? "<";
    return [`(${texts[0]} ${sign} ${texts[1]} ? ${texts[2]} : ${texts[3]})`, 3];
  }
  return [`${name}(${found.map(([text]) => text).join(", ")})`, 3];
}
