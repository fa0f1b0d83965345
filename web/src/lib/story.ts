/** The numbers of the story: three maps, one kernel of three slices, and what two stages make of the same. */

import { COPY, products, sum, windowOf, type Kernel, type Plane } from "./planes";

/** One slice for each of the three maps: a bright middle, an upright line, a level line. */
export const SLICES: Kernel[] = [
  COPY,
  [
    [0, 1, 0],
    [0, 1, 0],
    [0, 1, 0],
  ],
  [
    [0, 0, 0],
    [1, 1, 1],
    [0, 0, 0],
  ],
];

/** The sum of each map's window times its slice. */
export const sumsAt = (maps: Plane[], [row, column]: [number, number]): number[] =>
  maps.map((map, index) => sum(products(windowOf(map, row, column, 3), SLICES[index])));

/** Pointwise weights of three outputs; the first gives what the ordinary kernel of three slices gives. */
export const MIXES = [
  [1, 1, 1],
  [2, -1, 0],
  [0, 1, -1],
];

export const CELLS = 9;
export const CHANNELS = 3;

/** Multiplications at one place for `outputs` output channels. */
export const ordinaryCost = (outputs: number): number => CELLS * CHANNELS * outputs;
export const separableCost = (outputs: number): number => CELLS * CHANNELS + CHANNELS * outputs;
