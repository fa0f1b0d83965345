/** Colours of values: blue below zero, orange above, the paper between; safe for every common colour blindness. */

import { interpolateRgb, piecewise } from "d3-interpolate";
import { scaleDiverging } from "d3-scale";

const LIGHT = ["#0b3c7a", "#2f74b5", "#8fbbe0", "#f6f4ef", "#f3b783", "#d26f1f", "#7f3402"];
const DARK = ["#b7dcff", "#5fa4e6", "#2a5c93", "#1a1e25", "#8a4a17", "#e2873a", "#ffd9b0"];
const STEPS = 511;

export type Palette = Uint8Array;

function table(colours: string[]): Palette {
  const scale = scaleDiverging<string>(piecewise(interpolateRgb, colours)).domain([-1, 0, 1]);
  const bytes = new Uint8Array(STEPS * 3);
  for (let i = 0; i < STEPS; i++) {
    const [r, g, b] = scale((i / (STEPS - 1)) * 2 - 1)
      .match(/\d+/g)!
      .map(Number);
    bytes.set([r, g, b], i * 3);
  }
  return bytes;
}

const PALETTES = { light: table(LIGHT), dark: table(DARK) };

export const palette = (isDark: boolean): Palette => (isDark ? PALETTES.dark : PALETTES.light);

/** Where `value` of at most `most` lies in the palette; ×3 for the byte. */
export function step(value: number, most: number): number {
  const share = most > 0 ? Math.max(-1, Math.min(1, value / most)) : 0;
  return Math.round(((share + 1) / 2) * (STEPS - 1));
}

export function css(value: number, most: number, isDark: boolean): string {
  const at = step(value, most) * 3;
  const bytes = palette(isDark);
  return `rgb(${bytes[at]},${bytes[at + 1]},${bytes[at + 2]})`;
}

/** Ink that reads on that colour. */
export function ink(value: number, most: number, isDark: boolean): string {
  const at = step(value, most) * 3;
  const bytes = palette(isDark);
  const linear = [0, 1, 2].map((i) => {
    const c = bytes[at + i] / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return luminance > 0.179 ? "#000000" : "#ffffff";
}

/** The largest size among the values; 1 where all are 0. */
export function most(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest || 1;
}

export interface Marks {
  window: string;
  cell: string;
  ink: string;
  soft: string;
  card: string;
  line: string;
  map: string;
  hatch: string;
  dropped: string;
  mono: string;
}

const read = new Map<boolean, Marks>();

/** The theme's colours for drawings, read once from the style sheet: asking it at every move would be slow. */
export function marks(isDark: boolean): Marks {
  let found = read.get(isDark);
  if (!found) {
    const style = getComputedStyle(document.documentElement);
    const names = ["window", "cell", "ink", "soft", "card", "line", "map", "hatch", "dropped", "mono"] as const;
    found = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as unknown as Marks;
    read.set(isDark, found);
  }
  return found;
}
