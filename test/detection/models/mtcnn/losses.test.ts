import { describe, expect, it } from "vitest";
import { cropLosses, hardest, LOSS_WEIGHTS } from "../../../../src/detection/models/mtcnn/losses.ts";
import { Random } from "../../../../src/random.ts";
import { float32, grad, input, type NdArray } from "../../../../src/tensor/index.ts";
import { runAll } from "../../../tensor/support.ts";

const COUNT = 24;
const random = new Random(2);
const drawn = (length: number): number[] => Array.from({ length }, () => random.normal());
const kinds = Array.from({ length: COUNT }, (_, i) => [0, 2, 3, 0, 1, 3, 0, -1][i % 8] ?? 0);
const given = {
  logits: drawn(2 * COUNT),
  offsets: drawn(4 * COUNT),
  landmarks: drawn(10 * COUNT),
  targets: drawn(4 * COUNT),
  marks: drawn(10 * COUNT),
  marked: Array.from({ length: 10 * COUNT }, () => Number(random.uniform() < 0.8)),
};

/** The losses as a plain loop has them, in float64. */
function plain({ logits, offsets, landmarks }: typeof given) {
  const judged: number[] = [];
  let [box, boxes, points, faces] = [0, 0, 0, 0];
  for (const [i, kind] of kinds.entries()) {
    const [background = 0, object = 0] = logits.slice(2 * i, 2 * i + 2);
    const right = kind === 2 ? object : background;
    if (kind === 0 || kind === 2) judged.push(Math.log(Math.exp(background) + Math.exp(object)) - right);
    const squares = (values: number[], wanted: number[], width: number, weights?: number[]) =>
      Array.from({ length: width }, (_, j) => width * i + j).reduce(
        (sum, at) => sum + (weights?.[at] ?? 1) * ((values[at] ?? 0) - (wanted[at] ?? 0)) ** 2,
        0,
      );
    if (kind === 1 || kind === 2) {
      box += squares(offsets, given.targets, 4);
      boxes++;
    }
    if (kind === 3) {
      points += squares(landmarks, given.marks, 10, given.marked);
      faces++;
    }
  }
  const hard = judged.toSorted((a, b) => b - a).slice(0, Math.floor(0.7 * judged.length + 1e-9));
  const of = hard.reduce((a, b) => a + b, 0) / hard.length;
  return { class: of, box: box / boxes, landmarks: points / faces };
}

function symbolic(stage: "pnet" | "onet") {
  const [logits, offsets, landmarks] = [
    input("logits", stage === "pnet" ? [COUNT, 2, 1, 1] : [COUNT, 2]),
    input("offsets", stage === "pnet" ? [COUNT, 4, 1, 1] : [COUNT, 4]),
    input("landmarks", stage === "pnet" ? [COUNT, 10, 1, 1] : [COUNT, 10]),
  ];
  const losses = cropLosses(
    stage,
    { logits, offsets, landmarks },
    {
      kinds: input("kinds", [COUNT], "int64"),
      offsets: input("targets", [COUNT, 4]),
      landmarks: input("marks", [COUNT, 10]),
      marked: input("marked", [COUNT, 10]),
    },
  );
  const [dLogits, dOffsets, dLandmarks] = grad(losses.total, [logits, offsets, landmarks]);
  if (dLogits === undefined || dOffsets === undefined || dLandmarks === undefined)
    throw new Error("no gradient");
  const tail = stage === "pnet" ? [1, 1] : [];
  const feeds: Record<string, NdArray> = {
    logits: float32(given.logits, [COUNT, 2, ...tail]),
    offsets: float32(given.offsets, [COUNT, 4, ...tail]),
    landmarks: float32(given.landmarks, [COUNT, 10, ...tail]),
    kinds: { dtype: "int64", shape: [COUNT], data: BigInt64Array.from(kinds, BigInt) },
    targets: float32(given.targets, [COUNT, 4]),
    marks: float32(given.marks, [COUNT, 10]),
    marked: float32(given.marked, [COUNT, 10]),
  };
  return { outputs: { ...losses, dLogits, dOffsets, dLandmarks }, feeds };
}

describe("losses of crops", () => {
  it.each(["pnet", "onet"] as const)(
    "of %s, with their gradients, are those of a plain loop",
    async (stage) => {
      const { outputs, feeds } = symbolic(stage);
      const [result] = await runAll(outputs, [feeds]);
      const value = (name: string): readonly number[] => result?.[name]?.data ?? [];
      const expected = plain(given);
      const weights = LOSS_WEIGHTS[stage];
      const totalOf = (at: typeof given) => {
        const losses = plain(at);
        return weights.class * losses.class + weights.box * losses.box + weights.landmarks * losses.landmarks;
      };
      expect(value("class")[0]).toBeCloseTo(expected.class, 5);
      expect(value("box")[0]).toBeCloseTo(expected.box, 4);
      expect(value("landmarks")[0]).toBeCloseTo(expected.landmarks, 4);
      expect(value("total")[0]).toBeCloseTo(totalOf(given), 4);
      for (const [name, field] of [
        ["dLogits", "logits"],
        ["dOffsets", "offsets"],
        ["dLandmarks", "landmarks"],
      ] as const) {
        for (const [i, derivative] of value(name).entries()) {
          const moved = (by: number) =>
            totalOf({ ...given, [field]: given[field].with(i, (given[field][i] ?? 0) + by) });
          expect(derivative).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 4);
        }
      }
    },
  );

  it("without a crop that counts are 0, and of one the hardest is itself", async () => {
    const losses = input("losses", [3]);
    const counts = input("counts", [3], "bool");
    const bools = (values: readonly number[]): NdArray => ({
      dtype: "bool",
      shape: [3],
      data: Uint8Array.from(values),
    });
    const fed = float32([0.5, 2, 1], [3]);
    const results = await runAll({ y: hardest(losses, counts) }, [
      { losses: fed, counts: bools([0, 0, 0]) },
      { losses: fed, counts: bools([0, 0, 1]) },
      { losses: fed, counts: bools([1, 1, 1]) },
    ]);
    expect(results.map((result) => result.y?.data[0])).toEqual([0, 1, 1.5]);
  });
});
