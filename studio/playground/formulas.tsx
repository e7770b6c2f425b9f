import type { VNode } from "preact";
import {
  call,
  frac,
  i,
  n,
  named,
  normSquared,
  o,
  over,
  type Part,
  root,
  row,
  sub,
  sup,
  word,
} from "../ui/mathml.tsx";
import type { ModelKey } from "./models.ts";

const x0 = sub(i("x"), n("0"));
const xt = sub(i("x"), i("t"));
const alpha = (at: string): VNode => sub(over(i("α"), "¯"), i(at));
const E = named("E");

/** From noise to data. */
const integral = (
  <msubsup>
    <mo>∫</mo>
    <mn>1</mn>
    <mn>0</mn>
  </msubsup>
);

const minimize = (...loss: readonly Part[]): VNode => row(named("min"), E, ...loss);

const ddpm: readonly VNode[] = [
  row(xt, o("="), root(alpha("t")), x0, o("+"), root(row(n("1"), o("−"), alpha("t"))), i("ε")),
  minimize(
    normSquared(
      call(i("v"), xt, i("t")),
      o("−"),
      o("("),
      root(alpha("t")),
      i("ε"),
      o("−"),
      root(row(n("1"), o("−"), alpha("t"))),
      x0,
      o(")"),
    ),
  ),
];

const flow: readonly VNode[] = [
  row(
    named("log"),
    call(i("p"), i("x")),
    o("="),
    named("log"),
    call(i("N"), row(call(i("f"), i("x")), o(";"), n("0"), o(","), i("I"))),
    o("+"),
    named("log"),
    o("|"),
    named("det"),
    frac(row(o("∂"), i("f")), row(o("∂"), i("x"))),
    o("|"),
  ),
];

const rectifiedFlow: readonly VNode[] = [
  row(xt, o("="), o("("), n("1"), o("−"), i("t"), o(")"), x0, o("+"), i("t"), i("ε")),
  minimize(normSquared(call(i("v"), xt, i("t")), o("−"), o("("), i("ε"), o("−"), x0, o(")"))),
  row(frac(row(word("d"), i("x")), row(word("d"), i("t"))), o("="), call(i("v"), i("x"), i("t"))),
];

/** What each model is about, a formula a line. */
export const FORMULAS: Readonly<Record<ModelKey, readonly VNode[]>> = {
  "rectified-flow": rectifiedFlow,
  reflow: [
    row(x0, o("="), i("ε"), o("+"), integral, call(i("v"), xt, i("t")), word("d"), i("t")),
    ...rectifiedFlow.slice(0, 2),
  ],
  "score-sde": [
    row(
      word("d"),
      i("x"),
      o("="),
      o("−"),
      frac(i("β"), n("2")),
      i("x"),
      word("d"),
      i("t"),
      o("+"),
      root(i("β")),
      word("d"),
      i("w"),
    ),
    row(
      word("d"),
      i("x"),
      o("="),
      o("["),
      o("−"),
      frac(i("β"), n("2")),
      i("x"),
      o("−"),
      i("β"),
      o("∇"),
      named("log"),
      call(sub(i("p"), i("t")), i("x")),
      o("]"),
      word("d"),
      i("t"),
      o("+"),
      root(i("β")),
      word("d"),
      over(i("w"), "¯"),
    ),
  ],
  ddpm,
  ddim: [
    row(
      sub(i("x"), i("s")),
      o("="),
      root(alpha("s")),
      over(x0, "^"),
      o("+"),
      root(row(n("1"), o("−"), alpha("s"), o("−"), sup(i("σ"), n("2")))),
      over(i("ε"), "^"),
      o("+"),
      i("σ"),
      i("z"),
    ),
    row(
      i("σ"),
      o("="),
      i("η"),
      root(frac(row(n("1"), o("−"), alpha("s")), row(n("1"), o("−"), alpha("t")))),
      root(row(n("1"), o("−"), frac(alpha("t"), alpha("s")))),
    ),
  ],
  "spline-flow": flow,
  "real-nvp": flow,
  maf: flow,
  nice: flow,
  vae: [
    row(
      named("log"),
      call(i("p"), i("x")),
      o("≥"),
      sub(E, i("q")),
      named("log"),
      call(i("p"), row(i("x"), o("|"), i("z"))),
      o("−"),
      call(word("KL"), row(call(i("q"), row(i("z"), o("|"), i("x"))), o("‖"), call(i("p"), i("z")))),
    ),
  ],
  gan: [
    row(
      sub(i("L"), i("D")),
      o("="),
      o("−"),
      E,
      named("log"),
      call(i("D"), i("x")),
      o("−"),
      E,
      named("log"),
      o("("),
      n("1"),
      o("−"),
      call(i("D"), call(i("G"), i("z"))),
      o(")"),
    ),
    row(sub(i("L"), i("G")), o("="), o("−"), E, named("log"), call(i("D"), call(i("G"), i("z")))),
  ],
};
