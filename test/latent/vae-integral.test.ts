import { describe, expect, it } from "vitest";
import { logSumExp, quadrature } from "../../src/data/sources/toy.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, parametersOf } from "../../src/nn/module.ts";
import type { Session } from "../../src/program/program.ts";
import { constant, float32, int64, type NdArray } from "../../src/tensor/index.ts";
import { normals } from "../flows/check-transform.ts";
import { type BuiltVae, buildVae, DATA, mean, numbers, samplesOf, withVae } from "./vae-cases.ts";

// log p(x) = log ∫ p(x | z) p(z) dz of VAEs whose codes are two numbers, by quadrature over the plane, against what they
// estimate with codes of their encoders.

const EXTENT = 12;
const NODES = quadrature(-EXTENT, EXTENT, 16);
const GRID = float32(
  NODES.flatMap((a) => NODES.flatMap((b) => [a.at, b.at])),
  [NODES.length ** 2, 2],
);
const LOG_WEIGHTS = NODES.flatMap((a) => NODES.map((b) => Math.log(a.weight * b.weight)));

const ROWS = 3;

/**
 * A VAE whose decoder is far from linear, and whose encoder knows nothing of it: its Gaussians are wide enough to stand for
 * any posterior, and good for none.
 */
function wildVae(options: object, data: DataInfo): BuiltVae {
  const { model } = buildVae({ latentSize: 2, ...options }, data);
  const weights = new Map(initialState(model, 1));
  parametersOf(model).forEach(({ name, shape }, i) => {
    const deviation = name.startsWith("decoder") ? 0.5 : name.startsWith("observation") ? 0.03 : 0.15;
    weights.set(name, normals(200 + i, shape, deviation));
  });
  return { model, weights };
}

/** log p(x) of each row by quadrature; ∫ p(z) dz must be 1. */
async function integrals(
  { model }: BuiltVae,
  session: Session,
  x: NdArray<"float32">,
  label?: number,
): Promise<number[]> {
  const [rows = 0, ...sampleShape] = x.shape;
  const nodes = LOG_WEIGHTS.length;
  const program = session.compiled(model, "on a grid", ["x", "label?"], (inputs) => {
    const z = constant(GRID);
    const { target, context } = model.conditioning.divide(inputs.x, inputs.label);
    const made = model.decoder.forward(z, context?.broadcastTo([nodes, context.shape[1] ?? 1]));
    const likelihood = model.observation.logProb(target.reshape([1, 1, -1]), made.reshape([1, nodes, -1]));
    return { likelihood, prior: model.prior.logProb(z) };
  });
  const found: number[] = [];
  for (let row = 0; row < rows; row++) {
    const size = x.data.length / rows;
    const { likelihood, prior } = await program.run({
      x: float32(x.data.slice(row * size, (row + 1) * size), [1, ...sampleShape]),
      ...(label !== undefined && { label: int64([label], [1]) }),
    });
    const logPrior = numbers(prior).map((log, i) => log + (LOG_WEIGHTS[i] ?? 0));
    expect(Math.abs(logSumExp(logPrior))).toBeLessThan(1e-3);
    found.push(logSumExp(numbers(likelihood).map((log, i) => log + (logPrior[i] ?? 0))));
  }
  return found;
}

const CASES: readonly (readonly [string, DataInfo, object])[] = [
  ["points", DATA.points, { scale: "shared" }],
  ["zeros and ones", DATA.vector, {}],
  ["a flow as posterior", DATA.vector, { posterior: "iaf" }],
  ["couplings as prior", DATA.vector, { prior: "real-nvp" }],
  ["an autoregressive flow as prior, and one as posterior", DATA.vector, { prior: "maf", posterior: "iaf" }],
  ["a table with categories", DATA.table, { scale: "shared" }],
];

describe("with codes of two numbers, the bound", () => {
  it.each(CASES)("comes to the integral over codes from below: %s", async (_name, data, options) => {
    const built = wildVae(options, data);
    const x = samplesOf(data, ROWS);
    const size = x.data.length / ROWS;
    await withVae(built, async (session) => {
      const exact = await integrals(built, session, x);
      const many = numbers(await built.model.score(session, x, { samples: 10_000 }));
      many.forEach((value, row) => {
        expect(Math.abs(value - (exact[row] ?? Number.NaN))).toBeLessThan(0.03);
      });
      // In expectation it rises with the number of codes: from the evidence lower bound on.
      const copies = 700;
      for (let row = 0; row < ROWS; row++) {
        const one = Array.from(x.data.slice(row * size, (row + 1) * size));
        const repeated = float32(new Array<readonly number[]>(copies).fill(one).flat(), [
          copies,
          ...data.sampleShape,
        ]);
        const bounds: number[] = [];
        for (const samples of [1, 4, 40]) {
          bounds.push(mean(numbers(await built.model.score(session, repeated, { samples, seed: samples }))));
        }
        bounds.forEach((bound, i) => {
          expect(bound).toBeGreaterThan(bounds[i - 1] ?? Number.NEGATIVE_INFINITY);
          expect(bound).toBeLessThan((exact[row] ?? Number.NaN) + 0.02);
        });
      }
    });
  });

  it("of a conditional VAE is one on the density of each class, and on that of their mixture", async () => {
    const built = wildVae({ conditional: true }, DATA.vector);
    const x = samplesOf(DATA.vector, ROWS);
    await withVae(built, async (session) => {
      const samples = 10_000;
      const classes: number[][] = [];
      for (const label of [0, 1, 2]) {
        const exact = await integrals(built, session, x, label);
        classes.push(exact);
        const own = int64(new Array<number>(ROWS).fill(label), [ROWS]);
        const scores = numbers(await built.model.score(session, x, { samples, label: own }));
        scores.forEach((score, row) => {
          expect(Math.abs(score - (exact[row] ?? Number.NaN))).toBeLessThan(0.03);
        });
      }
      const spread = classes.map((own) => own[0] ?? 0);
      expect(Math.max(...spread) - Math.min(...spread)).toBeGreaterThan(0.1);
      const mixed = numbers(await built.model.score(session, x, { samples }));
      mixed.forEach((score, row) => {
        const exact = logSumExp(classes.map((own) => (own[row] ?? 0) - Math.log(3)));
        expect(Math.abs(score - exact)).toBeLessThan(0.03);
      });
    });
  });
});
