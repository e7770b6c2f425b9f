import { describe, expect, it } from "vitest";
import {
  type AutoregressiveModel,
  causalTransformer,
  type Ensemble,
  fvsbn,
  made,
  nade,
  pixelCnn,
} from "../../src/autoregressive/index.ts";
import { OptionError } from "../../src/errors.ts";
import type { InpaintOptions } from "../../src/model/capabilities.ts";
import type { Session } from "../../src/program/program.ts";
import { constant, float32, int64 } from "../../src/tensor/index.ts";
import { allVectors, bitData, chiSquared, codeOf, codesOf, logProbs, numbers, wild } from "./support.ts";

const N = 6;
const data = bitData(N);
/** Completions whose frequencies are compared with probabilities. */
const DRAWS = 800;
const ofNade = (options: object): AutoregressiveModel => nade({ width: 12, ...options }, data);
const ofMade = (options: object): AutoregressiveModel => made({ width: 20, ...options }, data);

const opened = ({ conditionals }: AutoregressiveModel) => wild(conditionals, N, { seed: 3, deviation: 0.9 });

/** p(x | known) of all vectors, from the probabilities of all. */
function conditional(logs: readonly number[], x: readonly number[], known: readonly number[]): number[] {
  const all = numbers(allVectors(N));
  const weights = logs.map((log, code) =>
    known.every((isKnown, i) => isKnown === 0 || all[code * N + i] === x[i]) ? Math.exp(log) : 0,
  );
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

/** χ² of completions of one vector against the conditional that enumeration gives, in deviations. */
async function error(
  { model, session }: { readonly model: AutoregressiveModel; readonly session: Session },
  logs: readonly number[],
  vector: readonly number[],
  known: readonly number[],
  options: Partial<InpaintOptions> = {},
): Promise<number> {
  const drawn = await model.inpaint(session, {
    x: float32(vector, [1, N]),
    known: float32(known, [1, N]),
    draws: DRAWS,
    seed: 2,
    ...options,
  });
  expect(drawn.shape).toEqual([1, DRAWS, N]);
  return chiSquared(codesOf(drawn.data, N), conditional(logs, vector, known));
}

const VECTOR = [1, 0, 1, 1, 0, 1];
const FIRST = [1, 1, 0, 0, 0, 0];
const SCATTERED = [0, 1, 0, 0, 1, 1];
const LAST = [0, 0, 0, 0, 0, 1];
const ALL_BUT_ONE = [1, 1, 0, 1, 1, 1];

describe("known elements that come first", () => {
  const models = [
    ["FVSBN", fvsbn({}, data)],
    ["NADE", ofNade({})],
    ["MADE", ofMade({ hiddenLayers: 2 })],
    ["MADE with several masks in one order", ofMade({ masks: 4 })],
    ["causal Transformer", causalTransformer({ width: 12, layers: 2, heads: 3 }, data)],
    ["gated PixelCNN", pixelCnn({ features: 6, layers: 2 }, { kind: "binary", sampleShape: [1, 2, 3] })],
  ] as const;
  it.each(models)("are completed exactly: %s", async (_name, made) => {
    const open = await opened(made);
    const logs = await logProbs(open.model, open.session);
    expect(await error(open, logs, VECTOR, FIRST, { exact: true })).toBeLessThan(3);
    await open.session.release();
  });

  it("are so in the model's own order", async () => {
    const model = ofNade({ order: "random", orderSeed: 4 });
    const order = (model.conditionals as { readonly order: readonly number[] }).order;
    const known = VECTOR.map((_, element) => Number(order.indexOf(element) < 3));
    expect(known).not.toEqual([1, 1, 1, 0, 0, 0]);
    const open = await opened(model);
    const logs = await logProbs(open.model, open.session);
    expect(await error(open, logs, VECTOR, known, { exact: true })).toBeLessThan(3);
    await open.session.release();
  });
});

describe("known elements anywhere", () => {
  const models = [
    ["NADE, agnostic", ofNade({ orders: "agnostic", ensemble: 2 })],
    ["MADE, fresh masks and orders", ofMade({ masks: 2, fresh: true, orders: "agnostic" })],
  ] as const;
  it.each(models)(
    "are completed exactly under the model in an order that has them first: %s",
    async (_name, made) => {
      const open = await opened(made);
      const ensemble = open.model.conditionals as Ensemble;
      const program = open.session.compiled(ensemble, "orders", ["order"], ({ order }) => ({
        logProb:
          ensemble
            .inOrder?.(order)
            .elementLogProb(constant(allVectors(N)))
            .sum(1) ?? order,
      }));
      for (const known of [SCATTERED, LAST, ALL_BUT_ONE]) {
        const drawn = await open.model.inpaint(open.session, {
          x: float32(VECTOR, [1, N]),
          known: float32(known, [1, N]),
          draws: DRAWS,
          seed: 2,
          exact: true,
        });
        // The order that is chosen for these known elements is seen by the log-probabilities that it gives.
        const elements = (value: number) => known.flatMap((is, i) => (is === value ? [i] : []));
        const errors: number[] = [];
        for (const before of permutations(elements(1))) {
          for (const after of permutations(elements(0))) {
            const order = int64([...before, ...after], [N]);
            const logs = numbers((await program.run({ order })).logProb);
            errors.push(chiSquared(codesOf(drawn.data, N), conditional(logs, VECTOR, known)));
          }
        }
        expect(Math.min(...errors)).toBeLessThan(3);
      }
      await open.session.release();
    },
  );

  it.each([
    ["FVSBN", fvsbn({}, data)],
    ["NADE", ofNade({})],
    ["MADE with several masks and orders", ofMade({ masks: 3, orders: "agnostic" })],
    ["NADE, agnostic, by iteration", ofNade({ orders: "agnostic", ensemble: 3 })],
  ] as const)("are completed by iteration: %s", async (_name, made) => {
    const open = await opened(made);
    const logs = await logProbs(open.model, open.session);
    const options = { exact: false, steps: 20 };
    expect(await error(open, logs, VECTOR, SCATTERED, options)).toBeLessThan(3.5);
    // One proposal does not look at what is known further on.
    expect(await error(open, logs, VECTOR, SCATTERED, { ...options, steps: 1 })).toBeGreaterThan(4);
    await open.session.release();
  });
});

function permutations(elements: readonly number[]): number[][] {
  if (elements.length === 0) return [[]];
  return elements.flatMap((first) =>
    permutations(elements.filter((other) => other !== first)).map((rest) => [first, ...rest]),
  );
}

describe("inpaint", () => {
  it("does each row as its own known elements call for, whatever else is asked with it", async () => {
    const { model, session } = await opened(ofNade({}));
    const x = float32([...VECTOR, ...VECTOR, ...VECTOR], [3, N]);
    const known = float32([...FIRST, ...SCATTERED, 1, 1, 1, 1, 1, 1], [3, N]);
    const shares: number[] = [];
    const all = await model.inpaint(session, {
      x,
      known,
      draws: 3,
      seed: 1,
      steps: 10,
      onProgress: (share) => shares.push(share),
    });
    expect(all.shape).toEqual([3, 3, N]);
    expect(shares.at(-1)).toBe(1);
    expect(shares.every((share, i) => i === 0 || share >= (shares[i - 1] ?? 0))).toBe(true);
    for (let row = 0; row < 3; row++) {
      for (let draw = 0; draw < 3; draw++) {
        const found = numbers(all).slice((row * 3 + draw) * N, (row * 3 + draw + 1) * N);
        found.forEach((bit, i) => {
          if (known.data[row * N + i] === 1) expect(bit).toBe(VECTOR[i]);
        });
      }
    }
    expect(codeOf(numbers(all).slice(6 * N, 7 * N))).toBe(codeOf(VECTOR));
    const first = await model.inpaint(session, {
      x: float32(VECTOR, [1, N]),
      known: float32(FIRST, [1, N]),
      draws: 2,
      seed: 1,
    });
    expect(numbers(first)).toEqual(numbers(all).slice(0, 2 * N));
    await session.release();
  });

  it("says what it cannot do", async () => {
    const { model, session } = await opened(ofMade({}));
    const base = { x: float32(VECTOR, [1, N]), known: float32(SCATTERED, [1, N]), draws: 1, seed: 0 };
    await expect(model.inpaint(session, { ...base, exact: true })).rejects.toThrow("sample 0");
    await expect(model.inpaint(session, { ...base, exact: true })).rejects.toThrow(OptionError);
    await expect(model.inpaint(session, { ...base, label: 1 })).rejects.toThrow("label");
    await expect(model.inpaint(session, { ...base, draws: 0 })).rejects.toThrow("draws");
    await expect(model.inpaint(session, { ...base, x: float32([1, 0], [1, 2]) })).rejects.toThrow("shape");
  });
});
