import { rm } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EidosServer } from "../../src/serve/index.node.ts";
import type { CellReason } from "../../src/tasks/use/reasons.node.ts";
import { temporaryFolder } from "../support.ts";
import { ask, fitImages, fitTable, fixture, float32, openRun, picture, rows, serve } from "./support.ts";

// A server of five runs: what its routes answer equals what the runs answer when they are opened here.

let folder = "";
let server: EidosServer;
beforeAll(async () => {
  folder = await temporaryFolder();
  await fitTable(join(folder, "table"));
  await fitImages(join(folder, "images"));
  server = await serve(
    [
      fixture("nice-two-moons"),
      `table=${join(folder, "table")}`,
      join(folder, "images"),
      `digits=${fixture("rectified-flow-digits")}`,
      `scenes=${fixture("fcos-digit-scenes")}`,
    ],
    {
      port: 0,
      workers: 1,
      threads: 1,
      log: "silent",
      // Requests that are sent at once are computed together, however fast the worker is.
      batchWindow: 50,
      pixelLimit: 100_000,
      maxRows: 50,
      maxSamples: 20,
      bodyLimit: 1,
    },
  );
});
afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

const table = [
  { length: 5.1, width: 3, kind: "setosa" },
  { length: 6.2, width: 2.5, kind: "virginica" },
];

/** Rows of which the second is far from what the run was fitted to. */
const odd = [
  { length: 5.1, width: 3, kind: "setosa" },
  { length: 19, width: 2.5, kind: "virginica" },
  { length: 6.2, width: 2.5, kind: "virginica" },
];

describe("a server", () => {
  it("says what its models can do", async () => {
    const { body } = await ask(server, "/models");
    expect(
      body.map(({ name, abilities }: { name: string; abilities: string[] }) => [name, ...abilities]),
    ).toEqual([
      ["nice-two-moons", "score", "impute", "sample", "interpolate"],
      ["table", "score", "impute", "sample", "interpolate"],
      ["images", "score", "sample", "inpaint", "interpolate"],
      ["digits", "score", "sample", "inpaint", "edit", "interpolate"],
      ["scenes", "detect", "embed"],
    ]);
    expect(body[1].sample.columns[2]).toEqual({
      kind: "categorical",
      name: "kind",
      categories: ["setosa", "versicolor", "virginica"],
    });
  });

  it("scores rows as the run does", async () => {
    await using run = await openRun(join(folder, "table"), { threads: 1 });
    const { logLikelihood } = await run.score(rows(table), { seed: 3 });
    const { status, body } = await ask(server, "/score?model=table", { rows: table, seed: 3 });
    expect(status).toBe(200);
    expect(body.model).toBe("table");
    expect(body.version).toBe("4");
    expect(body.logLikelihood).toHaveLength(2);
    for (const [i, value] of body.logLikelihood.entries())
      expect(value).toBeCloseTo(logLikelihood[i] ?? Number.NaN, 4);
  });

  it("says which columns it did not look at", async () => {
    const { body } = await ask(
      server,
      "/score?model=table",
      table.map((row, id) => ({ id, ...row })),
    );
    expect(body.ignoredColumns).toEqual(["id"]);
  });

  it("fills in missing cells, and leaves the others as they are", async () => {
    const gapped = [
      { id: 7, length: null, width: 3, kind: "setosa" },
      { id: 8, length: 6.2, width: 2.5, kind: null },
    ];
    const { status, body } = await ask(server, "/impute?model=table", { rows: gapped, draws: 2, seed: 1 });
    expect(status).toBe(200);
    expect(body.rows).toHaveLength(4);
    for (const [i, row] of body.rows.entries()) {
      expect(row.draw).toBe(i % 2);
      expect(row.id).toBe(i < 2 ? 7 : 8);
      expect(typeof row.length).toBe("number");
      expect(["setosa", "versicolor", "virginica"]).toContain(row.kind);
    }
    expect(body.rows[0].width).toBe(3);
    expect(body.rows[2].length).toBe(6.2);
    const again = await ask(server, "/impute?model=table", { rows: gapped, draws: 2, seed: 1 });
    expect(again.body).toEqual(body);
  });

  it("draws rows, the same ones for the same seed", async () => {
    const first = await ask(server, "/sample?model=table", { count: 3, seed: 5 });
    const again = await ask(server, "/sample?model=table", { count: 3, seed: 5 });
    const other = await ask(server, "/sample?model=table", { count: 3, seed: 6 });
    expect(first.body.rows).toHaveLength(3);
    expect(Object.keys(first.body.rows[0])).toEqual(["length", "width", "kind"]);
    expect(again.body).toEqual(first.body);
    expect(other.body).not.toEqual(first.body);
  });

  it("scores images, sent as files and as numbers, as the run does", async () => {
    await using run = await openRun(join(folder, "images"), { threads: 1 });
    const pixels = Uint8Array.from({ length: 784 }, (_, i) => (i * 7) % 256);
    const file = new Uint8Array(
      await sharp(pixels, { raw: { width: 28, height: 28, channels: 1 } })
        .png()
        .toBuffer(),
    );
    const asFile = await ask(server, "/score?model=images&seed=2", file);
    const samples = { shape: [1, 1, 28, 28], data: [...pixels] };
    const asNumbers = await ask(server, "/score?model=images", { samples, seed: 2 });
    expect(asFile.status).toBe(200);
    expect(asNumbers.body.logLikelihood).toEqual(asFile.body.logLikelihood);
    const source = { kind: "images", form: "encoded", images: [file] } as const;
    const { logLikelihood } = await run.score(source, { seed: 2 });
    const [mine = Number.NaN] = logLikelihood;
    expect(Math.abs(asFile.body.logLikelihood[0] - mine)).toBeLessThan(1e-3 * Math.abs(mine));
  });

  it("draws images by a diffusion sampler with its own options, as numbers and as a picture", async () => {
    await using run = await openRun(fixture("rectified-flow-digits"), { threads: 1 });
    const wanted = { count: 2, seed: 4, label: 3, steps: 2 };
    const mine = await run.sample(wanted);
    const { body } = await ask(server, "/sample?model=digits", wanted);
    expect(body.samples.shape).toEqual([2, 1, 28, 28]);
    const bytes = float32(
      mine.data.map((value) => Math.min(255, Math.max(0, Math.round(value)))),
      mine.shape,
    );
    for (const [i, value] of body.samples.data.entries()) {
      expect(Math.abs(value - (bytes.data[i] ?? Number.NaN))).toBeLessThanOrEqual(1);
    }
    const drawn = await ask(server, "/sample?model=digits", wanted, { accept: "image/png" });
    expect(drawn.type).toBe("image/png");
    expect((await sharp(drawn.body).metadata()).format).toBe("png");
  });

  it("tells which cells make rows odd, as a ranking of the run does", async () => {
    await using run = await openRun(join(folder, "table"), { threads: 1 });
    const { order, why } = await run.anomalies(rows(odd), { why: 2, seed: 3 });
    const { status, body } = await ask(server, "/score?model=table", { rows: odd, why: 2, seed: 3 });
    expect(status).toBe(200);
    expect(body.logLikelihood).toHaveLength(odd.length);
    expect(body.why.map(({ row }: { row: number }) => row)).toEqual([...order.subarray(0, 2)]);
    for (const [i, { reasons }] of body.why.entries()) {
      const mine = why?.rows[i]?.reasons ?? [];
      expect(reasons.map(({ column, cell, usual }: CellReason) => [column, cell, usual])).toEqual(
        mine.map(({ column, cell, usual }) => [column, cell, usual]),
      );
      for (const [j, { nats }] of reasons.entries()) expect(nats).toBeCloseTo(mine[j]?.nats ?? Number.NaN, 3);
    }
    expect((await ask(server, "/score?model=table", { rows: odd })).body.why).toBeUndefined();
  });

  it("finds objects as the run does, and draws them", async () => {
    await using run = await openRun(fixture("fcos-digit-scenes"), { threads: 1 });
    const image = await picture();
    const { width, height, objects } = await run.detect(image, { confidence: 0.01, maximum: 3 });
    const { body } = await ask(server, "/detect?model=scenes&confidence=0.01&maximum=3", image);
    expect(body).toMatchObject({ model: "scenes", width, height, cut: true });
    expect(body.objects).toHaveLength(3);
    for (const [i, found] of body.objects.entries()) {
      expect(found.label).toBe(objects[i]?.label);
      expect(found.score).toBeCloseTo(objects[i]?.score ?? Number.NaN, 4);
    }
    const drawn = await ask(server, "/detect?model=scenes", image, { accept: "image/jpeg" });
    expect((await sharp(drawn.body).metadata()).format).toBe("jpeg");
  });

  it("answers requests that come together as it answers each alone", async () => {
    const image = await picture(64, 64);
    const asked = [
      ...Array.from({ length: 8 }, (_, i) => ["/score?model=nice-two-moons", [{ x: i / 4, y: 1 }]] as const),
      ...Array.from({ length: 4 }, () => ["/embed?model=scenes", image] as const),
      ...Array.from({ length: 4 }, () => ["/detect?model=scenes&confidence=0.01&maximum=2", image] as const),
      ["/detect?model=scenes&confidence=0.01&maximum=2", Uint8Array.of(1, 2, 3)] as const,
    ];
    const alone = [];
    for (const [path, body] of asked) alone.push((await ask(server, path, body)).body);
    const together = await Promise.all(asked.map(([path, body]) => ask(server, path, body)));
    for (const [i, { body }] of together.entries()) {
      const { logLikelihood, features, ...rest } = alone[i];
      const { logLikelihood: scores, features: other, ...mine } = body;
      expect(mine).toEqual(rest);
      for (const [j, value] of (logLikelihood ?? []).entries()) expect(scores[j]).toBeCloseTo(value, 4);
      for (const [j, value] of (features?.data ?? []).entries()) expect(other.data[j]).toBeCloseTo(value, 3);
    }
    expect(together.at(-1)?.status).toBe(400);
    const { body: metrics } = await ask(server, "/metrics");
    const largest = /eidos_batch_size_bucket\{model="nice-two-moons",ability="score",le="1"\} (\d+)/.exec(
      metrics,
    );
    const all = /eidos_batch_size_count\{model="nice-two-moons",ability="score"\} (\d+)/.exec(metrics);
    expect(Number(largest?.[1])).toBeLessThan(Number(all?.[1]));
  });
});

/** Path, body, status, message and headers. */
type Wrong = readonly [string, unknown, number, RegExp, Record<string, string>?];

describe("a request that is wrong", () => {
  const refused: readonly (readonly [string, ...Wrong])[] = [
    ["no model", "/score", table, 400, /several models; add \?model=/],
    [
      "an unknown model",
      "/score?model=none",
      table,
      404,
      /there is no model none; there are nice-two-moons, table/,
    ],
    [
      "an ability that it lacks",
      "/detect?model=table",
      Uint8Array.of(1),
      400,
      /cannot detect; it can score, impute/,
    ],
    ["broken JSON", "/score?model=table", "{", 400, /JSON/],
    ["an empty body", "/sample?model=table", "", 400, /the body is empty; send JSON, or \{\}/],
    ["a list of numbers", "/score?model=table", [1, 2], 400, /^rows\.0: /],
    ["no rows", "/score?model=table", { rows: [] }, 400, /^rows: /],
    [
      "a missing column",
      "/score?model=table",
      [{ length: 1, kind: "setosa" }],
      400,
      /rows\[0\]: column "width" is missing/,
    ],
    [
      "rows of other columns",
      "/score?model=table",
      [table[0], { length: 1, width: 1 }],
      400,
      /rows\[1\]: column "kind" is missing/,
    ],
    ["a new category", "/score?model=table", [{ ...table[0], kind: "rose" }], 400, /rose/],
    ["a text for a number", "/score?model=table", [{ ...table[0], length: "SELECT 1" }], 400, /length/],
    ["a gap in scoring", "/score?model=table", [{ ...table[0], length: null }], 400, /length/],
    ["a dangerous key", "/score?model=table", '[{"__proto__":1}]', 400, /not valid JSON/],
    [
      "too many rows",
      "/score?model=table",
      Array(51).fill(table[0]),
      413,
      /51 rows, more than the limit of 50/,
    ],
    ["too many samples", "/sample?model=table", { count: 21 }, 413, /21 samples, more than the limit of 20/],
    ["an unknown option", "/sample?model=digits", { stepz: 3 }, 400, /no option "stepz"; did you mean steps/],
    ["a wrong option", "/sample?model=digits", { steps: -3 }, 400, /steps/],
    [
      "a class that is none",
      "/sample?model=digits",
      { label: 10 },
      400,
      /label: must be from 0 to 9, not 10/,
    ],
    ["a path for rows", "/score?model=table", { rows: "/etc/passwd" }, 400, /^rows: /],
    ["no image", "/detect?model=scenes", Uint8Array.of(1, 2, 3), 400, /image/],
    [
      "a drawing",
      "/detect?model=scenes",
      new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"),
      400,
      /SVG/,
    ],
    ["JSON for an image", "/detect?model=scenes", {}, 400, /bytes of an image/],
    ["a wrong confidence", "/detect?model=scenes&confidence=2", Uint8Array.of(1), 400, /^confidence: /],
    ["an image for rows", "/score?model=table", Uint8Array.of(1), 400, /takes rows as JSON/],
    ["rows for images", "/score?model=images", table, 400, /takes pictures, not rows/],
    [
      "samples of another shape",
      "/score?model=images",
      { samples: { shape: [1, 2], data: [1, 2] } },
      400,
      /takes \[n,1,28,28\]/,
    ],
    [
      "numbers beyond bytes",
      "/score?model=images",
      { samples: { shape: [1, 1, 28, 28], data: Array(784).fill(300) } },
      400,
      /takes 0 to 255/,
    ],
    [
      "a type that is no body",
      "/score?model=table",
      "length,width\n1,2",
      415,
      /^a body of the type text\/csv is not taken; send application\/json, or an image/,
      { "content-type": "text/csv" },
    ],
    ["a picture of rows", "/sample?model=table", {}, 406, /are rows, not pictures/, { accept: "image/png" }],
    [
      "a type that is not made",
      "/score?model=table",
      table,
      406,
      /answers application\/json/,
      { accept: "text/html" },
    ],
    ["a deadline that is none", "/score?model=table", table, 400, /x-timeout-ms/, { "x-timeout-ms": "soon" }],
    ["a route that is none", "/nothing", {}, 404, /there is no POST \/nothing/],
  ];

  it.each(refused)("%s", async (_what, ...rest) => {
    const [path, body, status, message, headers = {}] = rest as unknown as Wrong;
    const reply = await ask(server, path, body, headers);
    expect(reply.body.error).toMatch(message);
    expect(reply.status).toBe(status);
    expect(Object.keys(reply.body)).toEqual(["error"]);
    expect(reply.body.error).not.toMatch(/\n/);
    expect(reply.body.error).not.toContain(folder);
  });

  it("a picture that is cut off is refused", async () => {
    const { status, body } = await ask(server, "/detect?model=scenes", (await picture()).subarray(0, 100));
    expect(body.error).toMatch(/^the image: /);
    expect(status).toBe(400);
  });

  it("a huge image is refused by its header", async () => {
    const huge = await picture(400, 300);
    for (const path of ["/detect?model=scenes", "/embed?model=scenes", "/score?model=images"]) {
      const { status, body } = await ask(server, path, huge);
      expect(body.error).toMatch(/^the image: 400 × 300 pixels, more than the limit of 100000$/);
      expect(status).toBe(413);
    }
  });

  it("a body beyond the limit is refused, also where nothing says how long it is", async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(100_000)),
    });
    const streamed = await fetch(`${server.url}/detect?model=scenes`, {
      method: "POST",
      body: endless,
      headers: { "content-type": "image/png" },
      duplex: "half",
    } as RequestInit);
    expect(streamed.status).toBe(413);
    expect(await streamed.json()).toEqual({ error: "the body is larger than the limit of 1 MB" });
    const { status, body } = await ask(server, "/detect?model=scenes", new Uint8Array(1_000_001));
    expect(status).toBe(413);
    expect(body.error).toBe("the body is larger than the limit of 1 MB");
  });
});
