import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { models } from "../../../src/catalog.ts";
import { writePairs } from "../../../src/data/files/arrays.node.ts";
import { OptionError } from "../../../src/errors.ts";
import type { Model } from "../../../src/model/capabilities.ts";
import type { DataKind } from "../../../src/model/data-info.ts";
import type { ModelDefinition } from "../../../src/model/definition.ts";
import { initialState } from "../../../src/nn/module.ts";
import { ServedRun } from "../../../src/serve/work.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitToPairs } from "../../../src/tasks/fit/reflow.node.ts";
import { openRun } from "../../../src/tasks/open-run.node.ts";
import { modelSchema, sampleSchema } from "../../../src/tasks/run/definition.node.ts";
import { takesBoxes } from "../../../src/tasks/run/detection-options.ts";
import { float32 } from "../../../src/tensor/array.ts";
import { temporaryFolder } from "../../support.ts";

// What is of classes, asked of each model of the catalogue on data without any.

const SIDE = 8;
let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
  await mkdir(join(root, "images"));
  for (let i = 0; i < 8; i++) {
    const data = Uint8Array.from({ length: SIDE * SIDE }, (_, pixel) => (37 * i + 11 * pixel) % 256);
    const file = encode({ width: SIDE, height: SIDE, channels: 1, depth: 8, data });
    await writeFile(join(root, "images", `${i}.png`), file);
  }
  const rows = (of: (i: number) => readonly number[]) =>
    Array.from({ length: 40 }, (_, i) => of(i).join(",")).join("\n");
  await writeFile(join(root, "table.csv"), `a,b,c\n${rows((i) => [i, (i * i) % 7, (3 * i) % 11])}\n`);
  await writeFile(join(root, "binary.csv"), `a,b,c\n${rows((i) => [i % 2, (i >> 1) % 2, (i >> 2) % 2])}\n`);
  const pairs = {
    x: float32(new Array(80).fill(0.5), [40, 2]),
    source: float32(new Array(80).fill(0), [40, 2]),
  };
  await writePairs(join(root, "pairs.safetensors"), pairs, {});
});
afterAll(() => rm(root, { recursive: true }));

const dataOf: Readonly<Record<DataKind, () => string>> = {
  points: () => "two-moons",
  image: () => join(root, "images"),
  table: () => join(root, "table.csv"),
  binary: () => join(root, "binary.csv"),
};

/** A fit of a model to data of a kind without classes. */
function requestOf({ name, pairs, needsSource = false }: ModelDefinition, kind: DataKind) {
  const data = dataOf[kind]();
  return {
    ...{ model: name, data, out: join(root, `run-${name}-${kind}`) },
    ...(kind === "points" && { count: 100 }),
    ...(pairs === "needed" && { pairs: join(root, "pairs.safetensors") }),
    ...(needsSource && { source: data }),
  };
}

/** The error that something ends with. */
async function errorOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return "no error";
}

function expectRefused(error: unknown, line: RegExp): void {
  expect(error).toBeInstanceOf(OptionError);
  expect(String(error)).toMatch(line);
  expect(String(error)).not.toContain("\n");
}

const fitted = [...models.values()].filter((definition) => !takesBoxes(definition));
const kindsOf = ({ dataKinds, pairs }: ModelDefinition): readonly DataKind[] => {
  const kinds = dataKinds.filter((kind) => kind !== "detection");
  return pairs === "needed" ? kinds.filter((kind) => kind === "points") : kinds;
};

describe("a fit that is to know classes", () => {
  const conditional = fitted.filter((definition) => "conditional" in modelSchema(definition).shape);
  const cases = conditional.flatMap((definition) =>
    kindsOf(definition).map((kind) => [definition.name, kind, definition] as const),
  );
  test("is offered by models of several families", () => {
    expect(new Set(conditional.map(({ name }) => name)).size).toBeGreaterThan(10);
  });

  test.each(cases)("%s of %s", async (_, kind, definition) => {
    const request = { ...requestOf(definition, kind), conditional: true };
    const error = await errorOf(() => prepareFit({ kind: "new", request }));
    expectRefused(error, /option conditional: the data has no classes \(a table's are named by --label/);
  });
});

describe("guidance of a run without classes", () => {
  const guided = fitted.filter((definition) => "guidance" in (sampleSchema(definition)?.shape ?? {}));
  const LINE = /option guidance: guidance leads to a class, and \S+ has no classes; leave it out/;

  test("is offered by models of several families", () => {
    expect(guided.length).toBeGreaterThan(4);
  });

  test.each(guided.map((definition) => [definition.name, definition] as const))(
    "%s",
    async (name, definition) => {
      const kind: DataKind = definition.dataKinds.includes("points") ? "points" : "image";
      const { fit } = await prepareFit({ kind: "new", request: requestOf(definition, kind) });
      const folder = fit.folder.path;
      const model: Model = fit.model;
      await fit.folder.writeWeights("last", initialState(fit.model, 0), 1);
      await fit.folder.unlock();
      const run = await openRun(folder);
      const own = { count: 2, seed: 0, guidance: 2 };
      expectRefused(await errorOf(() => run.sample(own)), LINE);
      if (model.sampleStates !== undefined) {
        expectRefused(await errorOf(() => run.sampleStates({ ...own, states: 2 })), LINE);
        expectRefused(
          await errorOf(() => run.sampleStates({ count: 2, states: 2, label: 1 })),
          /label.*no classes/,
        );
      }
      if (model.edit !== undefined) {
        const x = float32([0, 0], [1, 2]);
        expectRefused(await errorOf(() => run.edit(x, { draws: 1, guidance: 2 })), LINE);
      }
      if (model.drawPairs !== undefined) {
        const kind = "distill" as const;
        expectRefused(
          await errorOf(() => fitToPairs({ kind, run: folder, pairs: { guidance: 2, count: 4 } })),
          LINE,
        );
      }
      // Served, it is refused in the same words.
      const served = new ServedRun(name, run, 1e6);
      const work = { kind: "sample", picture: false, options: own } as const;
      const outcomes: unknown[] = [];
      const tell = (_: unknown, outcome: unknown) => void outcomes.push(outcome);
      await served.answer(
        [{ id: 1, model: name, deadline: Number.POSITIVE_INFINITY, work }],
        tell,
        () => false,
      );
      expect(JSON.stringify(outcomes)).toMatch(LINE);
      await run.release();
    },
  );
});
