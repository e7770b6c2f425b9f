import type { VNode } from "preact";
import { call, frac, i, n, named, o, over, root, row, sub, sup, word } from "../ui/mathml.tsx";
import type { Rule } from "./rules.ts";
import type { SuppressionKind } from "./state.ts";

const a = i("a");
const b = i("b");
const g = i("g");
const overlap = call(word("IoU"), a, g);
const s = i("s");
const t = i("t");

/** Intersection over union. */
export const OVERLAP: readonly VNode[] = [
  row(
    call(word("IoU"), a, b),
    o("="),
    frac(row(o("|"), a, o("∩"), b, o("|")), row(o("|"), a, o("∪"), b, o("|"))),
  ),
];

const byThreshold: readonly VNode[] = [
  row(sub(named("max"), g), overlap, o("≥"), sub(t, word("fg")), o("⇒"), a, o("↦"), g),
  row(sub(named("max"), g), overlap, o("<"), sub(t, word("bg")), o("⇒"), a, o("↦"), n("0")),
];

/** What each rule is about, a formula a line. */
export const RULE_FORMULAS: Readonly<Record<Rule, readonly VNode[]>> = {
  "faster-rcnn": byThreshold,
  "retina-net": byThreshold,
  s3fd: [
    row(overlap, o("≥"), sub(t, n("1")), o(","), i("N"), o("="), over(sub(n("n"), g), "¯")),
    row(i("N"), o("−"), sub(i("n"), g), o(":"), overlap, o(">"), sub(t, n("2"))),
  ],
  atss: [
    row(
      sub(t, g),
      o("="),
      sub(named("mean"), row(a, o("∈"), i("C"))),
      overlap,
      o("+"),
      sub(named("std"), row(a, o("∈"), i("C"))),
      overlap,
    ),
  ],
  faceboxes: [
    row(word("density"), o("="), frac(word("side"), row(word("stride"), o("/"), i("n"))), o("≥"), i("d")),
    ...byThreshold,
  ],
  fcos: [
    row(n("4"), s, o("≤"), call(named("max"), i("l"), i("t"), i("r"), i("b")), o("≤"), n("8"), s),
    row(
      o("|"),
      i("x"),
      o("−"),
      sub(i("x"), g),
      o("|"),
      o(","),
      o("|"),
      i("y"),
      o("−"),
      sub(i("y"), g),
      o("|"),
      o("≤"),
      i("r"),
      s,
    ),
    row(
      word("centerness"),
      o("="),
      root(
        row(
          frac(call(named("min"), i("l"), i("r")), call(named("max"), i("l"), i("r"))),
          frac(call(named("min"), i("t"), i("b")), call(named("max"), i("t"), i("b"))),
        ),
      ),
    ),
  ],
  yolo: [row(t, o("="), sup(i("p"), row(n("1"), o("/"), n("2"))), sup(row(word("IoU")), n("6")))],
  "yolo-v3": [
    row(
      a,
      o("="),
      sub(named("argmax"), a),
      frac(
        row(
          call(named("min"), sub(i("w"), a), sub(i("w"), g)),
          call(named("min"), sub(i("h"), a), sub(i("h"), g)),
        ),
        row(sub(i("w"), a), sub(i("h"), a), o("+"), sub(i("w"), g), sub(i("h"), g), o("−"), o("∩")),
      ),
    ),
  ],
  "yolo-v1": [
    row(
      word("cell"),
      o("="),
      call(i("⌊"), row(i("x"), o("/"), s)),
      o(","),
      call(i("⌊"), row(i("y"), o("/"), s)),
    ),
  ],
  "center-net": [
    row(
      i("Y"),
      o("="),
      named("exp"),
      o("("),
      o("−"),
      frac(
        row(
          sup(row(o("("), i("x"), o("−"), sub(i("x"), g), o(")")), n("2")),
          o("+"),
          sup(row(o("("), i("y"), o("−"), sub(i("y"), g), o(")")), n("2")),
        ),
        row(n("2"), sup(i("σ"), n("2"))),
      ),
      o(")"),
    ),
    row(i("σ"), o("="), frac(row(n("2"), i("r"), o("+"), n("1")), n("6"))),
  ],
};

/** What each way of suppression does to a detection b, given a better one m. */
export const SUPPRESSION_FORMULAS: Readonly<Record<SuppressionKind, readonly VNode[]>> = {
  nms: [row(call(word("IoU"), i("m"), b), o(">"), t, o("⇒"), sub(s, b), o("←"), n("0"))],
  "diou-nms": [
    row(
      call(word("IoU"), i("m"), b),
      o("−"),
      frac(sup(i("ρ"), n("2")), sup(i("c"), n("2"))),
      o(">"),
      t,
      o("⇒"),
      sub(s, b),
      o("←"),
      n("0"),
    ),
  ],
  "soft-linear": [
    row(
      call(word("IoU"), i("m"), b),
      o("≥"),
      t,
      o("⇒"),
      sub(s, b),
      o("←"),
      sub(s, b),
      o("("),
      n("1"),
      o("−"),
      call(word("IoU"), i("m"), b),
      o(")"),
    ),
  ],
  "soft-gaussian": [
    row(
      sub(s, b),
      o("←"),
      sub(s, b),
      named("exp"),
      o("("),
      o("−"),
      frac(sup(call(word("IoU"), i("m"), b), n("2")), i("σ")),
      o(")"),
    ),
  ],
  fusion: [
    row(over(b, "¯"), o("="), frac(row(o("∑"), sub(s, i("k")), sub(b, i("k"))), row(o("∑"), sub(s, i("k"))))),
    row(
      over(s, "¯"),
      o("="),
      frac(call(named("min"), i("n"), i("T")), i("T")),
      o("·"),
      frac(n("1"), i("n")),
      o("∑"),
      sub(s, i("k")),
    ),
  ],
};

/** An object's size in cells, under either pyramid. */
export const PYRAMID: readonly VNode[] = [
  row(word("cells"), o("="), frac(row(word("scale"), o("·"), root(row(i("w"), i("h")))), word("stride"))),
];
