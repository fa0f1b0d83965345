/** What the address holds beside the place: language, theme and picture, so that a link shows the same to another reader. */

import { data, input } from "./data";

const LEVELS = "abcdefghijklmnop";
const MOST_PIXELS = 4096;
const MOST_TEXT = 1800;

/** A drawn picture as text: its 16 grey levels, each a letter, with a number where it repeats; "" where it would be too long. */
export function pictureText(picture: Float32Array): string {
  if (picture.length > MOST_PIXELS) return "";
  let text = "";
  for (let i = 0; i < picture.length; ) {
    const level = levelOf(picture[i]);
    let count = 1;
    while (i + count < picture.length && levelOf(picture[i + count]) === level) count++;
    text += LEVELS[level] + (count > 1 ? count : "");
    i += count;
  }
  return text.length > MOST_TEXT ? "" : text;
}

const levelOf = (value: number) => Math.max(0, Math.min(15, Math.round((value / input.range) * 15)));

/** The picture that such a text stands for; null where it is none of this network's input. */
export function pictureOf(text: string, count: number): Float32Array | null {
  const picture = new Float32Array(count);
  let at = 0;
  for (const [, letter, times] of text.matchAll(/([a-p])(\d*)/g)) {
    const end = at + Number(times || 1);
    if (end > count) return null;
    picture.fill(Math.fround((LEVELS.indexOf(letter) / 15) * input.range), at, end);
    at = end;
  }
  return at === count ? picture : null;
}

/** The part of the hash before "?", and what follows it by name. */
export function readLink(hash: string): { place: string[]; options: URLSearchParams } {
  const [path, query = ""] = hash.split("?");
  return { place: path.split("/").slice(1), options: new URLSearchParams(query) };
}

/** The first language that the reader's browser asks for and the page has; null where it has none of them. */
export function browserLanguage(): string | null {
  const wanted = navigator.languages ?? [navigator.language];
  for (const language of wanted) {
    const code = language.toLowerCase().split("-")[0];
    if (code in data.languages) return code;
  }
  return null;
}
