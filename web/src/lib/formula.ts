/** Filling in formula templates and writing formulas down. The formulas themselves come from `depthwise.network.facts`. */

import type { Formula, Template } from "./data";

/** The tree with the numbers of `counts` in its leaves, evaluated. */
export function fill(template: Template, counts: Record<string, number>): Formula {
  if (!template.operator) {
    const value = template.value ?? counts[template.meaning ?? ""];
    if (value === undefined) throw new Error(`nothing says how many ${template.meaning} there are`);
    return { value, meaning: template.meaning };
  }
  const operands = template.operands!.map((operand) => fill(operand, counts));
  const [first, ...others] = operands.map((operand) => operand.value);
  const value = others.reduce((left, right) => APPLY[template.operator!](left, right), first);
  return { value, operator: template.operator, operands };
}

const APPLY: Record<string, (left: number, right: number) => number> = {
  "+": (left, right) => left + right,
  "−": (left, right) => left - right,
  "×": (left, right) => left * right,
  "÷": (left, right) => Math.floor(left / right),
  "⌈÷⌉": (left, right) => Math.ceil(left / right),
};

export const grouped = (value: number) => value.toLocaleString("en-US");

export type Token = { text: string; meaning?: string; value?: number };

/** The formula as pieces in reading order: numbers with what they count, and the signs between them. */
export function tokens(formula: Formula): Token[] {
  const operands = formula.operands ?? [];
  switch (formula.operator) {
    case undefined:
      return [{ text: grouped(formula.value), meaning: formula.meaning, value: formula.value }];
    case "()":
      return [{ text: "(" }, ...tokens(operands[0]), { text: ")" }];
    case "÷":
    case "⌈÷⌉": {
      const [left, right] = formula.operator === "÷" ? "⌊⌋" : "⌈⌉";
      return [{ text: left }, ...guarded(operands[0]), { text: "/" }, ...guarded(operands[1]), { text: right }];
    }
    case "×":
      return joined(operands.map(guarded), "×");
    default:
      return joined(operands.map(tokens), formula.operator!);
  }
}

function guarded(formula: Formula): Token[] {
  const isSum = formula.operator === "+" || formula.operator === "−";
  return isSum ? [{ text: "(" }, ...tokens(formula), { text: ")" }] : tokens(formula);
}

function joined(parts: Token[][], sign: string): Token[] {
  return parts.flatMap((part, index) => (index ? [{ text: sign }, ...part] : part));
}

/** `26×26×32 = 21,632`, as `Formula.text` in Python. */
export function formulaText(formula: Formula): string {
  const expression = tokens(formula)
    .map((token) => token.text)
    .join("");
  return formula.operator ? `${expression} = ${grouped(formula.value)}` : expression;
}

/** A number for reading: about four digits. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 100_000) return String(value + 0).replace("-", "−");
  if (size !== 0 && (size < 0.0005 || size >= 100_000)) return value.toExponential(1).replace("e-", "e−").replace("-", "−");
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return (value + 0 === 0 ? 0 : value).toFixed(digits).replace("-", "−");
}

/** The same with a sign where negative needs parentheses in a sum. */
export const signed = (value: number) => (value < 0 ? `(${short(value)})` : short(value));

export const shapeText = (shape: number[]) => shape.join("×");

export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
