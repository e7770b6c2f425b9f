import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportRun } from "../../src/tasks/export/export.node.ts";
import { load, type Row } from "../../src/use/index.node.ts";
import { fit, openRun, remove, rows } from "../serve/support.ts";
import { present, temporaryFolder } from "../support.ts";

// Gaps that a loaded model fills in are those that the run fills in, of every kind of flow: exactly, by chains, without an inverse, of classes, under
// given columns. Chains choose by comparisons of floats, which another order of sums may turn: a tenth of the cells may be others. Where classes are mixed, sums
// are of another order in the file, and long chains part: few steps are the same, and many have the same distribution.

const COUNT = 200;
const people: readonly Row[] = Array.from({ length: COUNT }, (_, i) => ({
  a: Number(((i % 17) / 4 + (i % 2)).toFixed(2)),
  b: Number(((i % 13) / 3 - (i % 2)).toFixed(2)),
  c: 3 * (i % 2) + ((i * 7) % 11) / 10,
  kind: i % 2 === 0 ? "even" : "odd",
}));

const QUICK = { steps: 6, batchSize: 32, threads: 1, samplePictures: 0, seed: 1 } as const;
const TABLE = { columns: ["a", "b", "c", "kind"], categorical: ["kind"] };
const NUMBERS = { columns: ["a", "b", "c"] };

const FITS: Readonly<Record<string, object>> = {
  nice: { model: "nice", width: 8, ...TABLE },
  maf: { model: "maf", width: 8, ...NUMBERS },
  planar: { model: "planar", ...NUMBERS },
  classes: { model: "nice", width: 8, ...NUMBERS, label: "kind", conditional: true },
  vae: { model: "vae", ...NUMBERS },
  given: { model: "maf", width: 8, ...TABLE, given: ["kind", "a"] },
};

let folder = "";
const path = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await temporaryFolder();
  for (const [name, request] of Object.entries(FITS)) {
    await fit({ ...QUICK, ...request, data: rows(people), out: path(name) } as unknown as Parameters<
      typeof fit
    >[0]);
  }
});
afterAll(() => remove(folder));

/** Rows with gaps in some columns, others with none. */
function gapped(columns: readonly string[], extra: readonly string[] = []): readonly Row[] {
  return people
    .slice(0, 24)
    .map((row, i) =>
      Object.fromEntries(
        [...columns, ...extra].map((name, c) => [
          name,
          columns.includes(name) && (i + c) % 3 === 0 ? null : present(row)[name],
        ]),
      ),
    ) as readonly Row[];
}

/** How many gaps of some rows the run and the loaded model fill in alike, and how many there are. */
async function alike(
  run: string,
  exported: string,
  table: readonly Row[],
  options: {
    readonly draws: number;
    readonly seed: number;
    readonly label?: number;
    readonly steps?: number;
  },
) {
  await using opened = await openRun(run, { threads: 1 });
  await using model = await load(exported, { needs: "impute", threads: 1 });
  const { names, rows: wanted } = await opened.impute(rows(table), options);
  const { rows: found } = await model.impute(table, options);
  let [gaps, same, at] = [0, 0, 0];
  const changed: unknown[] = [];
  for await (const row of wanted) {
    const own = present(found[at]);
    const sent = present(table[Math.floor(at / options.draws)]);
    expect(own.draw).toBe(at % options.draws);
    for (const [c, name] of names.entries()) {
      const made = row[c] ?? null;
      const value = own[name] ?? null;
      if (name === "draw") continue;
      if (sent[name] !== null) {
        if (value !== sent[name]) changed.push([at, name, value]);
        continue;
      }
      gaps++;
      const isClose = typeof made === "number" && Math.abs(Number(value) - made) <= 0.011;
      same += isClose || value === made ? 1 : 0;
    }
    at++;
  }
  expect(at).toBe(found.length);
  expect(changed).toEqual([]);
  return { gaps, same };
}

describe("gaps that a loaded model fills in", () => {
  const cases: readonly (readonly [string, string, readonly Row[], object])[] = [
    ["of categories", "nice", gapped(["a", "b", "c", "kind"]), {}],
    ["of an autoregressive flow, exactly where that can be", "maf", gapped(["a", "b", "c"], ["kind"]), {}],
    ["without an inverse", "planar", gapped(["b", "c"], ["a"]), { steps: 20 }],
    ["of a class", "classes", gapped(["a", "b", "c"]), { label: 1 }],
    ["of all classes by their shares", "classes", gapped(["a", "b", "c"]), { steps: 4 }],
    ["of the class in the table", "classes", gapped(["a", "b", "c"], ["kind"]), {}],
    ["under given columns", "given", gapped(["b", "c"], ["a", "kind"]), {}],
  ];
  it.each(cases)("%s are those of the run", async (_what, name, table, options) => {
    await exportRun(path(name), join(path(name), "out"));
    const { gaps, same } = await alike(path(name), join(path(name), "out"), table, {
      draws: 3,
      seed: 5,
      ...options,
    });
    console.log(`${name}: ${same} of ${gaps} gaps are filled in alike`);
    expect(gaps).toBeGreaterThan(40);
    expect(same / gaps).toBeGreaterThan(0.9);
  });

  it("of all classes have the distribution of those of the run", async () => {
    const out = join(path("classes"), "out");
    await exportRun(path("classes"), out);
    await using opened = await openRun(path("classes"), { threads: 1 });
    await using model = await load(out, { needs: "impute", threads: 1 });
    const table = [{ a: 2, b: null, c: 1.5 }];
    const options = { draws: 300, seed: 3 };
    const wanted: number[] = [];
    for await (const row of (await opened.impute(rows(table), options)).rows) wanted.push(Number(row[1]));
    const found = (await model.impute(table, options)).rows.map(({ b }) => Number(b));
    const moments = (values: readonly number[]) => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
      return { mean, deviation: Math.sqrt(variance) };
    };
    const [a, b] = [moments(wanted), moments(found)];
    // Five standard errors of a difference of independent draws.
    expect(Math.abs(a.mean - b.mean)).toBeLessThan(5 * a.deviation * Math.sqrt(2 / 300));
    expect(Math.abs(a.deviation / b.deviation - 1)).toBeLessThan(0.3);
    expect(new Set(found).size).toBeGreaterThan(30);
  });

  it("of models that are no flows are left out, with the reason", async () => {
    const out = join(folder, "vae-out");
    await exportRun(path("vae"), out);
    const model = await load(out, { threads: 1 });
    expect(model.can("impute")).toBe(false);
    await expect(load(out, { needs: "impute", threads: 1 })).rejects.toThrow(
      /the exported vae cannot impute: vae fills in gaps by a loop that is not written in files/,
    );
  });

  it("throws what is wrong with rows and options", async () => {
    const out = join(path("given"), "out");
    await exportRun(path("given"), out);
    await using model = await load(out, { needs: "impute", threads: 1 });
    const [row] = people as readonly [Row];
    const refused: readonly (readonly [readonly Row[], object, RegExp])[] = [
      [
        [row, { ...row, a: null }],
        {},
        /^rows\[1\]: column "a": the cell is missing, but the model is conditioned/,
      ],
      [[{ ...row, kind: "other" }], {}, /^rows\[0\]: column "kind": "other" is none of its categories/],
      [[{ ...row, b: "x" }], {}, /^rows\[0\]: column "b": "x" is no finite number/],
      [[{ a: 1, b: 2, c: 3 }], {}, /column "kind" is missing/],
      [[{ ...row, draw: 1 }], {}, /rows\[0\] has a column "draw"/],
      [[row], { draws: 0 }, /option draws: must be a whole number from 1/],
      [[row], { label: 1 }, /option label: maf knows no classes/],
      [[row], { drawz: 1 }, /no option drawz; did you mean draws/],
    ];
    for (const [table, options, message] of refused)
      await expect(model.impute(table, options)).rejects.toThrow(message);
    expect((await model.impute([], { draws: 2 })).rows).toEqual([]);
    expect((await model.impute([row], { draws: 2 })).rows).toEqual([
      { ...row, draw: 0 },
      { ...row, draw: 1 },
    ]);
    const controller = new AbortController();
    const asked = model.impute(
      people.map((own) => ({ ...own, b: null })),
      { signal: controller.signal },
    );
    controller.abort(new Error("no longer wanted"));
    await expect(asked).rejects.toThrow("no longer wanted");
  });
});
