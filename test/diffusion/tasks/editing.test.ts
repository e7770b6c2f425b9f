import { describe, expect, it } from "vitest";
import {
  DiscreteSchedule,
  PATHS,
  type Process,
  RectifiedFlow,
  rectifiedFlowOptions,
} from "../../../src/diffusion/index.ts";
import { nameParameters } from "../../../src/nn/module.ts";
import { float32 } from "../../../src/tensor/index.ts";
import { exactModel, randomSession } from "./exact-model.ts";

const processes: Readonly<Record<string, Process>> = {
  chain: DiscreteSchedule.of("linear", { steps: 1000 }),
  vp: PATHS.vp,
  linear: PATHS.linear,
  edm: PATHS.edm,
};

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe.each(Object.entries(processes))("edits on the %s process", (_, process) => {
  // One Gaussian: what an edit's distribution is can be said in closed form.
  const variance = 0.5;
  const draws = 1500;

  it.each([0, 1])("are draws of x given its noised self, with eta %d", async (eta) => {
    const { model, session } = await exactModel([{ weight: 1, mean: [0.4], variance: [variance] }], process);
    const x = 1.5;
    const edit = async (strength: number) => {
      const { data, shape } = await model.edit(session, {
        x: float32([x], [1, 1]),
        strength,
        draws,
        seed: 3,
        eta,
        steps: 100,
      });
      expect(shape).toEqual([1, draws, 1]);
      return Array.from(data);
    };
    for (const strength of [0.1, 0.5, 0.9]) {
      const values = await edit(strength);
      const level = process.levelAt(Math.tan((strength * Math.PI) / 2));
      // x₀ given x_t has mean m + κ (x_t − α m) with κ = α v / (α² v + σ²) and variance v σ² / (α² v + σ²).
      const { alpha, sigma } = level;
      const total = alpha * alpha * variance + sigma * sigma;
      const kept = (alpha * variance) / total;
      const spread = eta === 1 ? (variance * sigma * sigma) / total : 0;
      // Of the flow x₀ = m + √(v / total) (x_t − α m).
      const slope = eta === 1 ? kept : Math.sqrt(variance / total);
      const expected = 0.4 + slope * alpha * (x - 0.4);
      const deviation = Math.sqrt(spread + (slope * sigma) ** 2);
      const found = mean(values);
      const around = Math.sqrt(mean(values.map((value) => (value - found) ** 2)));
      expect(Math.abs(found - expected)).toBeLessThan(0.06);
      expect(Math.abs(around / deviation - 1)).toBeLessThan(0.1);
    }
    await session.release();
  });
});

describe("an edit", () => {
  it("keeps the more of a sample the weaker it is, whatever is edited with it", async () => {
    const data = { kind: "image", sampleShape: [1, 8, 8], classes: 3 } as const;
    const options = rectifiedFlowOptions.parse({ channels: 8, multipliers: [1, 2] });
    const model = nameParameters(new RectifiedFlow(options, data));
    const session = await randomSession(model);
    const x = float32(
      Array.from({ length: 128 }, (_, i) => (37 * i) % 256),
      [2, 1, 8, 8],
    );
    const base = { x, draws: 2, seed: 1, steps: 5, label: 2 } as const;
    const away = async (strength: number): Promise<number> => {
      const edited = await model.edit(session, { ...base, strength });
      return mean(
        Array.from(edited.data, (value, i) =>
          Math.abs(value - (x.data[(i % 64) + 64 * Math.floor(i / 128)] ?? 0)),
        ),
      );
    };
    const distances = [await away(0.05), await away(0.3), await away(0.8)];
    expect(distances[0]).toBeLessThan(distances[1] ?? 0);
    expect(distances[1]).toBeLessThan(distances[2] ?? 0);
    const both = await model.edit(session, { ...base, strength: 0.4 });
    const alone = await model.edit(session, {
      ...base,
      strength: 0.4,
      x: float32(x.data.slice(0, 64), [1, 1, 8, 8]),
    });
    alone.data.forEach((value, i) => {
      expect(Math.abs(value - (both.data[i] ?? 0))).toBeLessThan(0.05);
    });
    const other = await model.edit(session, { ...base, strength: 0.4, label: 1 });
    expect(other.data).not.toEqual(both.data);
    await expect(model.edit(session, { ...base, strength: 0 })).rejects.toThrow(/strength/);
    await expect(model.edit(session, { ...base, strength: 0.5, label: 3 })).rejects.toThrow(/0 to 2/);
    await session.release();
  });
});
