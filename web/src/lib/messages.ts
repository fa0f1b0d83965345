/** Messages from the catalogue that the page carries, filled in as `depthwise.messages.text` does. */

import { data } from "./data";
import { grouped } from "./formula";
import { state } from "./state.svelte";

export function t(key: string, facts: Record<string, string | number> = {}): string {
  const template = data.messages[key]?.[state.language];
  if (template === undefined) throw new Error(`no message ${key} in ${state.language}`);
  return template.replace(/\{([a-z_]+)(:,)?\}/g, (_, name, withSeparators) => {
    const value = facts[name];
    if (value === undefined) throw new Error(`the message ${key} names ${name}`);
    return withSeparators ? grouped(Number(value)) : String(value);
  });
}
