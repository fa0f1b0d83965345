/** A layer as the reader changed it: templates filled in, and where its windows lie. */

import { data, type Axis, type Formula, type Layer } from "./data";
import { fill } from "./formula";

export interface Choice {
  kind: string;
  kernel: number;
  stride: number;
  dilation: number;
  padding: string;
  channels: number;
  filters: number;
  multiplier: number;
  bias: boolean;
}

export interface Variation {
  rows: Axis;
  columns: Axis;
  height: Formula;
  width: Formula;
  outputChannels: Formula;
  parameters: Formula;
  macs: Formula;
  stages: { name: string; parameters: Formula; macs: Formula }[];
}

export const VARIABLE = ["Conv2D", "DepthwiseConv2D", "SeparableConv2D"];

export function choiceOf(layer: Layer): Choice {
  const pair = (value: unknown) => (Array.isArray(value) ? Number(value[0]) : Number(value));
  return {
    kind: layer.kind,
    kernel: pair(layer.config.kernel_size),
    stride: pair(layer.config.strides),
    dilation: pair(layer.config.dilation_rate),
    padding: String(layer.config.padding),
    channels: layer.input_shapes[0][2],
    filters: layer.output_shape[2],
    multiplier: Number(layer.config.depth_multiplier ?? 1),
    bias: Boolean(layer.config.use_bias),
  };
}

function axis(size: number, choice: Choice): Axis | null {
  const table = data.variations.axes[String(size)];
  const found = table?.[`${choice.padding},${choice.kernel},${choice.stride},${choice.dilation}`];
  if (!found) return null;
  const [output, pad_before, pad_after, dropped] = found;
  return {
    input: size,
    kernel: choice.kernel,
    stride: choice.stride,
    dilation: choice.dilation,
    pad_before,
    pad_after,
    output,
    span: (choice.kernel - 1) * choice.dilation + 1,
    dropped,
  };
}

/** Everything that follows from the choice on a map of that size; null where there would be no output. */
export function vary(choice: Choice, height: number, width: number): Variation | null {
  const rows = axis(height, choice);
  const columns = axis(width, choice);
  if (!rows || !columns) return null;
  const { templates } = data.variations;
  const counts: Record<string, number> = {
    input_height: height,
    input_width: width,
    output_height: rows.output,
    output_width: columns.output,
    kernel_height: choice.kernel,
    kernel_width: choice.kernel,
    stride_height: choice.stride,
    stride_width: choice.stride,
    dilation: choice.dilation,
    input_channels: choice.channels,
    channels_per_group: choice.channels,
    filters: choice.filters,
    depth_multiplier: choice.multiplier,
  };
  for (const [name, template] of Object.entries(templates.derived)) counts[name] = fill(template, counts).value;
  const [multiplied, biased] = [choice.multiplier > 1 ? "multiplied" : "single", choice.bias ? "bias" : "plain"];
  const layer = templates.layer[`${choice.kind},${multiplied},${biased}`];
  const outputChannels = fill(layer.output_channels, counts);
  counts.biases = outputChannels.value;
  const form = `${choice.padding},${choice.stride > 1 ? "strided" : "dense"},${choice.dilation > 1 ? "dilated" : "compact"}`;
  const [heightTemplate, widthTemplate] = templates.axis[form];
  const stages = ["depthwise", "pointwise"]
    .filter((name) => layer[`${name}_parameters`])
    .map((name) => ({
      name,
      parameters: fill(layer[`${name}_parameters`], counts),
      macs: fill(layer[`${name}_macs`], counts),
    }));
  return {
    rows,
    columns,
    height: fill(heightTemplate, counts),
    width: fill(widthTemplate, counts),
    outputChannels,
    parameters: fill(layer.parameters, counts),
    macs: fill(layer.macs, counts),
    stages,
  };
}
