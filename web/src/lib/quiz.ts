/** The questions on understanding: what the catalogue holds of each, and the order of its answers. */

import { data } from "./data";

export const QUIZ: string[] = [
  ...new Set(Object.keys(data.messages).filter((key) => key.startsWith("quiz.")).map((key) => key.split(".")[1])),
];

export const ANSWERS = ["right", "wrong_one", "wrong_two"] as const;
export type Answer = (typeof ANSWERS)[number];

/** The answers in an order that follows from the question's name, so that the right one is not always the first. */
export function orderOf(id: string): Answer[] {
  let seed = 7;
  for (const letter of id) seed = (seed * 31 + letter.charCodeAt(0)) % 9973;
  const first = seed % 3;
  const rest = ANSWERS.filter((_, index) => index !== first);
  return [ANSWERS[first], ...(seed % 2 ? rest : rest.reverse())];
}
