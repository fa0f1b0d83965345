/** Where a map has most to show. */

/** The channel whose values differ most. */
export function liveliestChannel(values: Float32Array, channels: number): number {
  const sums = new Float64Array(channels);
  const squares = new Float64Array(channels);
  for (let i = 0; i < values.length; i++) {
    sums[i % channels] += values[i];
    squares[i % channels] += values[i] * values[i];
  }
  const count = values.length / channels;
  let best = 0;
  let spread = -1;
  for (let c = 0; c < channels; c++) {
    const here = squares[c] / count - (sums[c] / count) ** 2;
    if (here > spread) [best, spread] = [c, here];
  }
  return best;
}

/** The place of a layer's output that is worth opening: the one farthest from its channel's mean, in the liveliest channel. */
export function liveliestPlace(shape: number[], values: Float32Array | undefined): number[] {
  const channels = shape[shape.length - 1];
  if (!values) return shape.map((size, axis) => (axis === shape.length - 1 ? 0 : Math.floor(size / 2)));
  if (shape.length === 1) return [values.indexOf(values.reduce((a, b) => Math.max(a, b), -Infinity))];
  const channel = liveliestChannel(values, channels);
  let mean = 0;
  for (let i = channel; i < values.length; i += channels) mean += values[i];
  mean /= values.length / channels;
  let best = channel;
  for (let i = channel; i < values.length; i += channels) {
    if (Math.abs(values[i] - mean) > Math.abs(values[best] - mean)) best = i;
  }
  const place: number[] = new Array(shape.length);
  let rest = best;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    place[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  return place;
}
