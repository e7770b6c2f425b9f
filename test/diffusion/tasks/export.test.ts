import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import {
  Ddpm,
  type DiffusionModel,
  type DiffusionSampleOptions,
  ddpmOptions,
  Edm,
  edmOptions,
  RectifiedFlow,
  rectifiedFlowOptions,
  ScoreSde,
  scoreSdeOptions,
} from "../../../src/diffusion/index.ts";
import { normalRows } from "../../../src/diffusion/solver/index.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { exportOnnx, Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { float32 } from "../../../src/tensor/index.ts";
import { relativeDifference } from "../support.ts";

const IMAGES: DataInfo = { kind: "image", sampleShape: [1, 8, 8], classes: 4 };
const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const SMALL = { width: 16, depth: 2, channels: 16, multipliers: [1, 2] };

type Case = readonly [
  name: string,
  model: DiffusionModel,
  options: Omit<DiffusionSampleOptions, "count" | "seed">,
];

const cases: readonly Case[] = [
  [
    "guided DDIM of images",
    new Ddpm(ddpmOptions.parse(SMALL), IMAGES),
    { solver: "ddim", steps: 4, guidance: 3 },
  ],
  [
    "ancestral sampling with learned variance and guidance",
    new Ddpm(ddpmOptions.parse({ ...SMALL, variance: "learned" }), IMAGES),
    { solver: "ddpm", steps: 3, guidance: 1.5 },
  ],
  ["EDM's own solver", new Edm(edmOptions.parse(SMALL), POINTS), { steps: 5 }],
  [
    "DPM-Solver++ without guidance",
    new ScoreSde(scoreSdeOptions.parse(SMALL), IMAGES),
    { solver: "dpm++", steps: 4, guidance: 1 },
  ],
  [
    "the Runge–Kutta method",
    new RectifiedFlow(rectifiedFlowOptions.parse(SMALL), POINTS),
    { solver: "rk4", steps: 3 },
  ],
  [
    "the midpoint rule, which leaves some noise",
    new ScoreSde(scoreSdeOptions.parse({ ...SMALL, path: "ve" }), POINTS),
    { solver: "midpoint", steps: 6 },
  ],
];

describe("a whole sampler as one file", () => {
  it.each(cases)("%s draws what sample does", async (_, model, options) => {
    nameParameters(model);
    const random = new Random(7);
    const weights = new Map(
      [...initialState(model, 0)].map(([name, array]) => {
        const data = new Float32Array(array.data.length);
        random.split(name).fillNormal(data);
        return [
          name,
          float32(
            data.map((value) => 0.1 * value),
            array.shape,
          ),
        ] as const;
      }),
    );
    const { outputs, description } = model.exportedSampler(options);
    const loaded = await ort.InferenceSession.create(exportOnnx(outputs, weights));
    const { sampleShape } = model.data;
    const session = new Session(await nodeRuntime(), weights);
    const conditional = model.condition.classes > 0;
    // Any number of samples with one file.
    for (const count of [3, 1]) {
      const expected = await model.sample(session, {
        ...options,
        count,
        seed: 5,
        ...(conditional && { label: 2 }),
      });
      const randoms = Array.from({ length: count }, (_, i) => new Random(5).split("sample").split(i));
      const feed = ({ data, shape }: ReturnType<typeof normalRows>) =>
        new ort.Tensor("float32", data, [...shape]);
      const rows = /stepNoise: standard normal \[(\d+)/.exec(description)?.[1];
      const stepNoise = Array.from({ length: Number(rows ?? 0) }, (_, row) => [
        ...normalRows(randoms, sampleShape, row).data,
      ]).flat();
      const { samples } = await loaded.run({
        noise: feed(normalRows(randoms, sampleShape, "noise")),
        ...(rows !== undefined && {
          stepNoise: new ort.Tensor("float32", Float32Array.from(stepNoise), [
            Number(rows),
            count,
            ...sampleShape,
          ]),
        }),
        ...(conditional && {
          label: new ort.Tensor("int64", new BigInt64Array(count).fill(2n), [count]),
        }),
      });
      expect(samples?.dims).toEqual([count, ...sampleShape]);
      expect(relativeDifference(samples?.data as Float32Array, expected.data)).toBeLessThan(2e-4);
    }
    await Promise.all([session.release(), loaded.release()]);
  });

  it("is refused where the solver chooses its steps", () => {
    const model = nameParameters(new RectifiedFlow(rectifiedFlowOptions.parse(SMALL), POINTS));
    expect(() => model.exportedSampler({ solver: "dormand-prince" })).toThrow(
      /option solver: dormand-prince/,
    );
    expect(() => model.exportedSampler({ steps: 0 })).toThrow(/steps/);
  });
});
