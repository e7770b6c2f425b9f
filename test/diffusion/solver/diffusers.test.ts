import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { DiscreteSchedule } from "../../../src/diffusion/index.ts";
import { type Prediction, predictionChange } from "../../../src/diffusion/objective/index.ts";
import {
  type BetaSchedule,
  CLEAN,
  karrasRatios,
  linearPath,
  type NoiseLevel,
  shiftedTimes,
} from "../../../src/diffusion/path/index.ts";
import {
  checkedSteps,
  ddim,
  ddpm,
  dpmSolver,
  edm,
  interpretTable,
  probabilityFlow,
  type SolverTable,
  type StepSpacing,
  selectSteps,
} from "../../../src/diffusion/solver/index.ts";
import { evenTimes } from "../../../src/ode/index.ts";
import { float32, type NdArray } from "../../../src/tensor/index.ts";

// Schedules, choices of steps and whole runs against diffusers. Where that library departs from the mathematics, the
// test follows the mathematics and says so.

interface Run {
  readonly name: "ddpm" | "ddim" | "heun" | "dpm" | "flow";
  readonly steps: readonly number[];
  readonly spacing: StepSpacing | "custom";
  readonly states: readonly (readonly number[])[];
  readonly noises?: readonly (readonly number[])[];
  readonly variance?: "fixed_small" | "fixed_large" | "learned_range";
  readonly prediction?: "epsilon" | "sample" | "v_prediction";
  readonly eta?: number;
  readonly order?: 1 | 2;
  readonly sigmas?: readonly number[];
  readonly karras?: boolean;
  readonly shift?: number;
}

interface Spacing {
  readonly spacing: StepSpacing;
  readonly count: number;
  readonly length: number;
  readonly sum: number;
  readonly steps?: readonly number[];
  readonly first?: readonly number[];
  readonly last?: readonly number[];
}

interface Fixture {
  readonly at: readonly number[];
  readonly schedules: Readonly<
    Record<BetaSchedule, { readonly bars: readonly number[]; readonly zeroTerminal: readonly number[] }>
  >;
  readonly spacings: readonly Spacing[];
  readonly runs: readonly Run[];
}

const fixture: Fixture = JSON.parse(
  await readFile(new URL("../../fixtures/diffusion/schedulers.json", import.meta.url), "utf8"),
);

const T = 1000;
const schedule = DiscreteSchedule.of("linear", { steps: T });

/** Step t of ours is index t − 1 of diffusers; its index −1, after the last, is data. */
const stepsOf = (indices: readonly number[]): readonly number[] => [...indices.map((index) => index + 1), 0];

const network = (x: number, index: number): number =>
  0.6 * Math.tanh(x) + 0.3 * Math.sin((3 * index) / T + 2 * x);

const PREDICTIONS = { epsilon: "noise", sample: "data", v_prediction: "v" } as const;

interface Reference {
  /** The index that the network is given at a level. */
  readonly indexOf?: (level: NoiseLevel) => number;
  readonly prediction?: Prediction;
  readonly learned?: boolean;
  /** The level at the time of a row. */
  readonly levelAt?: (time: number) => NoiseLevel & { alphaRate?: number; sigmaRate?: number };
}

/** The states of a run of ours, from the same start with the same noise. */
function statesOf(
  table: SolverTable,
  start: readonly number[],
  { noises }: Pick<Run, "noises">,
  {
    indexOf = ({ time }) => time * T - 1,
    prediction = "noise",
    learned = false,
    levelAt = (time) => schedule.at(time),
  }: Reference = {},
): readonly (readonly number[])[] {
  const states: number[][] = [];
  const x: NdArray<"float64"> = { dtype: "float64", shape: [start.length], data: Float64Array.from(start) };
  interpretTable(
    table,
    (at, time) => {
      const level = levelAt(time);
      const { state, output } = predictionChange(
        { alphaRate: 0, sigmaRate: 0, ...level },
        prediction,
        "data",
      );
      const denoised = at.data.map((value) => state * value + output * network(value, indexOf(level)));
      return {
        denoised: { ...at, data: denoised },
        ...(learned && { variance: { ...at, data: at.data.map((v) => (Math.tanh(v - 0.5) + 1) / 2) } }),
      };
    },
    x,
    {
      noise: (i) => float32(noises?.[i] ?? [], [start.length]),
      onRow: (state) => states.push([...state.data]),
    },
  );
  return states;
}

function expectSame(found: readonly (readonly number[])[], expected: readonly (readonly number[])[]): void {
  expect(found.length).toBe(expected.length);
  found.forEach((state, i) => {
    state.forEach((value, k) => {
      const wanted = expected[i]?.[k] ?? Number.NaN;
      expect(Math.abs(value - wanted), `row ${i}, element ${k}: ${value}, not ${wanted}`).toBeLessThan(
        1e-5 * Math.max(1, Math.abs(wanted)),
      );
    });
  });
}

const runsOf = (name: Run["name"]) => fixture.runs.filter((run) => run.name === name);

describe("noise schedules", () => {
  const options = {
    linear: {},
    "scaled-linear": { first: 0.00085, last: 0.012 },
    cosine: {},
    sigmoid: {},
  } as const;

  it.each(Object.keys(fixture.schedules) as BetaSchedule[])("%s", (name) => {
    const { bars, zeroTerminal } = fixture.schedules[name];
    const own = DiscreteSchedule.of(name, { steps: T, ...options[name] });
    const rescaled = DiscreteSchedule.of(name, { steps: T, ...options[name], zeroTerminal: true });
    fixture.at.forEach((index, i) => {
      expect(Math.abs((own.alphaBars[index + 1] ?? 0) - (bars[i] ?? 0))).toBeLessThan(1e-5);
      expect(Math.abs((rescaled.alphaBars[index + 1] ?? 0) - (zeroTerminal[i] ?? 0))).toBeLessThan(1e-5);
    });
    expect(rescaled.level(T)).toEqual({ time: 1, alpha: 0, sigma: 1 });
  });
});

describe("choices of steps", () => {
  it.each(fixture.spacings)("$spacing, $count of 1000", ({ spacing, count, steps, ...known }) => {
    const own = selectSteps(T, count, spacing)
      .slice(0, -1)
      .map((t) => t - 1);
    expect(own.length).toBe(count);
    if (spacing === "linspace" && count === 1) {
      // diffusers begins, and ends, at index 0, next to data: NumPy's linspace of one number. There must be noise.
      expect(steps).toEqual([0]);
      expect(own).toEqual([999]);
      return;
    }
    if (known.length !== count) {
      // With 61 and 103 steps, among others, diffusers returns one more, index −1: the step 1000 / 61 times 61 falls short
      // of 1000 in floating point, and NumPy's arange goes on.
      expect([61, 103]).toContain(count);
      expect(known.length).toBe(count + 1);
      expect(own.slice(0, 3)).toEqual(known.first);
      expect(own.slice(-2)).toEqual(known.last?.slice(0, 2));
      return;
    }
    if (spacing === "linspace" && [61, 103].includes(count)) {
      // Places like 10 · 999 / 60 = 166.5 stand between two steps. NumPy multiplies a rounded 999 / 60 and falls on either
      // side; we compute the place itself and round to the even neighbor.
      expect(Math.abs(own.reduce((a, b) => a + b, 0) - known.sum)).toBeLessThanOrEqual(3);
      return;
    }
    expect(own.reduce((a, b) => a + b, 0)).toBe(known.sum);
    if (steps) expect(own).toEqual(steps);
    else expect([own.slice(0, 3), own.slice(-3)]).toEqual([known.first, known.last]);
  });
});

describe("DDPM", () => {
  it.each(runsOf("ddpm"))("$spacing steps, $variance variance", (run) => {
    const variances = { fixed_small: "lower", fixed_large: "upper", learned_range: "learned" } as const;
    const steps = checkedSteps(T, stepsOf(run.steps));
    if (run.spacing !== "custom") expect(steps).toEqual(selectSteps(T, run.steps.length, run.spacing));
    const table = ddpm(schedule.levels(steps), { variance: variances[run.variance ?? "fixed_small"] });
    const [start = [], ...expected] = run.states;
    const found = statesOf(table, start, run, { learned: run.variance === "learned_range" });
    const endsAtFirst = steps.at(-2) === 1;
    if (run.variance === "fixed_large" && !endsAtFirst) {
      // diffusers leaves out the noise of the last step only where that is index 0; with trailing steps it ends with the
      // whole variance β of a long step. Algorithm 2 has z = 0 in the last step.
      expectSame(found.slice(0, -1), expected.slice(0, -1));
      const { sigma } = schedule.level(steps.at(-2) ?? 0);
      const noise = run.noises?.at(-1) ?? [];
      const denoised = expected.at(-1)?.map((value, k) => value - sigma * (noise[k] ?? 0)) ?? [];
      expectSame([found.at(-1) ?? []], [denoised]);
      return;
    }
    expectSame(found, expected);
  });
});

describe("DDIM", () => {
  it.each(runsOf("ddim"))("$spacing steps, predicts $prediction, eta $eta", (run) => {
    const { spacing, prediction = "epsilon", eta = 0 } = run;
    const steps = stepsOf(run.steps);
    expect(steps).toEqual(selectSteps(T, run.steps.length, spacing as StepSpacing));
    const [start = [], ...expected] = run.states;
    const options = { prediction: PREDICTIONS[prediction] };
    const count = run.steps.length;
    // diffusers does not read the step after t off its list: it is t − ⌊1000 / N⌋, whatever the list holds. This is right for
    // leading steps, and for trailing ones where N divides 1000 except at their end, which is index 0, not data.
    const jump = Math.floor(T / count);
    const theirs = steps.slice(0, -1).map((t) => Math.max(0, t - jump));
    if (theirs.every((t, i) => t === steps[i + 1])) {
      expectSame(statesOf(ddim(schedule.levels(steps), { eta }), start, run, options), expected);
      return;
    }
    expect(spacing).not.toBe("leading");
    // Step by step from their states, the formula is the same with the step that they take for the next one …
    let state = start;
    const own = ddim(schedule.levels(steps));
    theirs.forEach((next, i) => {
      const levels = schedule.levels([steps[i] ?? 0, next]);
      expectSame(statesOf(ddim(levels), state, run, options), [expected[i] ?? []]);
      state = expected[i] ?? [];
    });
    // … and ours arrives at the levels of the list.
    expect(own.rows.map(({ next }) => Math.round(next * T))).toEqual(steps.slice(1));
  });
});

describe("Heun", () => {
  it.each(runsOf("heun"))("$spacing steps, Karras $karras", (run) => {
    const sigmas = (run.sigmas ?? []).filter((sigma, i, all) => sigma !== all[i - 1]);
    const [first = 1] = sigmas;
    const least = sigmas.at(-2) ?? 1;
    if (run.karras) {
      karrasRatios(sigmas.length - 1, { least, largest: first }).forEach((ratio, i) => {
        expect(ratio / (sigmas[i] ?? 0)).toBeCloseTo(1, 5);
      });
      // Between two steps they interpolate log σ, we the angle arctan σ: they differ by less than a hundredth of a step.
      sigmas.slice(0, -1).forEach((sigma, i) => {
        const index = run.steps[Math.max(0, 2 * i - 1)] ?? Number.NaN;
        expect(Math.abs(schedule.levelAt(sigma).time * T - 1 - index)).toBeLessThan(0.01);
      });
    }
    // The index is the fixture's own, which may stand between two steps.
    const levels = sigmas.map((ratio, i): NoiseLevel => {
      const time = ((run.steps[Math.max(0, 2 * i - 1)] ?? -1) + 1) / T;
      return ratio === 0
        ? CLEAN
        : { time, alpha: 1 / Math.hypot(1, ratio), sigma: ratio / Math.hypot(1, ratio) };
    });
    // Their state is x / α.
    const [start = [], ...expected] = run.states.map((state, i) => {
      const { alpha } = levels[Math.ceil(i / 2)] ?? CLEAN;
      return state.map((value) => alpha * value);
    });
    const found = statesOf(edm(levels), start, run, {
      levelAt: (time) => levels.find((level) => level.time === time) ?? CLEAN,
    });
    expectSame(found, expected);
  });
});

describe("DPM-Solver++", () => {
  it.each(runsOf("dpm"))("order $order, $spacing steps, predicts $prediction", (run) => {
    const { order = 2, prediction = "epsilon" } = run;
    const table = dpmSolver(schedule.levels(checkedSteps(T, stepsOf(run.steps))), { order });
    const [start = [], ...expected] = run.states;
    expectSame(statesOf(table, start, run, { prediction: PREDICTIONS[prediction] }), expected);
  });
});

describe("Euler's method for flow matching", () => {
  it.each(runsOf("flow"))("$steps.length steps, shift $shift", (run) => {
    const times = run.sigmas ?? [];
    const { shift = 1 } = run;
    if (shift !== 1) {
      // Their least time, 0.001, is shifted before the times between it and 1 are chosen, and then again with all of them.
      const [least = 0] = shiftedTimes([0.001], shift);
      const even = evenTimes(times.length - 2, 1, least);
      shiftedTimes(even, shift).forEach((time, i) => {
        expect(time).toBeCloseTo(times[i] ?? Number.NaN, 6);
      });
    }
    const points = times.map((time) => linearPath.at(time));
    const [start = [], ...expected] = run.states;
    const found = statesOf(probabilityFlow(points, { method: "euler" }), start, run, {
      prediction: "velocity",
      levelAt: (time) => linearPath.at(time),
      indexOf: ({ time }) => time * T,
    });
    expectSame(found, expected);
  });
});
