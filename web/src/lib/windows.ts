/** Sums, means and maxima over windows and maps, in double precision: what layers and operations share. */

import type { Axis } from "./data";

export const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);

/** For every output cell, calls `visit` with the places on the map that its window reads. */
export function eachWindow(
  rows: Axis,
  columns: Axis,
  visit: (output: number, cell: number, row: number, column: number) => void,
  begin: (output: number) => void,
  end: (output: number) => void,
): void {
  for (let r = 0; r < rows.output; r++) {
    for (let c = 0; c < columns.output; c++) {
      const output = r * columns.output + c;
      begin(output);
      for (let i = 0; i < rows.kernel; i++) {
        const row = r * rows.stride - rows.pad_before + i * rows.dilation;
        if (row < 0 || row >= rows.input) continue;
        for (let j = 0; j < columns.kernel; j++) {
          const column = c * columns.stride - columns.pad_before + j * columns.dilation;
          if (column >= 0 && column < columns.input) visit(output, i * columns.kernel + j, row, column);
        }
      }
      end(output);
    }
  }
}

/** sums[n] += Σ values[i]·kernel[offsets[i] + n]: four values at once, so that the sums are read and written a quarter as often. */
function accumulate(
  sums: Float64Array,
  from: number,
  to: number,
  values: Float64Array,
  offsets: Int32Array,
  count: number,
  kernel: Float32Array,
): void {
  let i = 0;
  for (; i + 3 < count; i += 4) {
    const [a, b, c, d] = [values[i], values[i + 1], values[i + 2], values[i + 3]];
    const [p, q, r, s] = [offsets[i], offsets[i + 1], offsets[i + 2], offsets[i + 3]];
    for (let n = from; n < to; n++) {
      sums[n] += a * kernel[p + n] + b * kernel[q + n] + c * kernel[r + n] + d * kernel[s + n];
    }
  }
  for (; i < count; i++) {
    const value = values[i];
    const at = offsets[i];
    for (let n = from; n < to; n++) sums[n] += value * kernel[at + n];
  }
}

/** An ordinary convolution; the kernel is (height, width, channels / groups, filters). */
export function convolve(
  x: Float32Array,
  rows: Axis,
  columns: Axis,
  channels: number,
  kernel: Float32Array,
  filters: number,
  groups: number,
): Float32Array {
  const perGroup = channels / groups;
  const filtersPerGroup = filters / groups;
  const y = new Float32Array(rows.output * columns.output * filters);
  const sums = new Float64Array(filters);
  const values = new Float64Array(rows.kernel * columns.kernel * perGroup);
  const offsets = new Int32Array(values.length);
  for (let g = 0; g < groups; g++) {
    const first = g * filtersPerGroup;
    let count = 0;
    eachWindow(
      rows,
      columns,
      (_, cell, row, column) => {
        const at = (row * columns.input + column) * channels + g * perGroup;
        for (let c = 0; c < perGroup; c++) {
          const value = x[at + c];
          if (value === 0) continue;
          values[count] = value;
          offsets[count++] = (cell * perGroup + c) * filters;
        }
      },
      () => {
        count = 0;
        sums.fill(0);
      },
      (output) => {
        accumulate(sums, first, first + filtersPerGroup, values, offsets, count, kernel);
        for (let n = first; n < first + filtersPerGroup; n++) y[output * filters + n] = sums[n];
      },
    );
  }
  return y;
}

/** Each channel with kernels of its own; the kernel is (height, width, channels, multiplier). */
export function convolveDepthwise(
  x: Float32Array,
  rows: Axis,
  columns: Axis,
  channels: number,
  kernel: Float32Array,
  multiplier: number,
): Float32Array {
  const outputs = channels * multiplier;
  const y = new Float32Array(rows.output * columns.output * outputs);
  const sums = new Float64Array(outputs);
  eachWindow(
    rows,
    columns,
    (_, cell, row, column) => {
      const at = (row * columns.input + column) * channels;
      const k = cell * outputs;
      if (multiplier === 1) for (let m = 0; m < outputs; m++) sums[m] += x[at + m] * kernel[k + m];
      else for (let m = 0; m < outputs; m++) sums[m] += x[at + ((m / multiplier) | 0)] * kernel[k + m];
    },
    () => sums.fill(0),
    (output) => y.set(sums, output * outputs),
  );
  return y;
}

/** The convolution read backwards: each cell adds to its window. The kernel is (height, width, filters, channels); `rows` and
 * `columns` are the convolution's, so their `output` is what is read here. */
export function convolveTransposed(
  x: Float32Array,
  rows: Axis,
  columns: Axis,
  channels: number,
  kernel: Float32Array,
  filters: number,
): Float32Array {
  const sums = new Float64Array(rows.input * columns.input * filters);
  eachWindow(
    rows,
    columns,
    (read, cell, row, column) => {
      const to = (row * columns.input + column) * filters;
      for (let n = 0; n < filters; n++) {
        const from = (cell * filters + n) * channels;
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += x[read * channels + c] * kernel[from + c];
        sums[to + n] += sum;
      }
    },
    () => undefined,
    () => undefined,
  );
  return Float32Array.from(sums);
}

/** Rows of `inputs` numbers times a matrix (inputs, outputs). */
export function product(x: Float32Array, kernel: Float32Array, inputs: number, outputs: number): Float32Array {
  const count = x.length / inputs;
  const y = new Float32Array(count * outputs);
  const sums = new Float64Array(outputs);
  const values = new Float64Array(inputs);
  const offsets = new Int32Array(inputs);
  for (let p = 0; p < count; p++) {
    let used = 0;
    for (let m = 0; m < inputs; m++) {
      const value = x[p * inputs + m];
      if (value === 0) continue;
      values[used] = value;
      offsets[used++] = m * outputs;
    }
    sums.fill(0);
    accumulate(sums, 0, outputs, values, offsets, used, kernel);
    y.set(sums, p * outputs);
  }
  return y;
}

/** The largest or the mean of each window; a mean divides by the cells that are inside. */
export function pool(x: Float32Array, rows: Axis, columns: Axis, channels: number, isMaximum: boolean): Float32Array {
  const y = new Float32Array(rows.output * columns.output * channels);
  const state = new Float64Array(channels);
  let counted = 0;
  eachWindow(
    rows,
    columns,
    (_, __, row, column) => {
      const at = (row * columns.input + column) * channels;
      counted++;
      for (let c = 0; c < channels; c++) {
        state[c] = isMaximum ? Math.max(state[c], x[at + c]) : state[c] + x[at + c];
      }
    },
    () => {
      counted = 0;
      state.fill(isMaximum ? -Infinity : 0);
    },
    (output) => {
      for (let c = 0; c < channels; c++) y[output * channels + c] = isMaximum ? state[c] : state[c] / counted;
    },
  );
  return y;
}

/** The largest or the mean of each channel over its whole map. */
export function reduceMap(x: Float32Array, channels: number, isMaximum: boolean): Float32Array {
  const state = new Float64Array(channels).fill(isMaximum ? -Infinity : 0);
  for (let i = 0; i < x.length; i++) {
    const c = i % channels;
    state[c] = isMaximum ? Math.max(state[c], x[i]) : state[c] + x[i];
  }
  return Float32Array.from(state, (value) => (isMaximum ? value : value / (x.length / channels)));
}
