import { beforeAll, describe, expect, it } from "vitest";
import { models } from "../../src/catalog.ts";
import { InverseError } from "../../src/errors.ts";
import { FlowModel, type Transform } from "../../src/flows/index.ts";
import { Inverted, NumericalInverse } from "../../src/flows/transforms/index.ts";
import { type DataInfo, sampleKind } from "../../src/model/data-info.ts";
import type { ModelDefinition } from "../../src/model/definition.ts";
import { buffersOf, initialState, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { readSafetensors, writeSafetensors } from "../../src/nn/safetensors.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Program, Session, type State } from "../../src/program/program.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, grad, input, int64, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { modelVariants, transformCases } from "./cases.ts";
import { normals, transformErrors, withRandomParameters } from "./check-transform.ts";

// One test for every transform and every flow of the catalogue: inverse, log-determinant, gradients, weights written
// and read, the tails, and densities that integrate to one.

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

describe("every transform", () => {
  for (const { name, sample, make, noInverse, numerical, tolerance = 1e-4, ...options } of transformCases) {
    if (noInverse) {
      it(`${name}: says that it has no analytic inverse`, () => {
        const y = input("y", [2, ...sample]);
        expect(() => make().inverse(y)).toThrow(InverseError);
        expect(() => new Inverted(make()).forward(y)).toThrow(/NumericalInverse/);
      });
    }
    const transform = (): Transform => {
      const made = make();
      return numerical ? new NumericalInverse(numerical(made)) : made;
    };
    it(`${name}: log-determinant, inverse and its log-determinant`, async () => {
      const errors = await transformErrors(transform(), sample, options);
      expect(errors.logDet).toBeLessThan(Math.max(2e-4, tolerance));
      expect(errors.inverse).toBeLessThan(tolerance);
      expect(errors.inverseLogDet).toBeLessThan(Math.max(2e-4, tolerance));
      if (!options.preserves) expect(errors.change).toBeGreaterThan(0.01);
      const other = await transformErrors(new Inverted(transform()), options.image ?? sample, {
        ...options,
        ...(options.imagePoints && { points: options.imagePoints }),
      });
      expect(other.inverse).toBeLessThan(tolerance);
      expect(other.logDet).toBeLessThan(Math.max(1e-3, tolerance));
    });
    if (options.points === undefined) {
      it(`${name}: stays finite far out in the tails, also its gradients`, async () => {
        const made = transform();
        nameParameters(made);
        const shape = [4, ...sample];
        const values = normals(5, shape).data.map(
          (value, i) => Math.sign(value) * ([1e3, 30, 1e3][i % 4] ?? 1e-30),
        );
        const x = input("x", shape);
        const { contextSize = 0 } = options;
        const context = contextSize === 0 ? undefined : constant(normals(6, [4, contextSize]));
        const { y, logDet } = made.forward(x, context);
        const gradients = grad(logDet.sum().add(y.tanh().sum()), [x, ...parametersOf(made)]);
        const outputs = withRandomParameters(made, [y, logDet, ...gradients], 3, options.deviation ?? 0.3);
        for (const value of await evaluate(outputs, new Map([[x, float32(values, shape)]]))) {
          expect(numbers(value).every(Number.isFinite)).toBe(true);
        }
      });
    }
  }
});

const flows = [...models.values()].filter(
  ({ build, options, dataKinds }) =>
    dataKinds.some((kind) => kind === "points" || kind === "table") && isFlow(build, options),
);

function isFlow(build: ModelDefinition["build"], options: ModelDefinition["options"]): boolean {
  return build(options.parse({}), { kind: "points", sampleShape: [2] }) instanceof FlowModel;
}

const DATA: Readonly<Record<DataInfo["kind"], DataInfo>> = {
  points: { kind: "points", sampleShape: [2] },
  table: {
    kind: "table",
    sampleShape: [5],
    classes: 3,
    columns: ["a", "b", "c", "d", "e"].map((name) => ({ name, size: 1 })),
  },
  image: { kind: "image", sampleShape: [1, 4, 4], classes: 3 },
  binary: { kind: "binary", sampleShape: [5] },
};

/** Flow++ normalizes maps, which of 1×1 pixels leaves nothing at its second level. */
function dataOf(name: string, kind: DataInfo["kind"]): DataInfo {
  const data = DATA[kind];
  return kind === "image" && name === "flow-plus-plus" ? { ...data, sampleShape: [1, 8, 8] } : data;
}

function samplesOf({ kind, sampleShape }: DataInfo, count: number, seed = 9): NdArray<"float32"> {
  const values = normals(seed, [count, ...sampleShape]);
  if (kind !== "image") return values;
  return float32(
    values.data.map((value) => Math.min(255, Math.max(0, Math.round(128 + 60 * value)))),
    values.shape,
  );
}

interface Built {
  readonly model: FlowModel;
  readonly data: DataInfo;
  readonly weights: State;
}

/** Builds a flow, with weights moved away from where training begins. */
function built(definition: ModelDefinition, kind: DataInfo["kind"], options: object): Built {
  const data = dataOf(definition.name, kind);
  const model = nameParameters(definition.build(definition.options.parse(options), data)) as FlowModel;
  const weights = new Map(initialState(model, 1));
  const random = new Random(2);
  for (const { name } of parametersOf(model)) {
    const array = weights.get(name);
    const noise = new Float32Array(array?.data.length ?? 0);
    random.split(name).fillNormal(noise);
    const data = noise.map((value, i) => Number(array?.data[i]) + 0.1 * value);
    weights.set(name, float32(data, array?.shape ?? []));
  }
  return { model, data, weights };
}

/** Classes of some rows, where the flow wants them. */
function labels(model: FlowModel, count: number): Tensor | undefined {
  if (model.conditioning.classes === 0) return undefined;
  return constant(
    int64(
      Array.from({ length: count }, (_, i) => i % 3),
      [count],
    ),
  );
}

describe("every flow", () => {
  for (const definition of flows) {
    for (const kind of definition.dataKinds.map(sampleKind)) {
      for (const [variant, options, settings = {}] of modelVariants(definition.name, kind)) {
        const name = `${definition.name} of ${kind}${variant === "" ? "" : `, ${variant}`}`;
        const { tolerance = kind === "image" ? 0.05 : 1e-3, exact = true } = settings;

        it(`${name}: codes lead back to data, and data to codes`, async () => {
          const { model, data, weights } = built(definition, kind, options);
          const x = input("x", [3, ...data.sampleShape]);
          const label = labels(model, 3);
          const { context } = model.conditioning.divide(x, label);
          const z = model.encode(x, label);
          const code = input("z", [3, model.dimensions]);
          const decoded = model.decode(code, context);
          const outputs = { z, back: model.decode(z, context), again: model.encode(decoded, label) };
          const program = await Program.build(outputs, runtime, weights);
          const points = samplesOf(data, 3);
          const draws = normals(4, [3, model.dimensions]);
          const values = await program.run({ x: points, z: draws }, { random: new Random(0) });
          expect(numbers(values.z).every(Number.isFinite)).toBe(true);
          expect(largest(numbers(values.back).map((value, i) => value - (points.data[i] ?? 0)))).toBeLessThan(
            tolerance,
          );
          if (model.conditioning.givenSize === 0 && !settings.saturates) {
            const errors = numbers(values.again).map((value, i) => value - (draws.data[i] ?? 0));
            expect(largest(errors)).toBeLessThan(tolerance);
          }
          await program.release();
        });

        it(`${name}: every parameter has a gradient that is finite and not zero`, async () => {
          const { model, data, weights } = built(definition, kind, options);
          const x = input("x", [8, ...data.sampleShape]);
          const label = labels(model, 8);
          const loss = model.loss({ x, ...(label && { label }) }).total;
          const parameters = parametersOf(model);
          const gradients = grad(loss, parameters);
          const outputs = new Map([
            ["loss", loss],
            ...parameters.map(({ name }, i) => [`d.${name}`, gradients[i] ?? loss] as const),
          ]);
          const program = await Program.build(outputs, runtime, weights);
          const values = await program.run({ x: samplesOf(data, 8) }, { random: new Random(0) });
          for (const [key, value] of Object.entries(values)) {
            expect(numbers(value).every(Number.isFinite), key).toBe(true);
            expect(largest(numbers(value)), key).toBeGreaterThan(0);
          }
          await program.release();
        });

        it(`${name}: weights that are written and read are the same, and their log-density is a number far out in the tails`, async () => {
          const { model, data, weights } = built(definition, kind, options);
          const read = readSafetensors(writeSafetensors(weights, {}), "memory").tensors;
          // Three samples, and of other kinds than images six that are far from the data.
          const near = samplesOf(data, 3).data;
          const far = samplesOf(data, 6).data.map((value, i) => value * ([1e3, 1e2][i % 3] ?? 10));
          const count = kind === "image" ? 3 : 9;
          const shape = [count, ...data.sampleShape];
          const x = input("x", shape);
          const feeds = { x: float32(kind === "image" ? near : [...near, ...far], shape) };
          // The same bytes under the same names are the same log-density.
          expect(read).toEqual(weights);
          const again = nameParameters(
            definition.build(definition.options.parse(options), data),
          ) as FlowModel;
          const program = await Program.build(
            { logProb: again.logProb(x, labels(model, count)) },
            runtime,
            read,
          );
          const results = numbers((await program.run(feeds, { random: new Random(3) })).logProb);
          await program.release();
          expect(results.slice(0, 3).every(Number.isFinite)).toBe(true);
          expect(results).toHaveLength(count);
          for (const value of results) expect(value).not.toBeNaN();
          expect(buffersOf(model).every(({ name }) => weights.has(name))).toBe(true);
        });

        if (kind === "points" && exact) {
          it(`${name}: the density integrates to 1`, async () => {
            const { model, weights } = built(definition, kind, options);
            const { half, step } = settings.grid ?? { half: 15, step: 0.25 };
            const side = Math.round((2 * half) / step) + 1;
            const grid = new Float32Array(2 * side * side);
            for (let i = 0; i < side * side; i++) {
              const column = i % side;
              grid[2 * i] = (column - (side - 1) / 2) * step;
              grid[2 * i + 1] = ((i - column) / side - (side - 1) / 2) * step;
            }
            const x = input("x", [side * side, 2]);
            const program = await Program.build({ logProb: model.logProb(x) }, runtime, weights);
            const { logProb } = await program.run(
              { x: float32(grid, [side * side, 2]) },
              { random: new Random(0) },
            );
            const total = numbers(logProb).reduce((sum, value) => sum + Math.exp(value) * step * step, 0);
            expect(Math.abs(total - 1)).toBeLessThan(0.01);
            await program.release();
          });
        }

        it(`${name}: samples are finite, and colder ones vary less`, async () => {
          const { model, data, weights } = built(definition, kind, options);
          const session = new Session(runtime, weights);
          const given = float32(new Float32Array(model.conditioning.givenSize), [
            1,
            model.conditioning.givenSize,
          ]);
          const spread = async (temperature: number): Promise<number> => {
            const samples = await model.sample(session, { count: 32, seed: 1, temperature, given });
            expect(samples.shape).toEqual([32, ...data.sampleShape]);
            const values = numbers(samples);
            expect(values.every(Number.isFinite)).toBe(true);
            const mean = values.reduce((a, b) => a + b, 0) / values.length;
            return values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
          };
          const warm = await spread(1);
          if (settings.temperature ?? true) expect(await spread(0.3)).toBeLessThan(warm);
          await session.release();
        });
      }
    }
  }
});
