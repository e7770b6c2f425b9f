import { describe, expect, it } from "vitest";
import {
  AutoregressiveModel,
  MaskedAutoencoder,
  MaskedEnsemble,
  made,
  madeDefinition,
} from "../../src/autoregressive/index.ts";
import { freshMask, randomDegrees } from "../../src/autoregressive/networks/connectivity.ts";
import { OptionError } from "../../src/errors.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { traceTraining } from "../../src/tensor/index.operations.ts";
import { constant, int64, stack, type Tensor } from "../../src/tensor/index.ts";
import {
  allVectors,
  bitData,
  evaluateRandom,
  logProbs,
  numbers,
  randomWeights,
  wild,
  withWeights,
} from "./support.ts";

const relu = (x: Tensor): Tensor => x.relu();
const network = {
  inputs: 5,
  hidden: [12, 10],
  activation: relu,
  residual: false,
  direct: true,
  dropout: 0,
  inputDropout: 0,
};
const sizes = { inputs: 5, hidden: [12, 10], residual: false };
const members = [0, 1, 2].map((i) => ({
  order: Array.from(new Random(i).permutation(5)),
  degrees: randomDegrees(sizes, new Random(i)),
}));

describe("MADE with several masks", () => {
  it("averages the probabilities of its members", async () => {
    const { model, session } = await wild(new MaskedEnsemble(network, { members, training: "members" }), 5);
    const mixture = await logProbs(model, session);
    const each = await Promise.all(
      members.map(async (member) => {
        const alone = nameParameters(
          new AutoregressiveModel(new MaskedAutoencoder(network, member), bitData(5)),
        );
        const [found] = await evaluate(
          withWeights(alone, session.weights, [alone.logProb(constant(allVectors(5)))]),
        );
        return numbers(found);
      }),
    );
    mixture.forEach((value, code) => {
      const mean = each.reduce((sum, logs) => sum + Math.exp(logs[code] ?? 0), 0) / members.length;
      expect(Math.abs(value - Math.log(mean))).toBeLessThan(1e-5);
    });
    expect(Math.abs((each[0]?.[5] ?? 0) - (each[1]?.[5] ?? 0))).toBeGreaterThan(1e-3);
    await session.release();
  });

  it("trains one of its members at each step, all alike, and validates the mixture", async () => {
    const conditionals = nameParameters(new MaskedEnsemble(network, { members, training: "members" }));
    const weights = randomWeights(conditionals, 2);
    const x = constant(allVectors(5));
    const exact = await evaluate(
      withWeights(conditionals, weights, [
        ...members.map((_, m) =>
          conditionals
            .member(constant(int64([m], [])))
            .elementLogProb(x)
            .sum(1),
        ),
        conditionals.lossLogProb(x),
        new AutoregressiveModel(conditionals, bitData(5)).logProb(x),
      ]),
    );
    expect(numbers(exact[3])).toEqual(numbers(exact[4]));
    const counts = [0, 0, 0];
    const steps = Array.from({ length: 45 }, () => traceTraining(() => conditionals.lossLogProb(x)).result);
    const found = await evaluateRandom(withWeights(conditionals, weights, [stack(steps, 0)]), new Random(3));
    const all = numbers(found[0]);
    for (let step = 0; step < 45; step++) {
      const own = all.slice(step * 32, (step + 1) * 32);
      const member = exact
        .slice(0, 3)
        .findIndex((logs) => numbers(logs).every((value, i) => Math.abs(value - (own[i] ?? 0)) < 1e-4));
      expect(member).toBeGreaterThanOrEqual(0);
      counts[member] = (counts[member] ?? 0) + 1;
    }
    for (const count of counts) expect(count).toBeGreaterThan(6);
  });

  it("trains a mask of its own at each step where masks are fresh: each is a distribution", async () => {
    for (const training of ["fresh", "fresh-orders"] as const) {
      const conditionals = nameParameters(new MaskedEnsemble(network, { members, training }));
      const steps = Array.from(
        { length: 12 },
        () => traceTraining(() => conditionals.lossLogProb(constant(allVectors(5)))).result,
      );
      const weights = randomWeights(conditionals, 2);
      const found = await evaluateRandom(withWeights(conditionals, weights, steps), new Random(3));
      for (const logs of found) {
        const total = numbers(logs).reduce((sum, value) => sum + Math.exp(value), 0);
        expect(Math.abs(total - 1)).toBeLessThan(1e-5);
      }
      expect(new Set(found.map((logs) => numbers(logs).join())).size).toBe(12);
    }
  });

  it("draws masks within a program: each order once, degrees that read something and are read", async () => {
    for (const residual of [false, true]) {
      const mask = freshMask({ inputs: 6, hidden: [200, 200], residual });
      const [order, positions, first, second] = await evaluateRandom(
        [mask.order, mask.positions, ...mask.degrees],
        new Random(7),
      );
      expect(numbers(order).toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
      numbers(order).forEach((element, place) => {
        expect(numbers(positions)[element]).toBe(place);
      });
      for (const degrees of [first, second]) {
        const counts = [0, 1, 2, 3, 4, 5, 6].map(
          (d) => numbers(degrees).filter((other) => other === d).length,
        );
        expect(counts[0]).toBe(0);
        expect(counts[6]).toBe(0);
        expect(counts.slice(1, 6).reduce((a, b) => a + b)).toBe(200);
        expect(Math.min(...counts.slice(1, 6))).toBeGreaterThan(20);
      }
      expect(numbers(first).join() === numbers(second).join()).toBe(residual);
    }
  });
});

describe("made", () => {
  it("spreads the degrees of one mask evenly, and draws those of several", () => {
    const one = made({ width: 6 }, bitData(4)).conditionals;
    expect(one).toBeInstanceOf(MaskedAutoencoder);
    const many = made({ width: 6, masks: 3, orders: "agnostic" }, bitData(9)).conditionals;
    expect(many).toBeInstanceOf(MaskedEnsemble);
    expect(new Set((many as MaskedEnsemble).orders.map((order) => order.join())).size).toBe(3);
    const shared = made({ width: 6, masks: 3 }, bitData(9)).conditionals;
    expect(new Set((shared as MaskedEnsemble).orders.map((order) => order.join())).size).toBe(1);
  });

  it("serves images, and refuses layers that residual connections cannot join", () => {
    const image = made({ width: 8 }, { kind: "binary", sampleShape: [1, 3, 4] });
    expect(image.dimensions).toBe(12);
    expect(() => made({ hiddenLayers: 2, residual: true }, bitData(4))).toThrow(OptionError);
    expect(() => made({ hiddenLayers: 2, residual: true }, bitData(4))).toThrow("pairs");
    expect(
      () =>
        new MaskedAutoencoder(network, {
          order: [0, 1, 2, 3, 3],
          degrees: randomDegrees(sizes, new Random(0)),
        }),
    ).toThrow("[0,1,2,3,3]");
    expect(madeDefinition.options.parse({})).toMatchObject({ masks: 1, orders: "one" });
  });

  it("draws images of one channel, and more elements than a block", async () => {
    const data = { kind: "binary", sampleShape: [1, 9, 7] } as const;
    const model = nameParameters(made({ width: 30, hiddenLayers: 2 }, data));
    const session = new Session(await nodeRuntime({ threads: 1 }), initialState(model, 0));
    const drawn = await model.sample(session, { count: 40, seed: 1 });
    expect(drawn.shape).toEqual([40, 1, 9, 7]);
    expect(numbers(drawn).every((value) => value === 0 || value === 1)).toBe(true);
    expect(numbers(drawn).reduce((a, b) => a + b) / drawn.data.length).toBeGreaterThan(0.2);
    await session.release();
  });
});
