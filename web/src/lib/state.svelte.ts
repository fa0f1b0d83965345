/** What the reader has chosen: language, theme, place, picture. */

import { chooseInput, data, decodeBytes, input, layerByName, layers, type InputFacts, type Layer } from "./data";
import { browserLanguage, pictureOf, pictureText, readLink } from "./link";
import { liveliestPlace } from "./lively";
import { run, type Values } from "./network";
import type { Plane } from "./planes";

export type View = "note" | "story" | "network" | "layer" | "kernel" | "try" | "guess" | "compare";
export type Theme = "auto" | "light" | "dark";

export const VIEWS: View[] = [...(data.note ? (["note"] as View[]) : []), "story", "network", "layer", "kernel", "try", "guess", "compare"];
export const THEMES: Theme[] = ["auto", "light", "dark"];

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

function firstLanguage(): string {
  const chosen = remembered("language");
  if (!data.language && chosen && chosen in data.languages) return chosen;
  return data.language ?? browserLanguage() ?? Object.keys(data.languages)[0];
}

/** The picture of a sample, scaled to the range that the network takes. */
export function samplePicture(index: number, of: InputFacts = input): Float32Array {
  const bytes = decodeBytes(of.samples[index].pixels);
  return Float32Array.from(bytes, (byte) => Math.fround((byte * of.range) / 255));
}

/** The pictures that the page opens with, one for each input. */
const FIRST = data.inputs.map((of) => samplePicture(0, of));

class State {
  language = $state(firstLanguage());
  theme = $state<Theme>((remembered("theme") as Theme) ?? "auto");
  systemDark = $state(prefersDark.matches);
  view = $state<View>("story");
  layerName = $state(firstInteresting());
  position = $state.raw<number[]>([0, 0, 0]);
  inputChannel = $state(0);
  lit = $state("");
  playing = $state(false);
  /** Where the picture comes from: the number of a sample; -1 where the reader drew or opened it. */
  sample = $state(0);
  /** Whether the position is a place of the layer that is shown yet. */
  private isPlaced = false;
  /** The step of the story that a link names. */
  step = $state(1);
  /** Which of the network's inputs the picture is for. */
  inputIndex = $state(0);
  /** The pictures of all inputs. */
  pictures = $state.raw<Float32Array[]>(FIRST);
  /** What `sample` says of each input while another one is chosen. */
  private samples = FIRST.map(() => 0);
  picture: Float32Array = $derived(this.pictures[this.inputIndex]);
  /** A photo that was opened, in shades and larger than the network takes it: for the kernel editor. */
  photo = $state.raw<Plane | null>(null);
  showHelp = $state(false);
  /** What is said about the thing that is pointed at, and where. */
  tip = $state.raw<{ title: string; text: string; node: Element; box: DOMRect } | null>(null);

  values: Values = $derived(run(this.pictures, data.kept_layers));
  /** Whether the network reads what it read when the page was made. */
  isAsMade: boolean = $derived(this.pictures.every((picture, index) => picture === FIRST[index]));
  layer: Layer = $derived(layerByName.get(this.layerName)!);
  isDark: boolean = $derived(this.theme === "dark" || (this.theme === "auto" && this.systemDark));

  constructor() {
    prefersDark.addEventListener("change", (event) => (this.systemDark = event.matches));
  }

  setLanguage(language: string): void {
    this.language = language;
    remember("language", language);
    writeHash();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    remember("theme", theme);
    writeHash();
  }

  open(view: View, layer?: string, position?: number[]): void {
    if (view !== this.view) this.playing = false;
    this.view = view;
    this.lit = "";
    this.tip = null;
    const known = layer !== undefined && layerByName.has(layer);
    const changed = known && layer !== this.layerName;
    if (changed || (known && position)) this.inputChannel = 0;
    if (known) this.layerName = layer;
    if (known && position) this.moveTo(position);
    else if (changed || !this.isPlaced) {
      this.moveTo(liveliestPlace(this.layer.output_shape, this.values.get(this.layerName)));
    }
    writeHash();
  }

  /** Moves to a cell; places outside of the map are pulled to its edge. */
  moveTo(position: number[]): void {
    this.isPlaced = true;
    const sizes = this.layer.output_shape;
    const next = sizes.map((size, axis) => Math.max(0, Math.min(size - 1, Math.round(position[axis] ?? 0))));
    if (next.some((place, axis) => place !== this.position[axis]) || next.length !== this.position.length) {
      this.position = next;
      writeHash();
    }
  }

  /** The cell after this one, row by row; from the last back to the first. */
  next(by = 1): void {
    const sizes = this.layer.output_shape;
    const planar = sizes.length === 3;
    const count = planar ? sizes[0] * sizes[1] : sizes[0];
    const current = planar ? this.position[0] * sizes[1] + this.position[1] : this.position[0];
    const next = (current + by + count) % count;
    this.moveTo(
      planar ? [Math.floor(next / sizes[1]), next % sizes[1], this.position[2]] : [next, ...this.position.slice(1)],
    );
  }

  neighbour(by: number): void {
    const index = layers.findIndex((layer) => layer.name === this.layerName);
    const next = layers[(index + by + layers.length) % layers.length];
    this.open(this.view === "try" ? "try" : "layer", next.name);
  }

  setPicture(picture: Float32Array, sample = -1, photo: Plane | null = null): void {
    const next = sample === 0 ? FIRST[this.inputIndex] : picture;
    this.pictures = this.pictures.map((other, index) => (index === this.inputIndex ? next : other));
    this.photo = photo;
    this.sample = sample;
    writeHash();
  }

  /** Makes another input the one whose picture is shown and can be changed. */
  chooseInput(index: number): void {
    if (index === this.inputIndex) return;
    this.samples[this.inputIndex] = this.sample;
    chooseInput(index);
    this.inputIndex = index;
    this.sample = this.samples[index];
    this.photo = null;
    writeHash();
  }

  goToStep(step: number): void {
    this.step = step;
    writeHash();
  }
}

function firstInteresting(): string {
  const found = layers.find((layer) => layer.rows && layer.macs.value) ?? layers[layers.length - 1];
  return found.name;
}

export const state = new State();

/** The address of a view; `language`, `theme` and picture follow where they are not what every reader gets. */
export function linkTo(view: View): string {
  const name = encodeURIComponent(state.layerName);
  const places: Record<View, string> = {
    note: "#/note",
    story: state.step > 1 ? `#/story/${state.step}` : "#/",
    network: "#/network",
    layer: `#/layer/${name}/${state.position.join(",")}`,
    kernel: "#/kernel",
    try: `#/try/${name}`,
    guess: "#/guess",
    compare: "#/compare",
  };
  const options: string[] = [];
  if (state.language !== (data.language ?? browserLanguage())) options.push(`language=${state.language}`);
  if (state.theme !== "auto") options.push(`theme=${state.theme}`);
  if (state.inputIndex > 0) options.push(`input=${state.inputIndex}`);
  if (state.sample > 0) options.push(`sample=${state.sample}`);
  const drawn = state.sample < 0 ? pictureText(state.picture) : "";
  if (drawn) options.push(`picture=${drawn}`);
  return places[view] + (options.length ? `?${options.join("&")}` : "");
}

const BETWEEN_WRITES = 200;
let pending = 0;
let isReading = false;

/** Puts the place into the address, so that it can be kept and shared; not more often than browsers allow. */
function writeHash(): void {
  if (pending || isReading) return;
  pending = window.setTimeout(() => {
    pending = 0;
    const link = linkTo(state.view);
    try {
      if (location.hash !== link) history.replaceState(null, "", link);
    } catch {
      // a page in a sandboxed frame cannot change its address
    }
  }, BETWEEN_WRITES);
}

/** Goes where the address says. */
export function readHash(): void {
  isReading = true;
  try {
    goTo(location.hash);
  } finally {
    isReading = false;
  }
}

function goTo(hash: string): void {
  const { place, options } = readLink(hash);
  const [view, name, at] = place;
  readOptions(options);
  if (view === "layer" || view === "try") {
    let layer = "";
    try {
      layer = decodeURIComponent(name ?? "");
    } catch {
      return;
    }
    const position = at?.split(",").map(Number);
    if (layerByName.has(layer)) state.open(view, layer, position?.every(Number.isFinite) ? position : undefined);
  } else if ((view === "note" && data.note) || view === "story" || view === "network" || view === "kernel" || view === "guess" || view === "compare") {
    if (view === "story") state.step = Math.max(1, Math.min(5, Math.round(Number(name)) || 1));
    state.open(view);
  } else if (data.place && !hash) {
    state.open("layer", data.place.layer, data.place.position ?? undefined);
  } else {
    state.step = 1;
    state.open(VIEWS[0]);
  }
}

function readOptions(options: URLSearchParams): void {
  const language = options.get("language");
  if (language && language in data.languages) state.language = language;
  const theme = options.get("theme") as Theme | null;
  if (theme && THEMES.includes(theme)) state.theme = theme;
  const which = Number(options.get("input") ?? 0);
  if (Number.isInteger(which) && which >= 0 && which < data.inputs.length) state.chooseInput(which);
  const sample = Number(options.get("sample") ?? -1);
  if (Number.isInteger(sample) && sample >= 0 && sample < input.samples.length) {
    state.setPicture(samplePicture(sample), sample);
  }
  const drawn = pictureOf(options.get("picture") ?? "", input.shape.reduce((a, b) => a * b, 1));
  if (drawn) state.setPicture(drawn);
}
