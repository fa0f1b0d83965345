/** One animated move from the network to a layer, from a layer to a channel: what was clicked grows into what is opened. */

import { tick } from "svelte";

const quiet = matchMedia("(prefers-reduced-motion: reduce)");

/** Does `change`; where the browser can, the picture of `from` grows into the first element marked `data-zoom-target`. */
export function zoomInto(from: Element | null, change: () => void): void {
  const element = from instanceof HTMLElement || from instanceof SVGElement ? from : null;
  if (!document.startViewTransition || quiet.matches || !element) {
    change();
    return;
  }
  element.style.setProperty("view-transition-name", "zoom");
  const transition = document.startViewTransition(async () => {
    element.style.removeProperty("view-transition-name");
    change();
    await tick();
    const target = document.querySelector<HTMLElement>("[data-zoom-target]");
    target?.style.setProperty("view-transition-name", "zoom");
    void transition.finished.finally(() => target?.style.removeProperty("view-transition-name"));
  });
}

/** Lets an element grow to its size whenever the channel that it shows changes: one goes closer, from many channels to one. */
export function growing(node: HTMLElement, channel: number) {
  let current = channel;
  return {
    update(next: number) {
      if (next === current) return;
      current = next;
      if (!quiet.matches) {
        node.animate([{ transform: "scale(0.75)", opacity: 0.4 }, { transform: "none", opacity: 1 }], { duration: 180, easing: "ease-out" });
      }
    },
  };
}
