/** The network as a drawing shows it: a convolution with its normalisation and activation as one unit, blocks folded. */

import type { Layer } from "./data";

/** Layers that belong together: one that computes, and what normalises and activates its result. */
export interface Unit {
  id: string;
  layers: Layer[];
  /** The units that it reads, and the layers of it that read them. */
  inputs: string[];
  /** The folded units inside; empty where it is one unit itself. */
  inside: Unit[];
  /** Which block it is: the key of its name in the catalogue; "" for a single unit. */
  block: string;
}

const FOLLOWERS = [
  "BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization", "Activation", "ReLU",
  "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax", "Dropout", "SpatialDropout2D", "GaussianNoise",
  "GaussianDropout", "AlphaDropout",
]; // prettier-ignore
const MOST_INSIDE = 24;

/** Every unit, single ones only, in the order in which the network computes them. */
export function singleUnits(layers: Layer[]): Unit[] {
  const readers = new Map<string, Layer[]>();
  for (const layer of layers) for (const name of layer.inputs) readers.set(name, [...(readers.get(name) ?? []), layer]);
  const unitOf = new Map<string, Unit>();
  const units: Unit[] = [];
  for (const layer of layers) {
    const before = layer.inputs.length === 1 ? unitOf.get(layer.inputs[0]) : undefined;
    const last = before?.layers.at(-1);
    const follows =
      before && last?.name === layer.inputs[0] && readers.get(last.name)!.length === 1 && !last.is_output &&
      FOLLOWERS.includes(layer.kind) && canLead(before.layers[0]); // prettier-ignore
    if (follows) {
      before.layers.push(layer);
      unitOf.set(layer.name, before);
      continue;
    }
    const inputs = [...new Set(layer.inputs.map((name) => unitOf.get(name)?.id).filter((id) => id !== undefined))];
    const unit: Unit = { id: layer.name, layers: [layer], inputs, inside: [], block: "" };
    unitOf.set(layer.name, unit);
    units.push(unit);
  }
  return units;
}

const canLead = (layer: Layer) => layer.macs.value > 0 || layer.inputs.length > 1;

/** The same with blocks folded, those apart that are in `unfolded`. */
export function foldedUnits(layers: Layer[], unfolded: ReadonlySet<string>): Unit[] {
  const units = singleUnits(layers);
  const blocks = [...mergedBlocks(units), ...chainBlocks(units)];
  const blockOf = new Map<string, { id: string; members: Unit[]; name: string }>();
  for (const block of blocks) {
    if (block.members.some((unit) => blockOf.has(unit.id))) continue;
    for (const unit of block.members) blockOf.set(unit.id, block);
  }
  const result: Unit[] = [];
  const made = new Map<string, Unit>();
  const standsFor = (id: string) => {
    const block = blockOf.get(id);
    return block && !unfolded.has(block.id) ? block.id : id;
  };
  for (const unit of units) {
    const block = blockOf.get(unit.id);
    if (!block || unfolded.has(block.id)) {
      result.push({ ...unit, inputs: [...new Set(unit.inputs.map(standsFor))], block: "" });
      continue;
    }
    let whole = made.get(block.id);
    if (!whole) {
      whole = { id: block.id, layers: [], inputs: [], inside: block.members, block: block.name };
      made.set(block.id, whole);
      result.push(whole);
    }
    whole.layers.push(...unit.layers);
    for (const input of unit.inputs.map(standsFor)) {
      if (input !== block.id && !whole.inputs.includes(input)) whole.inputs.push(input);
    }
  }
  return result;
}

/** The ids of all blocks of the network, to unfold them all. */
export const blockIds = (layers: Layer[]) =>
  foldedUnits(layers, new Set())
    .filter((unit) => unit.block)
    .map((unit) => unit.id);

/** The block that a unit would be folded into; null where there is none. */
export function blockAround(layers: Layer[], id: string): string | null {
  const block = foldedUnits(layers, new Set()).find((unit) => unit.block && unit.inside.some((part) => part.id === id));
  return block?.id ?? null;
}

interface Block {
  id: string;
  members: Unit[];
  name: string;
}

/** What lies between a fork and the unit that brings its branches together, where nothing else reads from inside. */
function mergedBlocks(units: Unit[]): Block[] {
  const index = new Map(units.map((unit, place) => [unit.id, place]));
  const readers = units.map(() => [] as number[]);
  units.forEach((unit, place) => unit.inputs.forEach((id) => readers[index.get(id)!].push(place)));
  const dominator = dominators(units, index);
  const found: Block[] = [];
  units.forEach((unit, place) => {
    if (unit.inputs.length < 2) return;
    const fork = dominator[place];
    if (fork < 0) return;
    const members = [place];
    for (let other = fork + 1; other < place; other++) if (isUnder(dominator, other, fork)) members.push(other);
    const inside = new Set(members);
    const closed = members.every((other) => other === place || readers[other].every((reader) => inside.has(reader)));
    const most = Math.min(MOST_INSIDE, Math.max(4, units.length / 3));
    if (!closed || members.length < 2 || members.length > most) return;
    const parts = members.sort((a, b) => a - b).map((other) => units[other]);
    found.push({ id: `block:${parts[0].id}`, members: parts, name: nameOf(parts, unit) });
  });
  return found.sort((a, b) => b.members.length - a.members.length);
}

/** For each unit the last one that every way to it passes; −1 where there is none. */
function dominators(units: Unit[], index: Map<string, number>): number[] {
  const result: number[] = [];
  units.forEach((unit, place) => {
    const parents = unit.inputs.map((id) => index.get(id)!);
    let common = parents.length ? parents[0] : -1;
    for (const parent of parents.slice(1)) {
      let [a, b] = [common, parent];
      while (a !== b && a >= 0 && b >= 0) {
        if (a > b) a = result[a];
        else b = result[b];
      }
      common = a === b ? a : -1;
    }
    result[place] = common;
  });
  return result;
}

function isUnder(dominator: number[], place: number, fork: number): boolean {
  for (let at = dominator[place]; at >= fork; at = dominator[at]) if (at === fork) return true;
  return false;
}

const kernelOf = (layer: Layer) => [layer.config.kernel_size].flat().map(Number);
const isPointwise = (unit: Unit) => unit.layers[0].kind === "Conv2D" && kernelOf(unit.layers[0]).every((size) => size === 1);
const isDepthwise = (unit: Unit) => unit.layers[0].kind === "DepthwiseConv2D";

function nameOf(parts: Unit[], merge: Unit): string {
  const kind = merge.layers[0].kind;
  if (kind === "Add") return parts.some(isDepthwise) ? "inverted_residual" : "residual";
  if (kind === "Multiply") return "gate";
  return "branches";
}

/** Chains: 1×1, depthwise, 1×1 (an inverted residual block without a skip connection), and depthwise, 1×1 (a separable block). */
function chainBlocks(units: Unit[]): Block[] {
  const readers = new Map<string, Unit[]>();
  for (const unit of units) for (const id of unit.inputs) readers.set(id, [...(readers.get(id) ?? []), unit]);
  const after = (unit: Unit | undefined) => {
    const next = unit ? readers.get(unit.id) : undefined;
    return next?.length === 1 && next[0].inputs.length === 1 ? next[0] : undefined;
  };
  const found: Block[] = [];
  const taken = new Set<string>();
  for (const unit of units) {
    if (taken.has(unit.id)) continue;
    const chain = [unit];
    for (let next = after(unit); next && chain.length < 3; next = after(next)) {
      if (next.layers[0].kind !== "ZeroPadding2D") chain.push(next);
      else break;
    }
    const padded = paddedChain(unit, after);
    const inverted = padded.length && isPointwise(padded[0]) ? padded : null;
    const separable = isDepthwise(unit) && chain[1] && isPointwise(chain[1]) ? chain.slice(0, 2) : null;
    const members = inverted ?? separable;
    if (!members) continue;
    for (const member of members) taken.add(member.id);
    found.push({ id: `block:${unit.id}`, members, name: inverted ? "inverted" : "separable" });
  }
  return found;
}

/** 1×1, (padding,) depthwise, 1×1 from this unit on; empty where something else follows. */
function paddedChain(unit: Unit, after: (unit: Unit | undefined) => Unit | undefined): Unit[] {
  if (!isPointwise(unit)) return [];
  const chain = [unit];
  let next = after(unit);
  if (next?.layers[0].kind === "ZeroPadding2D") {
    chain.push(next);
    next = after(next);
  }
  const last = after(next);
  return next && isDepthwise(next) && last && isPointwise(last) ? [...chain, next, last] : [];
}

/** Where a unit is drawn: in which column of which line, and in which lane of the line. */
export interface Place {
  unit: Unit;
  row: number;
  column: number;
  lane: number;
}

export interface Edge {
  from: string;
  to: string;
  /** It passes over other units of its line: a skip connection. */
  isLong: boolean;
}

export interface Layout {
  places: Place[];
  edges: Edge[];
  /** The lanes of each line of units. */
  lanes: number[];
}

/** Units from left to right, in lines like text; units that do not wait for each other stand in lanes, one below the other. */
export function layOut(units: Unit[], columns: number): Layout {
  const rank = new Map<string, number>();
  const lane = new Map<string, number>();
  const taken: Set<number>[] = [];
  const edges: Edge[] = [];
  for (const unit of units) {
    const own = unit.inputs.length ? Math.max(...unit.inputs.map((id) => rank.get(id)!)) + 1 : 0;
    rank.set(unit.id, own);
    taken[own] ??= new Set();
    const wanted = unit.inputs.length > 1 ? Math.min(...unit.inputs.map((id) => lane.get(id)!)) : (lane.get(unit.inputs[0]) ?? 0);
    let at = wanted;
    while (taken[own].has(at)) at++;
    taken[own].add(at);
    lane.set(unit.id, at);
    for (const from of unit.inputs) edges.push({ from, to: unit.id, isLong: own - rank.get(from)! > 1 });
  }
  const lanes: number[] = [];
  const places = units.map((unit) => {
    const place = { unit, row: Math.floor(rank.get(unit.id)! / columns), column: rank.get(unit.id)! % columns, lane: lane.get(unit.id)! };
    lanes[place.row] = Math.max(lanes[place.row] ?? 1, place.lane + 1);
    return place;
  });
  return { places, edges, lanes };
}

/** Whether a unit holds a layer whose name or kind contains the text. */
export function matches(unit: Unit, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  return wanted !== "" && unit.layers.some(({ name, kind }) => `${name} ${kind}`.toLowerCase().includes(wanted));
}
