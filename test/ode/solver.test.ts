import { describe, expect, it } from "vitest";
import { OptionError, SolverError } from "../../src/errors.ts";
import { dormandPrince, dormandPrinceTableau } from "../../src/ode/dormand-prince.ts";
import {
  evenTimes,
  FIXED_STEP_METHODS,
  integrate,
  rk4,
  rungeKuttaStep,
  type Velocity,
} from "../../src/ode/solver.ts";
import { float32, type NdArray } from "../../src/tensor/array.ts";
import { fittedOrder } from "./fitted-order.ts";

const float64 = (...values: number[]): NdArray<"float64"> => ({
  dtype: "float64",
  shape: [values.length],
  data: Float64Array.from(values),
});

// dx/dt = cos(t) x has the solution x(t) = x(s) exp(sin t − sin s); it depends on both time and state.
const swing: Velocity<"float64"> = async (x, t) =>
  float64(...Array.from(x.data, (value) => Math.cos(t) * value));
const swingAt = (t: number, start: number, s: number): number => start * Math.exp(Math.sin(t) - Math.sin(s));

const largestError = (x: NdArray<"float64">, starts: readonly number[], t: number, s: number): number =>
  Math.max(...starts.map((start, i) => Math.abs((x.data[i] ?? 0) - swingAt(t, start, s))));

describe("fixed-step solvers", () => {
  const orders = { euler: 1, midpoint: 2, heun: 2, rk4: 4 } as const;
  const starts = [1, -2, 0.5];

  for (const [name, tableau] of Object.entries(FIXED_STEP_METHODS)) {
    for (const [from, to] of [
      [0, 2],
      [2, 0],
    ] as const) {
      it(`${name} converges with its order from ${from} to ${to}`, async () => {
        const counts = [20, 40, 80, 160];
        const errors: number[] = [];
        for (const count of counts) {
          const end = await integrate(tableau, swing, float64(...starts), evenTimes(count, from, to));
          errors.push(largestError(end, starts, to, from));
        }
        const order = orders[name as keyof typeof orders];
        expect(Math.abs(fittedOrder(counts, errors) - order)).toBeLessThan(0.25);
      });
    }
  }

  it("RK4 integrates a cubic in time exactly in one step", async () => {
    const cubic: Velocity<"float64"> = async (_, t) => float64(4 * t ** 3);
    const end = await rungeKuttaStep(rk4, cubic, float64(1), 1, 3);
    expect(end.data[0]).toBeCloseTo(1 + 81 - 1, 12);
  });

  it("leaves the state it is given alone, also in float32", async () => {
    const start = float32([1, 2], [2]);
    const end = await integrate(
      rk4,
      async (x) =>
        float32(
          x.data.map((v) => -v),
          [2],
        ),
      start,
      evenTimes(10, 0, 1),
    );
    expect([...start.data]).toEqual([1, 2]);
    expect(end.dtype).toBe("float32");
    expect(end.data[1]).toBeCloseTo(2 * Math.exp(-1), 5);
  });

  it("reports progress and evaluates each stage once", async () => {
    let evaluations = 0;
    const done: number[] = [];
    await integrate(
      rk4,
      async (x, t) => {
        evaluations++;
        return swing(x, t);
      },
      float64(1),
      evenTimes(3),
      (count) => done.push(count),
    );
    expect(evaluations).toBe(12);
    expect(done).toEqual([1, 2, 3]);
  });

  it("wants a whole number of steps", () => {
    expect(() => evenTimes(0)).toThrow(OptionError);
    expect(() => evenTimes(2.5)).toThrow("steps");
    expect(evenTimes(4)).toEqual([1, 0.75, 0.5, 0.25, 0]);
  });
});

describe("Dormand–Prince", () => {
  it("meets its tolerance, and a smaller one costs more evaluations", async () => {
    let before = 0;
    for (const tolerance of [1e-4, 1e-7, 1e-10]) {
      const options = { rtol: tolerance, atol: tolerance, maxEvaluations: 10_000 };
      const result = await dormandPrince(swing, float64(1, -2), 1, 0, options);
      expect(largestError(result.state, [1, -2], 0, 1)).toBeLessThan(30 * tolerance);
      expect(result.evaluations).toBeGreaterThan(before);
      before = result.evaluations;
    }
  });

  it("has order 5 with steps of equal length", async () => {
    const counts = [20, 40, 80, 160];
    const errors: number[] = [];
    for (const count of counts) {
      const end = await integrate(dormandPrinceTableau, swing, float64(1, -2), evenTimes(count, 0, 4));
      errors.push(largestError(end, [1, -2], 4, 0));
    }
    expect(Math.abs(fittedOrder(counts, errors) - 5)).toBeLessThan(0.25);
  });

  it("takes small steps only where they are needed", async () => {
    // x follows a front of width 0.01 at t = 0.5: x(t) = tanh((t − 0.5) / 0.01).
    const front: Velocity<"float64"> = async (_, t) => float64(100 / Math.cosh((t - 0.5) / 0.01) ** 2);
    const times: number[] = [0];
    const { state } = await dormandPrince(front, float64(-1), 0, 1, {
      rtol: 1e-6,
      atol: 1e-6,
      maxEvaluations: 2000,
      onStep: (time) => times.push(time),
    });
    expect(state.data[0]).toBeCloseTo(1, 4);
    const lengths = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    expect(Math.max(...lengths) / Math.min(...lengths)).toBeGreaterThan(10);
    expect(times.at(-1)).toBe(1);
  });

  it("meets its tolerance in every row, whatever other rows are easy, where that is asked for", async () => {
    // One row that swings quickly among rows at rest: x(t) = x(0) exp(sin 20 t).
    const rows = 400;
    const start = { dtype: "float64", shape: [rows, 1], data: new Float64Array(rows) } as const;
    start.data[7] = 1;
    const field: Velocity<"float64"> = async (x, t) => ({
      ...x,
      data: x.data.map((value) => 20 * Math.cos(20 * t) * value),
    });
    const errorOf = async (everyRow: boolean): Promise<number> => {
      const options = { rtol: 1e-6, atol: 1e-6, maxEvaluations: 10_000, everyRow };
      const { state } = await dormandPrince(field, start, 0, 1, options);
      return Math.abs((state.data[7] ?? Number.NaN) - Math.exp(Math.sin(20)));
    };
    const each = await errorOf(true);
    expect(each).toBeLessThan(3e-5);
    expect(await errorOf(false)).toBeGreaterThan(3 * each);
  });

  it("gives up with a message when evaluations run out", async () => {
    const options = { rtol: 1e-10, atol: 1e-10, maxEvaluations: 30 };
    const attempt = dormandPrince(swing, float64(1), 0, 10, options);
    await expect(attempt).rejects.toThrow(SolverError);
    await expect(attempt).rejects.toThrow("maxEvaluations");
  });

  it("stops where the velocity is not finite", async () => {
    const options = { rtol: 1e-6, atol: 1e-6, maxEvaluations: 10_000 };
    const broken: Velocity<"float64"> = async (_, t) => float64(t < 0.5 ? Number.NaN : 1);
    await expect(dormandPrince(broken, float64(1), 1, 0, options)).rejects.toThrow(SolverError);
  });
});
