import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect, type ImageBytes } from "../../src/serve/client.ts";
import type { EidosServer } from "../../src/serve/index.node.ts";
import { exportRun } from "../../src/tasks/export/export.node.ts";
import { sampleRows, toBytes } from "../../src/tasks/run/outputs.node.ts";
import { load, type Row } from "../../src/use/index.node.ts";
import { fit, fitImages, fixture, openRun, picture, remove, rows, serve } from "../serve/support.ts";
import { largestDifference, present, temporaryFolder } from "../support.ts";

// What a loaded model answers and what the server answers is what the runs say: the same tests for both, of a table with categories, dates and
// gaps, of a flow of images, of a diffusion model and of a detector.

/** What is asked of both. */
interface Asked {
  score(samples: readonly Row[] | ImageBytes): Promise<{
    readonly logLikelihood: readonly (number | null)[];
    readonly ignoredColumns?: readonly string[];
  }>;
  sample(options: { readonly count: number; readonly seed: number; readonly label?: number }): Promise<{
    readonly rows?: readonly Row[] | undefined;
    readonly samples?:
      | { readonly shape: readonly number[]; readonly data: ArrayLike<number | null> }
      | undefined;
  }>;
  detect(
    image: ImageBytes,
    options?: { readonly confidence?: number; readonly iou?: number; readonly maximum?: number },
  ): Promise<{
    readonly width: number;
    readonly height: number;
    readonly cut: boolean;
    readonly objects: readonly {
      readonly box: readonly number[];
      readonly score: number;
      readonly class: number;
      readonly label: string;
    }[];
  }>;
  impute(
    samples: readonly Row[],
    options: { readonly draws: number; readonly seed: number },
  ): Promise<{ readonly rows: readonly Row[] }>;
  embed(image: ImageBytes): Promise<{
    readonly features: { readonly shape: readonly number[]; readonly data: ArrayLike<number | null> };
  }>;
}

const NAMES = ["table", "images", "digits", "scenes"] as const;

let folder = "";
let server: EidosServer;
const runs: Readonly<Record<(typeof NAMES)[number], () => string>> = {
  table: () => join(folder, "table"),
  images: () => join(folder, "images"),
  digits: () => fixture("rectified-flow-digits"),
  scenes: () => fixture("fcos-digit-scenes"),
};
const exported = (name: string): string => join(folder, "exported", name);

const cities = ["Rome", "Oslo", "Lima"];
const people = Array.from({ length: 200 }, (_, i) => ({
  age: 20 + ((7 * i) % 50),
  income: i % 6 === 0 ? null : Number((1000 + 13.37 * ((11 * i) % 97)).toFixed(2)),
  city: i % 9 === 0 ? null : present(cities[(i * i) % 3]),
  joined: new Date(Date.UTC(2015, 0, 1 + ((37 * i) % 1500))).toISOString().slice(0, 10),
}));

beforeAll(async () => {
  folder = await temporaryFolder();
  await fit({
    model: "nice",
    data: rows(people),
    out: runs.table(),
    steps: 4,
    width: 8,
    batchSize: 16,
    threads: 1,
    samplePictures: 0,
    seed: 1,
  });
  await fitImages(runs.images());
  for (const name of NAMES) {
    await exportRun(runs[name](), exported(name), name === "scenes" ? { layer: "code" } : {});
  }
  server = await serve(
    NAMES.map((name) => `${name}=${runs[name]()}`),
    { port: 0, workers: 1, threads: 1, log: "silent" },
  );
});
afterAll(async () => {
  await server?.close();
  await remove(folder);
});

const askedOf: Readonly<Record<string, (name: string) => Promise<Asked>>> = {
  server: async (name) => connect(server.url).model(name),
  load: async (name) => (await load(exported(name), { threads: 1 })) as unknown as Asked,
  "load, of a URL": async (name) =>
    (await load(pathToFileURL(exported(name)), { threads: 1 })) as unknown as Asked,
};

/** An image of changing colors as a file. */
async function colors(width: number, height: number): Promise<Uint8Array> {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * i + 7 * i) % 256);
  return new Uint8Array(
    await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer(),
  );
}

async function greys(): Promise<Uint8Array> {
  const data = Uint8Array.from({ length: 784 }, (_, i) => (i * 7) % 256);
  return new Uint8Array(
    await sharp(data, { raw: { width: 28, height: 28, channels: 1 } })
      .png()
      .toBuffer(),
  );
}

describe.each(Object.keys(askedOf))("%s", (kind) => {
  const asked = (name: (typeof NAMES)[number]): Promise<Asked> => present(askedOf[kind])(name);

  it("scores rows with categories, dates and gaps as the run does", async () => {
    await using run = await openRun(runs.table(), { threads: 1 });
    const some = people.slice(0, 40);
    const { logLikelihood } = await run.score(rows(some));
    const found = await (await asked("table")).score(some.map((row, id) => ({ ...row, id })));
    expect(largestDifference(found.logLikelihood.map(Number), logLikelihood)).toBeLessThan(1e-3);
    expect(found.ignoredColumns).toEqual(["id"]);
    const known = await (await asked("table")).score(some.slice(0, 1));
    expect(known.ignoredColumns ?? []).toEqual([]);
  });

  it("draws rows, the same ones for the same seed", async () => {
    await using run = await openRun(runs.table(), { threads: 1 });
    const samples = await run.sample({ count: 20, seed: 5, gaps: true });
    const { names, rows: cells } = sampleRows(run.config.dataInfo, samples);
    const { rows: drawn = [] } = await (await asked("table")).sample({ count: 20, seed: 5 });
    expect(drawn).toHaveLength(20);
    const wrong = drawn.flatMap((row, i) =>
      names.flatMap((name, c) => {
        const wanted = cells[i]?.[c] ?? null;
        const own = row[name] ?? null;
        // The server's rows have no gaps.
        if (wanted === null) return kind === "server" || own === null ? [] : [[i, name, own, wanted]];
        const isClose =
          typeof wanted === "number" && Math.abs(Number(own) - wanted) <= 1.001 * (name === "age" ? 1 : 0.01);
        return isClose || own === wanted ? [] : [[i, name, own, wanted]];
      }),
    );
    // A cell between two steps of its column may be rounded to either.
    expect(wrong.filter(([, name]) => name !== "joined")).toEqual([]);
    expect(wrong.length).toBeLessThanOrEqual(1);
  });

  it("scores and draws images of a flow as the run does", async () => {
    await using run = await openRun(runs.images(), { threads: 1 });
    const file = await greys();
    const { logLikelihood } = await run.score({ kind: "images", form: "encoded", images: [file] });
    const images = await asked("images");
    const [found] = (await images.score(file)).logLikelihood;
    // Sums of thousands of nats in float32.
    expect(Math.abs(Number(found) - Number(logLikelihood[0]))).toBeLessThan(1e-5 * Math.abs(Number(found)));
    const wanted = toBytes(await run.sample({ count: 2, seed: 3 }), "image");
    const { samples } = await images.sample({ count: 2, seed: 3 });
    expect(samples?.shape).toEqual([2, 1, 28, 28]);
    const bytes = Array.from(present(samples).data, (value) => Math.round(Number(value)));
    expect(largestDifference(bytes, wanted.data)).toBeLessThanOrEqual(1);
  });

  it("draws images of a diffusion model as the run does", async () => {
    await using run = await openRun(runs.digits(), { threads: 1 });
    const wanted = toBytes(await run.sample({ count: 2, seed: 4, label: 3 }), "image");
    const { samples } = await (await asked("digits")).sample({ count: 2, seed: 4, label: 3 });
    expect(samples?.shape).toEqual([2, 1, 28, 28]);
    const bytes = Array.from(present(samples).data, (value) => Math.round(Number(value)));
    expect(largestDifference(bytes, wanted.data)).toBeLessThanOrEqual(1);
  });

  it("fills in gaps as the run does, with the same draws for the same seed", async () => {
    await using run = await openRun(runs.table(), { threads: 1 });
    const some = people.slice(0, 30).map((row, i) => ({
      ...row,
      id: i,
      ...(i % 4 === 1 && { age: null }),
      ...(i % 5 === 2 && { joined: null, city: null }),
    }));
    const { names, rows: wanted } = await run.impute(rows(some), { draws: 3, seed: 6 });
    const found = (await (await asked("table")).impute(some, { draws: 3, seed: 6 })).rows;
    expect(found).toHaveLength(3 * some.length);
    const wrong: unknown[] = [];
    const changed: unknown[] = [];
    let [at, gaps] = [0, 0];
    for await (const row of wanted) {
      const own = present(found[at]);
      const sent: Row = present(some[Math.floor(at / 3)]);
      for (const [c, name] of names.entries()) {
        const value = own[name] ?? null;
        if (name !== "draw" && present(sent)[name] !== null) {
          if (value !== sent[name]) changed.push([at, name, value, sent[name]]);
          continue;
        }
        gaps += name === "draw" ? 0 : 1;
        const made = row[c] ?? null;
        const isClose =
          typeof made === "number" && Math.abs(Number(value) - made) <= 1.001 * (name === "age" ? 1 : 0.01);
        if (!isClose && value !== made) wrong.push([at, name, value, made]);
      }
      at++;
    }
    expect(at).toBe(found.length);
    expect(changed).toEqual([]);
    expect(gaps).toBeGreaterThan(40);
    // Chains choose by comparisons of floats, which another order of sums may turn.
    expect(wrong.length, JSON.stringify(wrong.slice(0, 5))).toBeLessThan(0.1 * gaps);
  });

  it("takes features as the run does", async () => {
    await using run = await openRun(runs.scenes(), { threads: 1 });
    const [, height = 0, width = 0] = run.config.dataInfo.sampleShape;
    const image = await colors(width, height);
    const wanted = await run.embed({ kind: "images", form: "encoded", images: [image] });
    const { features } = await (await asked("scenes")).embed(image);
    expect(features.shape).toEqual(wanted.features.shape);
    expect(largestDifference(Array.from(features.data, Number), wanted.features.data)).toBeLessThan(1e-3);
  });

  it("finds objects as the run does", async () => {
    await using run = await openRun(runs.scenes(), { threads: 1 });
    const image = await colors(80, 60);
    const scenes = await asked("scenes");
    const wanted = await run.detect(image, { confidence: 0.01, maximum: 3 });
    const found = await scenes.detect(image, { confidence: 0.01, maximum: 3 });
    expect(found).toMatchObject({ width: 80, height: 60, cut: true });
    expect(found.objects).toHaveLength(3);
    for (const [i, { box, score, label, class: number }] of found.objects.entries()) {
      const own = present(wanted.objects[i]);
      expect([label, number]).toEqual([own.label, own.class]);
      expect(Math.abs(score - own.score)).toBeLessThan(1e-3);
      expect(largestDifference(box, own.box)).toBeLessThan(1);
    }
    const all = await scenes.detect(image, { confidence: 0.9 });
    expect(all).toMatchObject({ objects: [], cut: false });
  });

  it("throws one line that names what is wrong", async () => {
    const [sound] = people.slice(1);
    const table = await asked("table");
    const without = Object.fromEntries(Object.entries(present(sound)).filter(([name]) => name !== "age"));
    const refused: readonly (readonly [string, () => Promise<unknown>, RegExp])[] = [
      ["a missing column", () => table.score([without as Row]), /rows\[0\]: column "age" is missing/],
      ["a new category", () => table.score([{ ...sound, city: "Atlantis" }]), /Atlantis/],
      ["a text for a number", () => table.score([{ ...sound, age: "SELECT 1" }]), /age/],
      ["a gap that the model does not know", () => table.score([{ ...sound, age: null }]), /age/],
      ["a date that is none", () => table.score([{ ...sound, joined: "yesterday" }]), /joined/],
      [
        "a class that is none",
        async () => (await asked("digits")).sample({ count: 1, seed: 0, label: 10 }),
        /label.* 0 to 9, not 10/,
      ],
      ["a class of a model without", () => table.sample({ count: 1, seed: 0, label: 1 }), /class/],
      ["no image", async () => (await asked("scenes")).detect(Uint8Array.of(1, 2, 3)), /image/],
      [
        "a drawing",
        async () =>
          (await asked("scenes")).detect(
            new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"),
          ),
        /SVG/,
      ],
      [
        "a wrong confidence",
        async () => (await asked("scenes")).detect(await picture(), { confidence: 2 }),
        /confidence: /,
      ],
      ["rows for images", async () => (await asked("images")).score(people.slice(0, 1)), /image|pictures/],
      ["a wrong count", () => table.sample({ count: -1, seed: 0 }), /count/],
    ];
    for (const [what, call, message] of refused) {
      const error: unknown = await call().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error, what).toBeInstanceOf(Error);
      expect((error as Error).message, what).toMatch(message);
      expect((error as Error).message, what).not.toMatch(/\n/);
    }
  });
});

describe("a diffusion model that is loaded", () => {
  it("shows each step on the way to the same images, of solvers with and without noise", async () => {
    const folders = { flow: exported("digits"), ddpm: join(folder, "ddpm") };
    await exportRun(runs.digits(), folders.ddpm, { sampler: { solver: "ddpm", steps: 4 } });
    for (const [kind, path] of Object.entries(folders)) {
      await using model = await load(path, { needs: "sample", threads: 1 });
      const options = { count: 2, seed: 4, label: 3 };
      const whole = present((await model.sample(options)).samples);
      const seen: number[] = [];
      const states: Uint8Array[] = [];
      const { samples } = await model.sample({
        ...options,
        onStep: ({ done, steps, samples: own }) => {
          seen.push(done / steps);
          states.push(present(own).data);
        },
      });
      expect(largestDifference(present(samples).data, whole.data), kind).toBeLessThanOrEqual(1);
      const { count, each } = present(model.record.abilities.sample?.steps);
      expect(seen.length).toBe(Math.ceil(count / each));
      expect(seen.at(-1)).toBe(1);
      expect(states.at(-1)).toEqual(present(samples).data);
      expect(largestDifference(present(states[0]), whole.data)).toBeGreaterThan(1);
    }
  });
});

describe("an image of another size", () => {
  it("is made grey and square before it is scored, near to what the run makes of it", async () => {
    const image = new Uint8Array(await readFile(new URL("../fixtures/export/photo.png", import.meta.url)));
    const own = await load(exported("images"), { threads: 1 });
    expect(own.can("embed")).toBe(false);
    expect(own.abilities).toEqual(["score", "sample"]);
    // A colored photo of another size, made grey and square: near to what sharp makes of it.
    await using run = await openRun(runs.images(), { threads: 1 });
    const { logLikelihood } = await run.score({ kind: "images", form: "encoded", images: [image] });
    const scored = own.can("score") ? await own.score(image) : undefined;
    expect(scored?.logLikelihood[0]).toBeDefined();
    expect(Number(scored?.logLikelihood[0]) / Number(logLikelihood[0])).toBeCloseTo(1, 1);
  });
});
