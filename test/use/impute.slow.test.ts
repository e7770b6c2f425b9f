import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { exportRun } from "../../src/tasks/export/export.node.ts";
import { load, type Row } from "../../src/use/index.node.ts";
import { fit, openRun, rows } from "../serve/support.ts";
import { present, temporaryFolder } from "../support.ts";

// Gaps that a loaded model fills in are those that the run fills in, for every flow of the catalogue; test/use/impute.test.ts has the ways of doing it.

const people: readonly Row[] = Array.from({ length: 200 }, (_, i) => ({
  a: Number(((i % 17) / 4 + (i % 2)).toFixed(2)),
  b: Number(((i % 13) / 3 - (i % 2)).toFixed(2)),
  c: 3 * (i % 2) + ((i * 7) % 11) / 10,
  kind: i % 2 === 0 ? "even" : "odd",
}));
const NAMES = ["a", "b", "c", "kind"] as const;

it.each([
  "nice",
  "real-nvp",
  "glow",
  "flow-plus-plus",
  "maf",
  "iaf",
  "planar",
  "radial",
  "spline-flow",
  "continuous-flow",
] as const)("gaps of %s", async (model) => {
  const folder = await temporaryFolder();
  const [run, out] = [join(folder, "run"), join(folder, "out")];
  await fit({
    model,
    data: rows(people),
    categorical: ["kind"],
    out: run,
    steps: 2,
    batchSize: 32,
    threads: 1,
    samplePictures: 0,
    report: "none",
    seed: 1,
  });
  await exportRun(run, out);
  await using opened = await openRun(run, { threads: 1 });
  await using loaded = await load(out, { needs: "impute", threads: 1 });
  const table = people.slice(0, 8).map(
    (row, i): Row => ({
      ...row,
      ...(i % 2 === 0 && { b: null }),
      ...(i % 3 === 0 && { kind: null }),
    }),
  );
  // Long chains part by the last digits of sums in another order.
  const options = { draws: 2, seed: 5, steps: 10 };
  const wanted: string[] = [];
  for await (const row of (await opened.impute(rows(table), options)).rows) {
    wanted.push(NAMES.map((_, c) => row[c]).join());
  }
  const found = (await loaded.impute(table, options)).rows.map((row) =>
    NAMES.map((name) => row[name]).join(),
  );
  expect(found).toHaveLength(wanted.length);
  const alike = found.filter((row, i) => row === present(wanted[i])).length;
  expect(alike / found.length).toBeGreaterThan(0.8);
  await rm(folder, { recursive: true });
});
