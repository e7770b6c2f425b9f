import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { columnsSchema } from "../../../src/data/sources/columns.ts";
import { valueOfCell } from "../../../src/data/table/codec/index.ts";
import { Random } from "../../../src/random.ts";
import type { LoadedRun } from "../../../src/tasks/run/load.node.ts";
import { sampleRows } from "../../../src/tasks/run/outputs.node.ts";
import { sampleRun } from "../../../src/tasks/use/sample.node.ts";
import { largestDifference, present } from "../../support.ts";
import { bothScores, exported, fitted, ROWS, scoredRows, writeTables } from "./tables.ts";

// A table model outside of eidos: columns in, the nats of `eidos score` out, in a plain session of ONNX Runtime.

writeTables();

describe.each([
  ["maf", "people", { width: 16 }],
  ["spline-flow", "people", { width: 16, columns: ["age", "income", "city"] }],
  ["made", "bits", { width: 16 }],
  ["vae", "people", { width: 16, latentSize: 3, scoreSamples: 8, label: "member", conditional: true }],
  ["vae", "bits", { width: 16, latentSize: 2, scoreSamples: 5, posterior: "iaf", given: ["a"] }],
  ["continuous-flow", "people", { width: 16, label: "member", conditional: true }],
])("%s of %s", (model, table, options) => {
  let run: LoadedRun;
  let files: Awaited<ReturnType<typeof exported>>;
  beforeAll(async () => {
    run = await fitted(model, table, options);
    files = await exported(run);
  });
  afterAll(() => run.session.release());

  test("gives the nats of eidos score for rows in their own units", async () => {
    const { nats, expected } = await bothScores(run, files, table);
    expect(nats.length).toBe(ROWS);
    expect(largestDifference(nats, expected)).toBeLessThan(1e-3);
  });

  test.runIf(model === "maf")("draws the rows of eidos sample from the same noise", async () => {
    const { record, session } = files;
    const ability = present(record.abilities.sample);
    const [noise] = ability.inputs;
    const { name, shape, noise: kind } = present(noise);
    const [count, width] = [50, Number(shape[1])];
    const drawn = new Float32Array(count * width);
    for (let row = 0; row < count; row++) {
      const own = drawn.subarray(row * width, (row + 1) * width);
      const source = new Random(7).split("sample").split(row);
      if (kind === "uniform") source.fillUniform(own);
      else source.fillNormal(own);
    }
    const plain = await session(ability);
    const found = await plain.run({ [name]: new ort.Tensor("float32", drawn, [count, width]) });
    const { rows } = sampleRows(run.config.dataInfo, await sampleRun(run, { count, seed: 7, gaps: true }));
    const columns = columnsSchema.parse(run.config.dataInfo.columns);
    ability.outputs.forEach(({ name: output, missing }, c) => {
      const column = present(columns[c]);
      rows.forEach((row, r) => {
        const cell = row[c] ?? null;
        const value = found[output]?.data[r];
        if (cell === null) expect(value).toBe(missing === "NaN" ? Number.NaN : missing);
        else if (column.kind === "categorical") expect(value).toBe(cell);
        // Of the same noise by two programs: in the last digit that float32 carries, or one step apart.
        else {
          const own = present(valueOfCell(column, cell));
          const step = column.kind === "numeric" ? (column.cells?.step ?? 0) : 0;
          expect(
            Math.abs(Number(value) - own),
            `${output} of row ${r}: ${value}, ${cell}`,
          ).toBeLessThanOrEqual(1e-5 * Math.abs(own) + 1.001 * step);
        }
      });
    });
    await plain.release();
  });

  test.runIf(model === "maf")("has NaN for cells that a column cannot hold, and no error", async () => {
    expect(await scoredRows(files)).toEqual([true, false, false]);
  });
});
