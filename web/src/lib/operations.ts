/** Runs the operations that a layer lowers to, for layers that the page has no rule for: as `depthwise.explain.operations`. */

import { activation, erf, reluLayer, softmaxSteps } from "./activations";
import { weight, type Expression, type Layer, type Operation, type OperationValue } from "./data";
import { short } from "./formula";

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

const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
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
  sqrt: Math.sqrt,
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
function broadcast(shape: number[], operand: number[]): Int32Array | null {
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
      const { exponentials, total } = softmaxSteps(row);
      return exponentials.map((value) => value / total);
    }),
  Reshape: (_, [x]) => x.slice(),
  Pad: (operation, [x]) => {
    const [top, , left] = operation.padding!;
    const [, width, channels] = operation.result.shape;
    const [height, columns] = operation.operands[0].shape;
    const y = new Float32Array(size(operation.result.shape)).fill(Number(operation.value));
    for (let row = 0; row < height; row++) {
      const line = x.subarray(row * columns * channels, (row + 1) * columns * channels);
      y.set(line, ((row + top) * width + left) * channels);
    }
    return y;
  },
  Concatenate: (operation, operands) => {
    const outputs = operation.result.shape[operation.result.shape.length - 1];
    const y = new Float32Array(size(operation.result.shape));
    let start = 0;
    operands.forEach((x, index) => {
      const channels = operation.operands[index].shape.at(-1)!;
      for (let i = 0; i < x.length; i++) y[((i / channels) | 0) * outputs + start + (i % channels)] = x[i];
      start += channels;
    });
    return y;
  },
};

/** Where operations read that only move numbers: which operand and where in it; null where they put in a number of their own. */
const MOVES: Record<string, (operation: Operation, position: number[]) => [number, number[]] | null> = {
  Reshape: (operation, position) => {
    const at = position.reduce((sum, index, axis) => sum * operation.result.shape[axis] + index, 0);
    const shape = operation.operands[0].shape;
    const steps = strides(shape);
    return [0, shape.map((length, axis) => Math.floor(at / steps[axis]) % length)];
  },
  Pad: (operation, position) => {
    const [top, , left] = operation.padding!;
    const [height, width] = operation.operands[0].shape;
    const [row, column] = [position[0] - top, position[1] - left];
    return row >= 0 && row < height && column >= 0 && column < width ? [0, [row, column, position[2]]] : null;
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
    output = RULES[operation.kind](operation, operands);
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
      : operation.operands.map((operand, index) => [index, placeIn(operand.shape, position)]);
  const operands = places.map(([index, place]) => {
    const operand = operation.operands[index];
    const at = place.reduce((sum, i, axis) => sum * operand.shape[axis] + i, 0);
    return { index, name: operand.label, position: place, value: read(layer, operand, values)[at] };
  });
  const step: Step = {
    kind: operation.kind,
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
      step.value = exponentials[channel] / total;
    }
  }
  return step;
}

/** Which place of an operand of this shape, broadcast, the result's `position` reads. */
function placeIn(shape: number[], position: number[]): number[] {
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

/** The text, and how strongly its last operation binds: 0 a sign, 1 a sum, 2 a product, 3 what needs no parentheses. */
function parts(expression: Expression, operand: (index: number) => string): [string, number] {
  if (typeof expression !== "object" || "operand" in expression) {
    const text =
      typeof expression === "object"
        ? operand(expression.operand)
        : String(Number(Number(expression).toPrecision(7))).replace("Infinity", "∞").replace("-", "−");
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
