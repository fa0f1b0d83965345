/** Kernels that everyone knows, by the name of their message. */

import { COPY, HORIZONTAL, VERTICAL, type Kernel } from "./planes";

export interface Preset {
  name: string;
  kernel: Kernel;
  /** What the sum is divided by, so that brightness stays. */
  divisor: number;
}

const BLUR_5 = [1, 4, 6, 4, 1];

export const PRESETS: Preset[] = [
  { name: "copy", kernel: COPY, divisor: 1 },
  {
    name: "blur",
    kernel: [
      [1, 2, 1],
      [2, 4, 2],
      [1, 2, 1],
    ],
    divisor: 16,
  },
  { name: "wide_blur", kernel: BLUR_5.map((a) => BLUR_5.map((b) => a * b)), divisor: 256 },
  { name: "vertical", kernel: VERTICAL, divisor: 1 },
  { name: "horizontal", kernel: HORIZONTAL, divisor: 1 },
  {
    name: "sharpen",
    kernel: [
      [0, -1, 0],
      [-1, 5, -1],
      [0, -1, 0],
    ],
    divisor: 1,
  },
  {
    name: "outline",
    kernel: [
      [-1, -1, -1],
      [-1, 8, -1],
      [-1, -1, -1],
    ],
    divisor: 1,
  },
  {
    name: "emboss",
    kernel: [
      [-2, -1, 0],
      [-1, 1, 1],
      [0, 1, 2],
    ],
    divisor: 1,
  },
];

/** A kernel of another size with the same numbers in its middle. */
export function resized(kernel: Kernel, size: number): Kernel {
  const shift = (kernel.length - size) / 2;
  return Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => kernel[i + shift]?.[j + shift] ?? 0));
}
