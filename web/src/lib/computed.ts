/** What the network computed for the first picture when the page was made, of layers that the page does not run. */

import { data, decodeBytes } from "./data";

export interface Computed {
  values: Float32Array;
  shape: number[];
  /** Which channels of the layer these are; empty for a vector, which is whole. */
  channels: number[];
}

const known = new Map<string, Computed>();

export function computedOf(name: string): Computed | null {
  const stored = data.computed[name];
  if (!stored) return null;
  let found = known.get(name);
  if (!found) {
    const bytes = decodeBytes(stored.numbers);
    const values = stored.factor
      ? Float32Array.from(new Int8Array(bytes.buffer), (number) => number * stored.factor)
      : new Float32Array(bytes.buffer, 0, bytes.length / 4);
    found = { values, shape: stored.shape, channels: stored.channels };
    known.set(name, found);
  }
  return found;
}
