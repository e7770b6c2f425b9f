import type { ComponentChild, VNode } from "preact";

// Parts of formulas in MathML, which browsers draw themselves.

export type Part = ComponentChild;

/** A variable. */
export const i = (name: string): VNode => <mi>{name}</mi>;
/** A number. */
export const n = (value: string): VNode => <mn>{value}</mn>;
/** An operator or a bracket. */
export const o = (symbol: string): VNode => <mo>{symbol}</mo>;
/** A name in upright letters. */
export const word = (text: string): VNode => <mi mathvariant="normal">{text}</mi>;
/** The name of an operator, with a thin space behind it. */
export const named = (text: string): VNode => (
  <mrow>
    <mi mathvariant="normal">{text}</mi>
    <mspace width="0.17em" />
  </mrow>
);
/** A base with an index. */
export const sub = (base: Part, index: Part): VNode => (
  <msub>
    {base}
    {index}
  </msub>
);
/** A base with an exponent. */
export const sup = (base: Part, exponent: Part): VNode => (
  <msup>
    {base}
    {exponent}
  </msup>
);
/** A fraction. */
export const frac = (top: Part, bottom: Part): VNode => (
  <mfrac>
    {top}
    {bottom}
  </mfrac>
);
/** A square root. */
export const root = (inside: Part): VNode => <msqrt>{inside}</msqrt>;
/** A mark above a base. */
export const over = (base: Part, mark: string): VNode => (
  <mover accent>
    {base}
    <mo>{mark}</mo>
  </mover>
);
/** Parts one after another. */
export const row = (...parts: readonly Part[]): VNode => <mrow>{parts}</mrow>;
/** A function of what stands in brackets. */
export const call = (name: Part, ...given: readonly Part[]): VNode =>
  row(name, o("("), ...given.flatMap((part, k) => (k === 0 ? [part] : [o(","), part])), o(")"));
/** A squared norm. */
export const normSquared = (...inside: readonly Part[]): VNode => row(o("‖"), ...inside, sup(o("‖"), n("2")));
