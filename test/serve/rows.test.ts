import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Row } from "../../src/data/sources/memory.ts";
import { connect } from "../../src/serve/client.ts";
import type { EidosServer } from "../../src/serve/index.node.ts";
import { sampleRows } from "../../src/tasks/run/outputs.node.ts";
import { present } from "../support.ts";
import { ask, fitTable, fixture, float32, openRun, remove, rows, serve } from "./support.ts";

// Rows that are edited, led from one to another, and shown as they form, as pictures are.

let folder: string;
let server: EidosServer;
let diffusion: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-serve-rows-"));
  diffusion = await fitTable(join(folder, "diffusion"), "rectified-flow");
  const flow = await fitTable(join(folder, "flow"));
  server = await serve([`diffusion=${diffusion}`, `flow=${flow}`, `moons=${fixture("nice-two-moons")}`], {
    port: 0,
    log: "silent",
    workers: 1,
  });
});
afterAll(async () => {
  await server.close();
  await remove(folder);
});

const ROWS = [
  { length: 5.03, width: 2.5, kind: "setosa" },
  { length: 6.1, width: 3.02, kind: "virginica" },
];

describe("rows", () => {
  it("are offered what their models can do", async () => {
    const models = await connect(server.url).models();
    const of = (name: string) => present(models.find((one) => one.name === name));
    expect(of("diffusion").abilities).toEqual(["score", "impute", "sample", "edit", "interpolate"]);
    expect(of("flow").abilities).not.toContain("edit");
    expect([of("diffusion").forms, of("flow").forms]).toEqual([true, true]);
  });

  it("are varied by noise as the run does", async () => {
    await using run = await openRun(diffusion, { threads: 1 });
    const options = { strength: 0.4, draws: 3, seed: 2, steps: 4 };
    const { status, body } = await ask(server, "/edit?model=diffusion", { rows: ROWS, ...options });
    expect(status).toBe(200);
    expect(body.rows).toHaveLength(6);
    const { data, shape } = await run.edit(rows(ROWS), options);
    expect(shape.slice(0, 2)).toEqual([2, 3]);
    const own = sampleRows(run.config.dataInfo, float32(data, [6, shape[2] ?? 0]));
    expect(body.rows.map((row: Row) => Object.values(row))).toEqual(own.rows);
    const kinds = new Set(body.rows.map(({ kind }: Row) => kind));
    for (const kind of kinds) expect(["setosa", "virginica", "versicolor"]).toContain(kind);
    // In the units of the columns, on their steps.
    for (const { length } of body.rows)
      expect(Math.abs(length * 100 - Math.round(length * 100))).toBeLessThan(1e-6);
    const again = await ask(server, "/edit?model=diffusion", { rows: ROWS, ...options });
    expect(again.body.rows).toEqual(body.rows);
  });

  it("are led from one to another, the ends of a flow being themselves", async () => {
    const { body } = await ask(server, "/interpolate?model=flow", { rows: ROWS, steps: 5 });
    expect(body.rows).toHaveLength(5);
    expect([body.rows[0], body.rows[4]]).toEqual(ROWS);
    const points = [
      { x: 0.5, y: 0.5 },
      { x: -0.5, y: 0.25 },
    ];
    const moons = await ask(server, "/interpolate?model=moons", { rows: points, steps: 3 });
    expect(moons.body.rows).toHaveLength(3);
    expect(moons.body.rows[0].x).toBeCloseTo(0.5, 4);
    expect(moons.body.rows[2].y).toBeCloseTo(0.25, 4);
  });

  it("are shown as they form, the last ones as they are drawn", async () => {
    const wanted = { count: 4, seed: 3, steps: 6 };
    const { rows: drawn } = (await ask(server, "/sample?model=diffusion", wanted)).body;
    const { status, body } = await ask(server, "/sample?model=diffusion", { ...wanted, states: 3 });
    expect(status).toBe(200);
    expect(body.rows).toHaveLength(12);
    expect(body.rows.slice(8)).toEqual(drawn);
    expect(body.rows.slice(0, 4)).not.toEqual(drawn);
  });

  it("are what its client returns", async () => {
    const client = connect(server.url);
    const model = client.model<"rectified-flow">("diffusion");
    const options = { strength: 0.4, draws: 2, steps: 2 };
    expect((await model.edit(ROWS, options)).rows).toEqual(
      (await ask(server, "/edit?model=diffusion", { rows: ROWS, ...options })).body.rows,
    );
    expect((await client.model("flow").interpolate(ROWS, { steps: 4 })).rows).toHaveLength(4);
  });

  it.each([
    [
      "one end",
      "/interpolate?model=flow",
      { rows: ROWS.slice(1), steps: 3 },
      400,
      /1 rows do not make pairs/,
    ],
    [
      "pictures",
      "/interpolate?model=flow",
      { samples: { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] } },
      400,
      /takes rows/,
    ],
    ["a column that is missing", "/edit?model=diffusion", { rows: [{ length: 5 }] }, 400, /width/],
    ["too many", "/edit?model=diffusion", { rows: ROWS, draws: 1e9 }, 413, /rows, more than the limit/],
    ["a single state", "/sample?model=flow", { states: 1 }, 400, /^states: /],
  ])("are refused: %s", async (_, path, body, status, message) => {
    const answer = await ask(server, path, body);
    expect(answer.status).toBe(status);
    expect(answer.body.error).toMatch(message);
  });
});
