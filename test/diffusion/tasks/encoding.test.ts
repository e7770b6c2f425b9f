import { beforeAll, describe, expect, it } from "vitest";
import { openDigits } from "../../../src/data/sources/digits.node.ts";
import { DiscreteSchedule, GaussianMixture, PATHS, type Process } from "../../../src/diffusion/index.ts";
import type { NoiseLevel } from "../../../src/diffusion/path/index.ts";
import { ddim, interpretTable, type SolverTable } from "../../../src/diffusion/solver/index.ts";
import { evenLevels } from "../../../src/diffusion/solver/levels.ts";
import { angularFlow } from "../../../src/diffusion/tasks/index.ts";
import { Random } from "../../../src/random.ts";
import type { NdArray } from "../../../src/tensor/index.ts";
import { exact, inFloat32, plane } from "../support.ts";
import { CLOUDS, exactModel, mixtureOf } from "./exact-model.ts";

const processes: Readonly<Record<string, Process>> = {
  chain: DiscreteSchedule.of("linear", { steps: 1000 }),
  "chain of zero terminal SNR": DiscreteSchedule.of("cosine", { steps: 1000, zeroTerminal: true }),
  linear: PATHS.linear,
  trigonometric: PATHS.trigonometric,
  vp: PATHS.vp,
  "sub-vp": PATHS["sub-vp"],
  ve: PATHS.ve,
  edm: PATHS.edm,
};

const subjectOf = (process: Process) => ({ process, prediction: "v", variance: "lower" }) as const;

function times(x: NdArray<"float64">, factor: number): NdArray<"float64"> {
  return { ...x, data: x.data.map((value) => factor * value) };
}

function rootMeanSquare(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] ?? Number.NaN) - (b[i] ?? 0)) ** 2;
  return Math.sqrt(sum / a.length);
}

/** Codes of samples of a mixture, and what is made of these. */
function thereAndBack(
  mixture: GaussianMixture,
  process: Process,
  solver: (levels: readonly NoiseLevel[]) => SolverTable,
  steps: number,
  x: NdArray<"float64">,
): { readonly code: NdArray<"float64">; readonly back: NdArray<"float64"> } {
  const levels = evenLevels(subjectOf(process), steps).toReversed();
  const [first, last] = [levels[0], levels.at(-1)] as [NoiseLevel, NoiseLevel];
  const denoiser = exact(mixture, process);
  const noisy = interpretTable(solver(levels), denoiser, times(x, first.alpha));
  const back = interpretTable(solver(levels.toReversed()), denoiser, noisy);
  return {
    code: times(noisy, 1 / Math.hypot(last.alpha, last.sigma)),
    back: times(back, 1 / first.alpha),
  };
}

describe.each(Object.entries(processes))("codes on the %s process, with the exact denoiser", (_, process) => {
  const x = plane.sample(1000, new Random(4));

  it("come back, and are standard normal", () => {
    const { code, back } = thereAndBack(plane, process, angularFlow, 50, x);
    expect(rootMeanSquare(back.data, x.data)).toBeLessThan(3e-3);
    const values = Array.from(code.data);
    const moment = (k: number): number => values.reduce((sum, v) => sum + v ** k, 0) / values.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.06);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.08);
    expect(Math.abs(moment(4) / moment(2) ** 2 - 3)).toBeLessThan(0.3);
    // Coordinates do not depend on each other either.
    let product = 0;
    for (let i = 0; i < values.length; i += 2) product += (values[i] ?? 0) * (values[i + 1] ?? 0);
    expect(Math.abs((2 * product) / values.length)).toBeLessThan(0.07);
  });

  it("are found to second order, and by DDIM to first", () => {
    const some = { ...x, shape: [40, 2], data: x.data.slice(0, 80) };
    const codeOf = (solver: (levels: readonly NoiseLevel[]) => SolverTable, steps: number) =>
      thereAndBack(plane, process, solver, steps, some).code.data;
    // Steps of a chain are fine where a step of the solver is many of them.
    const steps = process instanceof DiscreteSchedule ? [9, 27] : [20, 60];
    const best = codeOf(angularFlow, process instanceof DiscreteSchedule ? 333 : 500);
    const slope = (solver: (levels: readonly NoiseLevel[]) => SolverTable): number => {
      const [coarse, fine] = steps.map((count) => rootMeanSquare(codeOf(solver, count), best));
      return Math.log((coarse ?? 0) / (fine ?? 0)) / Math.log(3);
    };
    expect(Math.abs(slope(angularFlow) - 2)).toBeLessThan(0.4);
    expect(Math.abs(slope((levels) => ddim(levels)) - 1)).toBeLessThan(0.25);
  });
});

describe("digits", () => {
  let x: NdArray<"float64">;
  let mixture: GaussianMixture;

  beforeAll(async () => {
    const { train } = (await openDigits()).splits;
    const { data } = train.batch(Array.from({ length: 20 }, (_, i) => 400 * i)).x;
    mixture = new GaussianMixture(
      Array.from({ length: 20 }, (_, i) => ({
        mean: Array.from(data.subarray(784 * i, 784 * (i + 1)), (byte) => byte / 127.5 - 1),
        variance: 0.02,
      })),
    );
    x = mixture.sample(3, new Random(1));
  });

  /** Peak signal-to-noise ratio of what comes back, in decibels. */
  function psnr(name: string, solver: (levels: readonly NoiseLevel[]) => SolverTable, steps: number): number {
    const { back } = thereAndBack(mixture, processes[name] as Process, solver, steps, x);
    return 20 * Math.log10(2 / rootMeanSquare(back.data, x.data));
  }

  it("come back by 100 steps of DDIM on DDPM's chain", () => {
    expect(psnr("chain", (levels) => ddim(levels), 100)).toBeGreaterThan(30);
  });

  it.each(["chain", "linear", "edm"])(
    "come back by as many evaluations of Heun's method on the %s",
    (name) => {
      expect(psnr(name, angularFlow, 50)).toBeGreaterThan(50);
    },
  );
});

describe("a model's codes", () => {
  const x = inFloat32(mixtureOf(CLOUDS).sample(60, new Random(3)));

  it.each(Object.entries(processes))(
    "on the %s process are made and undone in a session",
    async (_, process) => {
      const { model, session } = await exactModel(CLOUDS, process);
      const z = await model.encodeArray(session, x);
      expect(z.shape).toEqual([60, 2]);
      const back = await model.decodeArray(session, z);
      expect(back.shape).toEqual(x.shape);
      expect(rootMeanSquare(back.data, x.data)).toBeLessThan(3e-3);
      expect(rootMeanSquare(z.data, x.data)).toBeGreaterThan(0.1);
      // The session follows the same steps as the table in float64.
      const { code } = thereAndBack(mixtureOf(CLOUDS), process, angularFlow, 50, {
        ...x,
        dtype: "float64",
        data: Float64Array.from(x.data),
      });
      expect(rootMeanSquare(z.data, code.data)).toBeLessThan(2e-3);
      const coarse = await model.encodeArray(session, x, { solver: "ddim", steps: 10 });
      expect(rootMeanSquare(coarse.data, z.data)).toBeGreaterThan(1e-2);
      await session.release();
    },
  );
});
