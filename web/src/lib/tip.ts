/** Says what something means: on hover, on focus and on touch, in the one box that `App` shows. */

import { state } from "./state.svelte";

export interface Said {
  title: string;
  text: string;
}

export function tip(node: HTMLElement, said: Said) {
  let current = said;
  const show = () => (state.tip = { ...current, node, box: node.getBoundingClientRect() });
  const hide = () => (state.tip = null);
  const toggle = (event: Event) => {
    event.stopPropagation();
    show();
  };
  const events: [string, (event: Event) => void][] = [
    ["pointerenter", show],
    ["pointerleave", (event) => (event as PointerEvent).pointerType === "mouse" && hide()],
    ["focus", show],
    ["blur", hide],
    ["click", toggle],
  ];
  for (const [name, listener] of events) node.addEventListener(name, listener);
  return {
    update(next: Said) {
      current = next;
    },
    destroy() {
      for (const [name, listener] of events) node.removeEventListener(name, listener);
    },
  };
}
