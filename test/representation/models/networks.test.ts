import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildModel, findModel } from "../../../src/catalog.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, parametersOf } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile, type State } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { DeepInfoMax } from "../../../src/representation/models/deep-infomax.ts";
import { ntXent } from "../../../src/representation/models/simclr.ts";
import { TwoViewModel } from "../../../src/representation/models/two-views.ts";
import { traceTraining } from "../../../src/tensor/index.operations.ts";
import { concat, float32, grad, type NdArray, slice, type Tensor } from "../../../src/tensor/index.ts";
import { numbers, present } from "../../support.ts";

// Whole networks with the same weights and the same batch as in PyTorch (fixtures/representation/networks.py): what the bench compares.

const list = z.array(z.number());
const expected = z.object({ loss: z.number(), gradients: z.record(z.string(), list) });
const weights = z.record(z.string(), z.object({ shape: list, data: list }));
const fixtureSchema = z.object({
  x: list,
  other: list,
  deepInfoMax: z.object({ weights, draws: list, discriminator: expected, encoder: expected }),
  simClr: expected.extend({ weights }),
});

const IMAGES: DataInfo = { kind: "image", sampleShape: [1, 24, 24] };
// As large that there are two maps, the second with the local features, as of digits.
const SIZES = { channels: 2, hidden: 6, codeSize: 4 };
let runtime: Runtime;
let fixture: z.output<typeof fixtureSchema>;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
  const file = new URL("../../fixtures/representation/networks.json", import.meta.url);
  fixture = fixtureSchema.parse(JSON.parse(await readFile(file, "utf8")));
});

/** The weights of the fixture with the running statistics of a fresh model, which a step does not read. */
function stateOf(model: object, given: z.output<typeof weights>): State {
  const state = new Map(initialState(model, 0));
  for (const [name, { shape, data }] of Object.entries(given)) {
    expect([name, state.get(name)?.shape]).toEqual([name, shape]);
    state.set(name, float32(data, shape));
  }
  expect(
    parametersOf(model)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(Object.keys(given).sort());
  return state;
}

/** A loss in training and its gradients by the parameters that begin with a name. */
async function computed(
  model: object,
  state: State,
  feeds: Readonly<Record<string, NdArray>>,
  isOwn: (name: string) => boolean,
  loss: (inputs: Readonly<Record<string, Tensor>>) => Tensor,
) {
  const own = parametersOf(model).filter(({ name }) => isOwn(name));
  const program = compile(
    Object.keys(feeds),
    (inputs) => {
      const { result } = traceTraining(() => loss(inputs));
      const slopes = grad(result, own);
      return { loss: result, ...Object.fromEntries(own.map(({ name }, i) => [name, present(slopes[i])])) };
    },
    { runtime, weights: state },
  );
  try {
    return await program.run(feeds);
  } finally {
    await program.release();
  }
}

function expectLike(
  found: Readonly<Record<string, NdArray>>,
  { loss, gradients }: z.output<typeof expected>,
): void {
  expect(Math.abs(present(numbers(found.loss)[0]) - loss)).toBeLessThan(1e-4 * Math.max(1, Math.abs(loss)));
  for (const [name, slopes] of Object.entries(gradients)) {
    const own = numbers(found[name]);
    // A bias before a batch normalization has a gradient of 0 but for rounding.
    const largest = Math.max(...slopes.map(Math.abs), 0.01);
    const apart = Math.max(...slopes.map((slope, i) => Math.abs(slope - present(own[i]))));
    expect([name, apart / largest]).toEqual([name, expect.toSatisfy((share: number) => share < 1e-4)]);
  }
}

const images = (data: readonly number[]): NdArray<"float32"> => float32([...data], [5, 1, 24, 24]);

describe("Deep InfoMax", () => {
  const made = (): DeepInfoMax => {
    const model = buildModel(findModel("deep-infomax"), { ...SIZES, scorerUnits: 5, priorUnits: 3 }, IMAGES);
    if (!(model instanceof DeepInfoMax)) throw new Error("deep-infomax is another model");
    return model;
  };

  it("has the discriminator's loss and gradients, the penalty on its slope included", async () => {
    const { weights: given, draws, discriminator } = fixture.deepInfoMax;
    const model = made();
    const feeds = { x: images(fixture.x), draws: float32([...draws], [5, 4]) };
    const found = await computed(
      model,
      stateOf(model, given),
      feeds,
      (name) => name.startsWith("discriminator."),
      (inputs) => {
        const { code } = model.features(present(inputs.x));
        return present(model.discriminator).discriminatorLosses(code.stopGradient(), inputs.draws).total;
      },
    );
    expectLike(found, discriminator);
  });

  it("has the encoder's and the scorer's", async () => {
    const { weights: given, encoder } = fixture.deepInfoMax;
    const model = made();
    const found = await computed(
      model,
      stateOf(model, given),
      { x: images(fixture.x) },
      (name) => !name.startsWith("discriminator."),
      ({ x }) => present(present(model.turns)({ x: present(x) })[1]).losses().total,
    );
    expectLike(found, encoder);
  });
});

it("SimCLR has the loss and gradients of two views", async () => {
  const { weights: given, ...simClr } = fixture.simClr;
  const model = buildModel(findModel("simclr"), { ...SIZES, projectorWidth: 7, projectorSize: 3 }, IMAGES);
  if (!(model instanceof TwoViewModel)) throw new Error("simclr is another model");
  const feeds = { x: images(fixture.x), other: images(fixture.other) };
  const found = await computed(
    model,
    stateOf(model, given),
    feeds,
    () => true,
    ({ x, other }) => {
      const { code } = model.features(concat([present(x), present(other)], 0));
      const z = model.projector.forward(code);
      return ntXent(slice(z, 0, 0, 5), slice(z, 0, 5), 0.5);
    },
  );
  expectLike(found, simClr);
});
