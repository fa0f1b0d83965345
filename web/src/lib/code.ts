/** A layer as one would write it with Keras. */

import type { Layer } from "./data";

const DEFAULTS: Record<string, unknown> = {
  activation: "linear",
  padding: "valid",
  use_bias: true,
  groups: 1,
  depth_multiplier: 1,
  dilation_rate: [1, 1],
};
/** Those of one kind of layer. */
const OWN_DEFAULTS: Record<string, Record<string, unknown>> = {
  BatchNormalization: { axis: -1, momentum: 0.99, epsilon: 0.001, center: true, scale: true },
  LayerNormalization: { axis: -1, epsilon: 0.001, center: true, scale: true },
  ReLU: { negative_slope: 0, threshold: 0 },
  GlobalAveragePooling2D: { keepdims: false },
  GlobalMaxPooling2D: { keepdims: false },
  GlobalAveragePooling1D: { keepdims: false },
  GlobalMaxPooling1D: { keepdims: false },
};
const NO_DEFAULT = ["pool_size", "size"];

/** `Conv2D(filters=32, kernel_size=(3, 3), padding="same")`: what differs from Keras' defaults. */
export function kerasCode(layer: Pick<Layer, "kind" | "config">): string {
  const parts = Object.entries(layer.config)
    .filter(([name, value]) => value !== null && value !== undefined && !isDefault(layer, name, value))
    .map(([name, value]) => `${name}=${python(value)}`);
  return `${layer.kind}(${parts.join(", ")})`;
}

function isDefault(layer: Pick<Layer, "kind" | "config">, name: string, value: unknown): boolean {
  if (name === "strides") {
    const pool = layer.config.pool_size;
    return pool ? String(pool) === String(value) : [value].flat().every((step) => step === 1);
  }
  const own = OWN_DEFAULTS[layer.kind];
  if (own && name in own) return own[name] === value;
  if (NO_DEFAULT.includes(name) || !(name in DEFAULTS)) return false;
  return Array.isArray(value) ? value.every((item) => item === 1) : DEFAULTS[name] === value;
}

export function python(value: unknown): string {
  if (Array.isArray(value)) return `(${value.map(python).join(", ")}${value.length === 1 ? "," : ""})`;
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
