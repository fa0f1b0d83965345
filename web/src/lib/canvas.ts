/** The canvas's context, cleared, in CSS pixels; its memory is taken anew only when its size changes. */
export function fitted(canvas: HTMLCanvasElement, wide: number, tall: number): CanvasRenderingContext2D {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.max(1, Math.round(wide * ratio)), Math.max(1, Math.round(tall * ratio))];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d")!;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
