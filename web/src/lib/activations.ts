/** Keras' activations, in double precision. */

const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;
const LEAKY_SLOPE = 0.2;

/** erf by its series near 0 and the continued fraction of erfc elsewhere; good to about 1e-15. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 80 && Math.abs(term) > 1e-18 * sum; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const hardSigmoid = (x: number) => Math.min(Math.max(x + 3, 0), 6) / 6;

const FUNCTIONS: Record<string, (x: number) => number> = {
  linear: (x) => x,
  relu: (x) => (x > 0 ? x : 0),
  relu6: (x) => Math.min(Math.max(x, 0), 6),
  leaky_relu: (x) => (x > 0 ? x : LEAKY_SLOPE * x),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  selu: (x) => SELU_SCALE * (x > 0 ? x : SELU_ALPHA * Math.expm1(x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  silu: (x) => x * sigmoid(x),
  sigmoid,
  hard_sigmoid: hardSigmoid,
  hard_silu: (x) => x * hardSigmoid(x),
  tanh: Math.tanh,
  softplus,
  celu: (x) => (x > 0 ? x : Math.expm1(x)),
  exponential: Math.exp,
  hard_shrink: (x) => (Math.abs(x) <= 0.5 ? 0 : x),
  hard_tanh: (x) => Math.min(Math.max(x, -1), 1),
  log_sigmoid: (x) => -softplus(-x),
  mish: (x) => x * Math.tanh(softplus(x)),
  soft_shrink: (x) => x - Math.min(Math.max(x, -0.5), 0.5),
  softsign: (x) => x / (1 + Math.abs(x)),
  sparse_plus: (x) => (x >= 1 ? x : (Math.max(x, -1) + 1) ** 2 / 4),
  sparse_sigmoid: (x) => Math.min(Math.max((x + 1) / 2, 0), 1),
  squareplus: (x) => (x < 0 ? 2 / (Math.hypot(x, 2) - x) : (x + Math.hypot(x, 2)) / 2),
  tanh_shrink: (x) => (Math.abs(x) < 1e-2 ? (x ** 3 / 3) * (1 - 0.4 * x * x) : x - Math.tanh(x)),
};

/** The function by its Keras name; softmax, which mixes values, is not among them. */
export function activation(name: string): (x: number) => number {
  const found = FUNCTIONS[name];
  if (!found) throw new Error(`no activation is named ${name}`);
  return found;
}

/** The ReLU layer: its own slope, ceiling and threshold. */
export function reluLayer(config: Record<string, unknown>): (x: number) => number {
  const slope = Number(config.negative_slope ?? 0);
  const threshold = Number(config.threshold ?? 0);
  const most = config.max_value == null ? Infinity : Number(config.max_value);
  return (x) => (x > threshold ? Math.min(x, most) : slope * (x - threshold));
}

/** "relu" and "relu6" as Keras calls them; any other with the numbers that make it different. */
export function reluName(config: Record<string, unknown>): string {
  const [slope, threshold] = [Number(config.negative_slope ?? 0), Number(config.threshold ?? 0)];
  const parts = [slope && `negative_slope=${slope}`, config.max_value != null && `max_value=${config.max_value}`, threshold && `threshold=${threshold}`];
  const own = parts.filter(Boolean).join(", ");
  return own === "max_value=6" ? "relu6" : own ? `relu(${own})` : "relu";
}

export interface SoftmaxSteps {
  before: number[];
  largest: number;
  exponentials: number[];
  total: number;
}

export function softmaxSteps(before: ArrayLike<number>): SoftmaxSteps {
  const values = Array.from(before);
  const largest = Math.max(...values);
  const exponentials = values.map((value) => Math.exp(value - largest));
  return { before: values, largest, exponentials, total: exponentials.reduce((a, b) => a + b, 0) };
}
