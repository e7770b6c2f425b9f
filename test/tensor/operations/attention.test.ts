import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { constant, input } from "../../../src/tensor/leaves.ts";
import { type AttentionOptions, scaledDotProductAttention } from "../../../src/tensor/operations/matmul.ts";
import {
  at,
  broadcastAt,
  build,
  checkOperation,
  expectClose,
  generator,
  randomValues,
  runAll,
  toArray,
  type Values,
} from "../support.ts";

/** Attention by its definition; `score` changes a score (−∞: not attended to). */
function attention(
  q: Values,
  k: Values,
  v: Values,
  score: (value: number, position: readonly number[]) => number = (value) => value,
): Values {
  const [d = 1, s = 0] = [q.shape.at(-1), k.shape.at(-2)];
  const lead = q.shape.slice(0, -1);
  return build([...lead, v.shape.at(-1) ?? 1], (position) => {
    const [head, i, e] = [position.slice(0, -2), position.at(-2) ?? 0, position.at(-1) ?? 0];
    let [total, sum] = [0, 0];
    for (let j = 0; j < s; j++) {
      let dot = 0;
      for (let p = 0; p < d; p++) dot += broadcastAt(q, [...head, i, p]) * broadcastAt(k, [...head, j, p]);
      const weight = Math.exp(score(dot / Math.sqrt(d), [...head, i, j]));
      sum += weight;
      total += weight * broadcastAt(v, [...head, j, e]);
    }
    return total / sum;
  });
}

const mask: Values = { shape: [3, 4], data: [1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1] };
const added = randomValues([2, 1, 3, 4], generator(20));

describe("scaledDotProductAttention", () => {
  const masks: Readonly<
    Record<string, readonly [() => AttentionOptions, (value: number, position: readonly number[]) => number]>
  > = {
    "without a mask": [() => ({}), (value) => value],
    "with a causal mask": [
      () => ({ causal: true }),
      (value, position) =>
        (position.at(-1) ?? 0) > (position.at(-2) ?? 0) ? Number.NEGATIVE_INFINITY : value,
    ],
    "with a boolean mask": [
      () => ({ mask: constant(toArray(mask, "bool")) }),
      (value, position) => (broadcastAt(mask, position) === 0 ? Number.NEGATIVE_INFINITY : value),
    ],
    "with a mask that is added": [
      () => ({ mask: constant(toArray(added, "float32")) }),
      (value, position) => value + broadcastAt(added, position),
    ],
  };

  for (const [name, [options, score]] of Object.entries(masks)) {
    it(`computes values, gradients and second derivatives ${name}`, async () => {
      const random = generator(1);
      // Of width 4: the factor 1/2 is exact also where the runtime keeps it as a float32 attribute of a product.
      const float32Only = name.includes("added");
      await checkOperation(
        {
          name: `attention ${name}`,
          float32Only,
          apply: (q, k, v) => scaledDotProductAttention(q, k, v, options()),
          reference: (q, k, v) => attention(q, k, v, score),
        },
        [
          randomValues([2, 2, 3, 4], random),
          randomValues([2, 2, 4, 4], random),
          randomValues([2, 2, 4, 3], random),
        ],
      );
    });
  }

  it("shares keys and values among heads by broadcasting, for any batch", async () => {
    const random = generator(2);
    const q = randomValues([2, 3, 2, 2], random);
    const [k, v] = [randomValues([2, 1, 4, 2], random), randomValues([2, 1, 4, 2], random)];
    const y = scaledDotProductAttention(
      input("q", ["batch", 3, 2, 2]),
      input("k", ["batch", 1, 4, 2]),
      input("v", ["batch", 1, 4, 2]),
    );
    const feed = { q: toArray(q, "float32"), k: toArray(k, "float32"), v: toArray(v, "float32") };
    const [result] = await runAll({ y }, [feed]);
    expectClose(result?.y, attention(q, k, v), 1e-5, "broadcast heads");
  });

  it("gives finite numbers where a row is masked entirely", async () => {
    const all = constant(toArray({ shape: [1, 2], data: [0, 0] }, "bool"));
    const random = generator(3);
    const [q, k, v] = [
      randomValues([1, 2], random),
      randomValues([2, 2], random),
      randomValues([2, 2], random),
    ];
    const y = scaledDotProductAttention(input("q", q.shape), input("k", k.shape), input("v", v.shape), {
      mask: all,
    });
    const feed = { q: toArray(q, "float32"), k: toArray(k, "float32"), v: toArray(v, "float32") };
    const [result] = await runAll({ y }, [feed]);
    const mean = build([1, 2], ([, e = 0]) => (at(v, [0, e]) + at(v, [1, e])) / 2);
    expectClose(result?.y, mean, 1e-5, "masked row");
  });

  it("names the operation and the shapes where they do not fit", () => {
    const bad = () => scaledDotProductAttention(input("q", [3, 2]), input("k", [4, 3]), input("v", [4, 3]));
    expect(bad).toThrow(ShapeError);
    expect(bad).toThrow(/scaledDotProductAttention: \[3, 2\] and \[4, 3\] and \[4, 3\]/);
  });
});
