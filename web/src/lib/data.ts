/** The facts that `depthwise.explain.page` puts into the page. */

export interface Formula {
  value: number;
  operator?: string;
  operands?: Formula[];
  meaning?: string;
  text?: string;
}

/** A formula whose leaves may lack a value: they are filled in by what they mean. */
export interface Template {
  value?: number;
  operator?: string;
  operands?: Template[];
  meaning?: string;
}

export interface Axis {
  input: number;
  kernel: number;
  stride: number;
  dilation: number;
  pad_before: number;
  pad_after: number;
  output: number;
  span: number;
  dropped: number;
}

export interface Weight {
  name: string;
  shape: number[];
  formula: Formula;
  trainable: boolean;
}

export interface Part {
  kind: string;
  config: Record<string, unknown>;
  activation: string;
  input_shapes: number[][];
  output_shape: number[];
  output_formulas: Formula[];
  parameters: Formula;
  macs: Formula;
  rows: Axis | null;
  columns: Axis | null;
  weights: Weight[];
}

/** Element-wise arithmetic: a number (infinities as text), an operand, or a function of other expressions. */
export type Expression = number | string | { operand: number } | { function: string; arguments: Expression[] };

export interface OperationValue {
  name: string;
  label: string;
  role: "input" | "parameter" | "computed";
  shape: number[];
}

export interface Operation {
  kind: string;
  operands: OperationValue[];
  result: OperationValue;
  expression?: Expression;
  epsilon?: number;
  /** Whether a softmax gives the logarithms of its shares. */
  logarithm?: boolean;
  padding?: [number, number, number, number];
  /** Channels that are added before and after each pixel's. */
  channels?: [number, number];
  value?: number | string;
  /** How often each channel is repeated. */
  times?: number;
  /** Which axis of the operand each axis of the result is. */
  axes?: number[];
  /** The first row, column and channel that is taken. */
  start?: [number, number, number];
  /** Windows: their cells, how far apart they are, and what is added around the map (top, bottom, left, right). */
  kernel_size?: [number, number];
  strides?: [number, number];
  dilation?: [number, number];
  groups?: number;
  activation?: string;
  /** Pooling and reductions: "max" or "mean". */
  reduction?: string;
  /** Padding that a mean does not count. */
  counted_padding?: [number, number, number, number];
  /** For each row and column of a resampled map, which cells it reads, each with its weight. */
  rows?: [number, number][][];
  columns?: [number, number][][];
}

export interface Layer extends Part {
  /** What the layer lowers to, where the page has no rule of its own for it. */
  operations?: Operation[];
  name: string;
  inputs: string[];
  is_output: boolean;
  weight_bytes: Formula;
  output_bytes: Formula;
  flop: Formula;
  moved_bytes: Formula;
  arithmetic_intensity: number;
  receptive_field: { rows: Formula; columns: Formula; step: [number, number] };
  separable: {
    depthwise: Part;
    pointwise: Part;
    ordinary: Part;
    largest_smaller_depth_multiplier: number;
  } | null;
  remarks: { key: string; facts: Record<string, number | string> }[];
}

export interface Totals {
  parameters: number;
  trainable_parameters: number;
  dense_parameters: number;
  other_parameters: number;
  macs: number;
  weight_bytes: number;
  map_bytes: number;
}

export interface Question {
  layer: string;
  asks: string;
  answer: number;
  formula: Formula;
  mistakes: { value: number; key: string }[];
}

export interface Comparison {
  name: string;
  totals: Totals;
  layers: { name: string; kind: string; output_shape: number[]; parameters: Formula; macs: Formula }[];
  /** Which layers of the network and of the twin stand for each other. */
  pairs: [number[], number[]][];
  times: {
    processor: string;
    cores: number;
    rounds: number;
    /** The load of the machine where others were at work on it. */
    busy: string | null;
    batches: { batch: number; network: number; twin: number }[];
  } | null;
}

/** One of the network's inputs, and pictures to choose from. */
export interface InputFacts {
  name: string;
  shape: number[];
  range: number;
  samples: { label: string; pixels: string }[];
}

type Texts = Record<string, string>;
/** The cell of the page that shows at work what a text speaks of. */
export type Alive = { layer: string; position: number[] } | null;

export interface Note {
  examples: {
    title: Texts;
    alive: Alive;
    layers: { kind: string; shapes: string; parts: { label: Texts; text: string }[]; value: number; printed: number }[];
  }[];
  answers: { quote: Texts; answer: Texts; alive: Alive }[];
}

export interface PageData {
  network: { name: string; inputs: string[]; outputs: string[]; totals: Totals; layers: Layer[] };
  variations: {
    kernel_sizes: number[];
    strides: number[];
    dilations: number[];
    templates: {
      axis: Record<string, [Template, Template]>;
      layer: Record<string, Record<string, Template>>;
      derived: Record<string, Template>;
    };
    axes: Record<string, Record<string, [number, number, number, number] | null>>;
  };
  questions: Question[];
  compare: Comparison | null;
  inputs: InputFacts[];
  /** The note's examples and slips, on its own page. */
  note: Note | null;
  /** Maps of layers that the page does not run, for the first sample; see `lib/computed.ts`. */
  computed: Record<string, { shape: number[]; channels: number[]; factor: number; numbers: string }>;
  class_names: string[];
  is_trained: boolean;
  kept_layers: number;
  weights: Record<string, { offset: number; shape: number[] }>;
  languages: Record<string, string>;
  /** What the page opens in; null where the reader's browser decides. */
  language: string | null;
  messages: Record<string, Record<string, string>>;
  place: { layer: string; position: number[] | null } | null;
}

export function decodeBytes(text: string): Uint8Array {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

function element(id: string): string {
  return document.getElementById(id)?.textContent ?? "";
}

export const data: PageData = JSON.parse(element("depthwise-data"));

/** The input whose picture is shown and can be changed: the only one, or the one chosen of several. */
export let input: InputFacts = data.inputs[0];

export function chooseInput(index: number): void {
  input = data.inputs[index];
}

const blob = decodeBytes(element("depthwise-weights"));
const numbers = new Float32Array(blob.buffer, 0, blob.length / 4);

export const layers: Layer[] = data.network.layers;
export const layerByName = new Map(layers.map((layer) => [layer.name, layer]));

/** A weight of a layer, or null where the page does not embed it. */
export function weight(layer: string, name: string): Float32Array | null {
  const place = data.weights[`${layer}/${name}`];
  if (!place) return null;
  const size = place.shape.reduce((a, b) => a * b, 1);
  return numbers.subarray(place.offset, place.offset + size);
}

/** Whether the page can run this layer. */
export function isKept(name: string): boolean {
  const index = layers.findIndex((layer) => layer.name === name);
  return index >= 0 && index < data.kept_layers;
}
