/** What the reader has chosen: language, theme, place, picture. */

import { data, decodeBytes, layerByName, layers, type Layer } from "./data";
import { run, type Values } from "./network";

export type View = "network" | "layer" | "try" | "guess" | "compare";
export type Theme = "auto" | "light" | "dark";

const shape = data.input.shape;
const pixels = shape.reduce((a, b) => a * b, 1);
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`depthwise.${key}`);
  } catch {
    return null; // a page in a sandboxed frame has no storage
  }
}

function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`depthwise.${key}`, value);
  } catch {
    // nothing to do: the choice holds for this visit
  }
}

/** The picture of a sample, scaled to the range that the network takes. */
export function samplePicture(index: number): Float32Array {
  const bytes = decodeBytes(data.samples[index].pixels);
  return Float32Array.from(bytes, (byte) => Math.fround((byte * data.input.range) / 255));
}

class State {
  language = $state(data.language);
  theme = $state<Theme>((remembered("theme") as Theme) ?? "auto");
  systemDark = $state(prefersDark.matches);
  view = $state<View>("network");
  layerName = $state(firstInteresting());
  position = $state.raw<number[]>([0, 0, 0]);
  inputChannel = $state(0);
  lit = $state("");
  playing = $state(false);
  sample = $state(0);
  picture = $state.raw<Float32Array>(data.samples.length ? samplePicture(0) : new Float32Array(pixels));
  showHelp = $state(false);

  values: Values = $derived(run(this.picture, data.kept_layers));
  layer: Layer = $derived(layerByName.get(this.layerName)!);
  isDark: boolean = $derived(this.theme === "dark" || (this.theme === "auto" && this.systemDark));

  constructor() {
    prefersDark.addEventListener("change", (event) => (this.systemDark = event.matches));
  }

  setLanguage(language: string): void {
    this.language = language;
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    remember("theme", theme);
  }

  open(view: View, layer?: string, position?: number[]): void {
    this.view = view;
    this.playing = false;
    this.lit = "";
    if (layer !== undefined && layerByName.has(layer)) {
      if (layer !== this.layerName || position) this.inputChannel = 0;
      const changed = layer !== this.layerName;
      this.layerName = layer;
      if (position || changed) this.moveTo(position ?? middle(layerByName.get(layer)!));
    }
    writeHash();
  }

  /** Moves to a cell; places outside of the map are pulled to its edge. */
  moveTo(position: number[]): void {
    const sizes = this.layer.output_shape;
    const next = sizes.map((size, axis) => Math.max(0, Math.min(size - 1, Math.round(position[axis] ?? 0))));
    if (next.some((place, axis) => place !== this.position[axis]) || next.length !== this.position.length) {
      this.position = next;
      writeHash();
    }
  }

  /** The cell after this one, row by row; from the last back to the first. */
  step(by = 1): void {
    const sizes = this.layer.output_shape;
    const planar = sizes.length === 3;
    const count = planar ? sizes[0] * sizes[1] : sizes[0];
    const current = planar ? this.position[0] * sizes[1] + this.position[1] : this.position[0];
    const next = (current + by + count) % count;
    this.moveTo(planar ? [Math.floor(next / sizes[1]), next % sizes[1], this.position[2]] : [next]);
  }

  neighbour(by: number): void {
    const index = layers.findIndex((layer) => layer.name === this.layerName);
    const next = layers[(index + by + layers.length) % layers.length];
    this.open(this.view === "try" ? "try" : "layer", next.name);
  }

  setPicture(picture: Float32Array): void {
    this.picture = picture;
  }
}

function firstInteresting(): string {
  const found = layers.find((layer) => layer.rows && layer.macs.value) ?? layers[layers.length - 1];
  return found.name;
}

function middle(layer: Layer): number[] {
  const shape = layer.output_shape;
  return shape.length === 3 ? [Math.floor(shape[0] / 2), Math.floor(shape[1] / 2), 0] : shape.map(() => 0);
}

export const state = new State();

let pending = 0;

/** Puts the place into the address, so that it can be kept and shared; not more often than browsers allow. */
function writeHash(): void {
  clearTimeout(pending);
  pending = window.setTimeout(() => {
    const name = encodeURIComponent(state.layerName);
    const parts: Record<View, string> = {
      network: "#/",
      layer: `#/layer/${name}/${state.position.join(",")}`,
      try: `#/try/${name}`,
      guess: "#/guess",
      compare: "#/compare",
    };
    try {
      if (location.hash !== parts[state.view]) history.replaceState(null, "", parts[state.view]);
    } catch {
      // a page in a sandboxed frame cannot change its address
    }
  }, 200);
}

/** Goes where the address says. */
export function readHash(): void {
  const [, view, name, at] = location.hash.split("/");
  if (view === "layer" || view === "try") {
    let layer = "";
    try {
      layer = decodeURIComponent(name ?? "");
    } catch {
      return;
    }
    const position = at?.split(",").map(Number);
    if (layerByName.has(layer)) state.open(view, layer, position?.every(Number.isFinite) ? position : undefined);
  } else if (view === "guess" || view === "compare") {
    state.open(view);
  } else if (data.place && !location.hash) {
    state.open("layer", data.place.layer, data.place.position ?? undefined);
  } else {
    state.open("network");
  }
}
