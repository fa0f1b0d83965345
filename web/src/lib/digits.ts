/** Digits on paper, brought to the form of MNIST's, as `depthwise.data.digits` does it for files. */

import { data, input, layerByName } from "./data";
import type { Plane } from "./planes";

/** Pixels of MNIST's images, and of the box that a digit fills. */
const SIZE = 28;
const BOX = 20;
const DIGITS = "0123456789";

/** Whether the network has MNIST's form: grey images of 28×28 pixels and ten classes, which are digits where they have names. */
export const readsDigits =
  String(input.shape) === `${SIZE},${SIZE},1` &&
  String(layerByName.get(data.network.outputs[0])!.output_shape) === "10" &&
  (data.class_names.length === 0 || data.class_names.join("") === DIGITS);

function edgeOf({ height, width, values }: Plane): number[] {
  const edge: number[] = [];
  for (let j = 0; j < width; j++) edge.push(values[j], values[(height - 1) * width + j]);
  for (let i = 1; i < height - 1; i++) edge.push(values[i * width], values[(i + 1) * width - 1]);
  return edge.sort((a, b) => a - b);
}

/** The value below which a share of the sorted numbers lies, between two of them where it falls there. */
function quantile(sorted: number[], share: number): number {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}

/** Whether most of the edge is light, and something inside of it is dark; shades from 0 to 255. */
export function isDarkOnLight(plane: Plane): boolean {
  const edge = edgeOf(plane);
  const darkest = plane.values.reduce((a, b) => Math.min(a, b), 255);
  return quantile(edge, 0.25) > 127 && darkest < quantile(edge, 0.5) - 64;
}

export const inverted = (plane: Plane): Plane => ({ ...plane, values: plane.values.map((value) => 255 - value) });

/** A light digit on a dark ground as MNIST has it: 20 pixels large, its centre of mass in the middle; null where none stands out. */
export function centred(plane: Plane): Plane | null {
  const { height, width } = plane;
  const ground = quantile(edgeOf(plane), 0.5);
  const ink = plane.values.map((value) => Math.max(0, value - ground));
  const peak = ink.reduce((a, b) => Math.max(a, b), 0);
  if (peak < 64) return null;
  let [top, bottom, left, right, atEdge] = [height, -1, width, -1, 0];
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      if (ink[i * width + j] <= peak / 4) continue;
      [top, bottom, left, right] = [Math.min(top, i), Math.max(bottom, i), Math.min(left, j), Math.max(right, j)];
      if (i === 0 || j === 0 || i === height - 1 || j === width - 1) atEdge++;
    }
  }
  if (atEdge > 0.05 * (2 * height + 2 * width - 4)) return null; // it goes on beyond the edge
  const [tall, wide] = [bottom - top + 1, right - left + 1];
  const part = new Float32Array(tall * wide);
  for (let i = 0; i < tall; i++) for (let j = 0; j < wide; j++) part[i * wide + j] = ink[(top + i) * width + left + j] * (255 / peak);
  const share = BOX / Math.max(tall, wide);
  const small = shrunk({ height: tall, width: wide, values: part }, Math.max(1, Math.round(tall * share)), Math.max(1, Math.round(wide * share)));
  let [total, down, across] = [0, 0, 0];
  small.values.forEach((value, index) => {
    total += value;
    down += value * (Math.floor(index / small.width) + 0.5);
    across += value * ((index % small.width) + 0.5);
  });
  const place = (sum: number, length: number) => Math.min(Math.max(Math.round(SIZE / 2 - sum / Math.max(total, 1)), 0), SIZE - length);
  const [row, column] = [place(down, small.height), place(across, small.width)];
  const values = new Float32Array(SIZE * SIZE);
  small.values.forEach((value, index) => {
    values[(row + Math.floor(index / small.width)) * SIZE + column + (index % small.width)] = Math.round(value);
  });
  return { height: SIZE, width: SIZE, values };
}

/** Resampled by triangles as wide as the cells that one pixel stands for, along one axis and then along the other. */
function shrunk(plane: Plane, height: number, width: number): Plane {
  const [down, across] = [triangles(plane.height, height), triangles(plane.width, width)];
  const half = new Float32Array(plane.height * width);
  for (let i = 0; i < plane.height; i++) {
    across.forEach((reads, j) => {
      for (const [from, weight] of reads) half[i * width + j] += plane.values[i * plane.width + from] * weight;
    });
  }
  const values = new Float32Array(height * width);
  down.forEach((reads, i) => {
    for (const [from, weight] of reads) for (let j = 0; j < width; j++) values[i * width + j] += half[from * width + j] * weight;
  });
  return { height, width, values };
}

/** For each of the new cells, which old ones it reads, each with its weight. */
function triangles(from: number, to: number): [number, number][][] {
  const scale = from / to;
  const reach = Math.max(1, scale);
  return Array.from({ length: to }, (_, cell) => {
    const middle = (cell + 0.5) * scale;
    const reads: [number, number][] = [];
    for (let i = Math.max(0, Math.floor(middle - reach)); i < Math.min(from, Math.ceil(middle + reach)); i++) {
      const weight = 1 - Math.abs(i + 0.5 - middle) / reach;
      if (weight > 0) reads.push([i, weight]);
    }
    const total = reads.reduce((sum, [, weight]) => sum + weight, 0);
    return reads.map(([i, weight]) => [i, weight / total]);
  });
}
