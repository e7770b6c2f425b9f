import { describe, expect, it } from "vitest";
import {
  Ddpm,
  ddpmOptions,
  PATHS,
  RectifiedFlow,
  rectifiedFlowOptions,
} from "../../../src/diffusion/index.ts";
import { ddpm } from "../../../src/diffusion/solver/index.ts";
import { evenSamplerLevels } from "../../../src/diffusion/solver/levels.ts";
import { angularFlow } from "../../../src/diffusion/tasks/index.ts";
import { repaint } from "../../../src/diffusion/tasks/inpainting.ts";
import type { InpaintOptions } from "../../../src/model/capabilities.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { nameParameters } from "../../../src/nn/module.ts";
import { float32 } from "../../../src/tensor/index.ts";
import { Recovery } from "../recovery.ts";
import { exact, normals, triangle } from "../support.ts";
import { CRITICAL, conditional, distance, drawn, expectConditional, processes } from "./conditionals.ts";
import { exactModel, randomSession } from "./exact-model.ts";

describe("repaint", () => {
  const recovery = new Recovery(triangle);

  // Both given coordinates on every process are slow tests.
  it("recovers a conditional distribution on the linear process", () =>
    expectConditional(PATHS.linear, [0.5]));

  it("needs its resamplings", async () => {
    const plain = await drawn(PATHS.vp, 0.5, { steps: 60, resamplings: 1 });
    expect(distance(plain, conditional(0.5))).toBeGreaterThan(1.5 * CRITICAL);
  });

  it.each(Object.entries(processes))(
    "goes back and forth without a change of what is sampled on the %s",
    (_, process) => {
      const levels = evenSamplerLevels({ process, prediction: "v", variance: "lower" }, 40);
      const { table, levels: reached } = repaint(levels, ddpm(levels, { variance: "upper" }), {
        resamplings: 3,
        jump: 5,
      });
      expect(table.rows).toHaveLength(3 * (levels.length - 1));
      // A row begins at the level that the one before it has reached.
      table.rows.slice(1).forEach(({ time }, i) => {
        expect(time).toBe(reached[i]?.time);
      });
      expect(reached.at(-1)?.sigma).toBe(0);
      recovery.expectRecovered(table, exact(triangle, process));
    },
  );

  it("with one turn is DDPM", () => {
    const levels = evenSamplerLevels({ process: PATHS.vp, prediction: "v", variance: "lower" }, 12);
    expect(repaint(levels, ddpm(levels), { resamplings: 1, jump: 5 })).toEqual({
      table: ddpm(levels),
      levels: levels.slice(1),
    });
    expect(() => repaint(levels, angularFlow(levels), { resamplings: 1, jump: 1 })).toThrow(/one row a step/);
    expect(() => repaint(levels, ddpm(levels), { resamplings: 0, jump: 1 })).toThrow(/resamplings/);
  });
});

describe("projection", () => {
  it.each(Object.entries(processes))("follows what is known on the %s process", async (_, process) => {
    // Two clouds far apart: where the first coordinate is, the second must be too.
    const far = [-1, 1].map((side) => ({ weight: 1, mean: [side, -side], variance: [0.01, 0.04] }));
    const { model, session } = await exactModel(far, process);
    const draws = 200;
    /** The share of draws in the right cloud, and their mean there. */
    const complete = async (resamplings: number) => {
      const { data } = await model.inpaint(session, {
        x: float32([-1, Number.NaN], [1, 2]),
        known: float32([1, 0], [1, 2]),
        draws,
        seed: 0,
        method: "projection",
        resamplings,
      });
      const values = Array.from({ length: draws }, (_, k) => data[2 * k + 1] ?? Number.NaN);
      const right = values.filter((value) => value > 0);
      const mean = right.reduce((sum, value) => sum + value, 0) / right.length;
      return { share: right.length / draws, mean };
    };
    const [once, often] = [await complete(1), await complete(10)];
    expect(once.share).toBeGreaterThan(0.75);
    expect(often.share).toBeGreaterThan(0.97);
    expect(Math.abs(often.mean - 1)).toBeLessThan(0.1);
    await session.release();
  });
});

describe("completions", () => {
  const IMAGES: DataInfo = { kind: "image", sampleShape: [1, 8, 8], classes: 3 };
  const SMALL = { channels: 8, multipliers: [1, 2], width: 16, depth: 2 };
  const makers = {
    "rectified flow": () => new RectifiedFlow(rectifiedFlowOptions.parse(SMALL), IMAGES),
    ddpm: () => new Ddpm(ddpmOptions.parse({ ...SMALL, variance: "learned" }), IMAGES),
  };

  it.each(Object.entries(makers))(
    "of images by a %s keep known bytes, and depend on seed and class",
    async (_, make) => {
      const model = nameParameters(make());
      const session = await randomSession(model);
      const x = float32(
        normals(1, [2, 1, 8, 8]).data.map((value) => Math.round(128 + 40 * value)),
        [2, 1, 8, 8],
      );
      const known = float32(
        Array.from({ length: 64 }, (_, i) => Number(i < 32)),
        [1, 1, 8, 8],
      );
      for (const method of ["repaint", "projection"] as const) {
        const shares: number[] = [];
        const base = { x, known, draws: 2, steps: 4, seed: 1, method, label: 1 } as const;
        const complete = (change: Partial<InpaintOptions> = {}) =>
          model.inpaint(session, { ...base, ...(method === "repaint" && { resamplings: 2 }), ...change });
        const first = await complete({ onProgress: (share) => shares.push(share) });
        expect(first.shape).toEqual([2, 2, 1, 8, 8]);
        expect(shares.at(-1)).toBe(1);
        for (let i = 0; i < 2; i++) {
          for (let draw = 0; draw < 2; draw++) {
            const start = (2 * i + draw) * 64;
            expect(first.data.slice(start, start + 32)).toEqual(x.data.slice(64 * i, 64 * i + 32));
          }
        }
        expect(first.data.slice(0, 64)).not.toEqual(first.data.slice(64, 128));
        for (const change of [{ seed: 2 }, { label: [2, 1] }]) {
          expect((await complete(change)).data.slice(0, 64)).not.toEqual(first.data.slice(0, 64));
        }
        // A draw is the same whatever is completed with it.
        const alone = await complete({ x: float32(x.data.slice(0, 64), [1, 1, 8, 8]), draws: 1 });
        alone.data.forEach((value, i) => {
          expect(Math.abs(value - (first.data[i] ?? 0))).toBeLessThan(0.05);
        });
      }
      await expect(model.inpaint(session, { x, known, draws: 1, seed: 0, exact: true })).rejects.toThrow(
        /exact/,
      );
      await expect(model.inpaint(session, { x, known, draws: 1, seed: 0, label: 3 })).rejects.toThrow(
        /0 to 2/,
      );
      await session.release();
    },
  );
});
