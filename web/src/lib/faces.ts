/** The liveliest channel of each layer as a small picture. */

import { most, palette, step } from "./colour";
import type { Layer } from "./data";
import { liveliestChannel } from "./lively";

const kept = new WeakMap<Float32Array, Map<string, string>>();

/** A data URL of a layer's map, of this shape; "" where it is no picture. */
export function faceOf(layer: Layer, shape: number[], values: Float32Array | undefined, isDark: boolean): string {
  if (!values || shape.length !== 3) return "";
  const key = `${layer.kind === "InputLayer"} ${isDark}`;
  const known = kept.get(values) ?? new Map<string, string>();
  kept.set(values, known);
  const found = known.get(key);
  if (found !== undefined) return found;
  const drawn = draw(layer, shape, values, isDark);
  known.set(key, drawn);
  return drawn;
}

function draw(layer: Layer, shape: number[], values: Float32Array, isDark: boolean): string {
  const [height, width, channels] = shape;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  const isInput = layer.kind === "InputLayer";
  const channel = isInput ? 0 : liveliestChannel(values, channels);
  const plane = values.filter((_, i) => i % channels === channel);
  const largest = most(isInput ? values : plane);
  const colours = palette(isDark);
  for (let p = 0; p < plane.length; p++) {
    if (isInput) {
      for (let c = 0; c < 3; c++) {
        const value = values[p * channels + (channels === 3 ? c : 0)];
        image.data[p * 4 + c] = Math.round((255 * Math.max(0, value)) / largest);
      }
    } else {
      const from = step(plane[p], largest) * 3;
      image.data.set([colours[from], colours[from + 1], colours[from + 2]], p * 4);
    }
    image.data[p * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}
