/** The picture as whole numbers, and windows moving over it: what the story and the kernel editor compute. */

import { input } from "./data";

export interface Plane {
  height: number;
  width: number;
  values: Float32Array;
}

export type Kernel = number[][];

/** Sobel's kernel of vertical edges: Sobel and Feldman 1968. */
export const VERTICAL: Kernel = [
  [-1, 0, 1],
  [-2, 0, 2],
  [-1, 0, 1],
];
export const HORIZONTAL: Kernel = VERTICAL.map((row, i) => row.map((_, j) => VERTICAL[j][i]));
export const COPY: Kernel = [
  [0, 0, 0],
  [0, 1, 0],
  [0, 0, 0],
];

/** The picture in shades from 0 to 255, no larger than `most` cells on a side; a network without pictures gets a disc. */
export function greyPlane(picture: Float32Array, most: number): Plane {
  const shape = input.shape;
  if (shape.length !== 3 || shape[0] < 5 || shape[1] < 5) return disc();
  const [height, width, channels] = shape;
  const shade = (row: number, column: number) => {
    const at = (row * width + column) * channels;
    const value = channels === 3 ? 0.299 * picture[at] + 0.587 * picture[at + 1] + 0.114 * picture[at + 2] : picture[at];
    return Math.max(0, Math.min(255, (value / input.range) * 255));
  };
  const scale = Math.max(1, height / most, width / most);
  const [tall, wide] = [Math.floor(height / scale), Math.floor(width / scale)];
  const values = new Float32Array(tall * wide);
  for (let i = 0; i < tall; i++) {
    for (let j = 0; j < wide; j++) {
      const [top, bottom] = [Math.floor(i * scale), Math.max(Math.floor(i * scale) + 1, Math.floor((i + 1) * scale))];
      const [left, right] = [Math.floor(j * scale), Math.max(Math.floor(j * scale) + 1, Math.floor((j + 1) * scale))];
      let sum = 0;
      for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) sum += shade(row, column);
      values[i * wide + j] = Math.round(sum / ((bottom - top) * (right - left)));
    }
  }
  return { height: tall, width: wide, values };
}

function disc(): Plane {
  const size = 28;
  const inside = (i: number) => Math.hypot(Math.floor(i / size) - 13.5, (i % size) - 13.5) < 8.5;
  return { height: size, width: size, values: Float32Array.from({ length: size * size }, (_, i) => (inside(i) ? 255 : 0)) };
}

/** What the window at a place of the result reads. */
export function windowOf(plane: Plane, row: number, column: number, size: number): number[][] {
  return Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) => plane.values[(row + i) * plane.width + column + j]),
  );
}

export const products = (window: number[][], kernel: Kernel): number[][] =>
  window.map((row, i) => row.map((value, j) => value * kernel[i][j] + 0));

export const sum = (numbers: number[][]): number => numbers.flat().reduce((a, b) => a + b, 0);

/** The plane under the kernel at every place where it fits (padding "valid"). */
export function filtered(plane: Plane, kernel: Kernel): Plane {
  const size = kernel.length;
  const [height, width] = [plane.height - size + 1, plane.width - size + 1];
  const values = new Float32Array(height * width);
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) {
      let total = 0;
      for (let i = 0; i < size; i++) {
        const from = (r + i) * plane.width + c;
        for (let j = 0; j < size; j++) total += plane.values[from + j] * kernel[i][j];
      }
      values[r * width + c] = total;
    }
  }
  return { height, width, values };
}

/** The place with the largest number: where there is something to see. */
export function strongest(plane: Plane): [number, number] {
  let best = 0;
  plane.values.forEach((value, index) => {
    if (Math.abs(value) > Math.abs(plane.values[best])) best = index;
  });
  return [Math.floor(best / plane.width), best % plane.width];
}

/** The kernel as a sum of outer products column × row, as few as there can be: pivot by pivot, so that whole numbers stay simple. */
export function outerProducts(kernel: Kernel): { column: number[]; row: number[] }[] {
  const rest = kernel.map((row) => [...row]);
  const largest = Math.max(...kernel.flat().map(Math.abs));
  const found: { column: number[]; row: number[] }[] = [];
  while (found.length < kernel.length) {
    let pivot: [number, number] = [0, 0];
    rest.forEach((row, i) =>
      row.forEach((value, j) => {
        if (Math.abs(value) > Math.abs(rest[pivot[0]][pivot[1]]) + 1e-12) pivot = [i, j];
      }),
    );
    const value = rest[pivot[0]][pivot[1]];
    if (Math.abs(value) <= 1e-9 * largest) break;
    const column = rest.map((row) => row[pivot[1]]);
    const row = rest[pivot[0]].map((item) => item / value);
    // The common factor goes where it keeps whole numbers: 1 2 1 rather than 0.5 1 0.5.
    const sign = sum([column]) < 0 ? -1 : 1;
    const factor = sign * wholeFactor(row);
    const shifted = column.map((item) => item / factor);
    found.push({ column: shifted, row: row.map((item) => item * factor) });
    for (let i = 0; i < rest.length; i++) for (let j = 0; j < rest.length; j++) rest[i][j] -= column[i] * row[j];
  }
  return found;
}

function wholeFactor(numbers: number[]): number {
  for (const factor of [1, 2, 3, 4, 5, 6, 8]) {
    if (numbers.every((value) => Math.abs(value * factor - Math.round(value * factor)) < 1e-9)) return factor;
  }
  return 1;
}

/** The one kernel whose multiples come closest to both, the two factors, and the share of both kernels that is lost.
 *
 * A depthwise stage with depth multiplier 1 has one kernel a channel, and the pointwise stage only scales it. The best shared
 * kernel is the first singular vector of both kernels as two rows (Eckart and Young 1936).
 */
export function sharedKernel(first: Kernel, second: Kernel): { kernel: Kernel; factors: [number, number]; lost: number } {
  const [a, b] = [first.flat(), second.flat()];
  const dot = (x: number[], y: number[]) => x.reduce((total, value, i) => total + value * y[i], 0);
  const [aa, ab, bb] = [dot(a, a), dot(a, b), dot(b, b)];
  const angle = 0.5 * Math.atan2(2 * ab, aa - bb);
  const factors: [number, number] = [Math.cos(angle), Math.sin(angle)];
  const shared = a.map((value, i) => factors[0] * value + factors[1] * b[i]);
  const lost = aa + bb ? Math.max(0, 1 - dot(shared, shared) / (aa + bb)) : 0;
  const size = first.length;
  return { kernel: Array.from({ length: size }, (_, i) => shared.slice(i * size, (i + 1) * size)), factors, lost };
}
