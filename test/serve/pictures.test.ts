import { rm } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../../src/serve/client.ts";
import type { EidosServer } from "../../src/serve/index.node.ts";
import { temporaryFolder } from "../support.ts";
import { ask, fitConditional, fitImages, fixture, float32, openRun, picture, serve } from "./support.ts";

// Pictures that a server completes, varies and leads from one to another: what it answers equals what the runs answer when they are opened here.

let folder = "";
let server: EidosServer;
beforeAll(async () => {
  folder = await temporaryFolder();
  await fitImages(join(folder, "images"));
  await fitConditional(join(folder, "vae"));
  server = await serve(
    [join(folder, "images"), join(folder, "vae"), `digits=${fixture("rectified-flow-digits")}`],
    {
      port: 0,
      workers: 1,
      threads: 1,
      log: "silent",
      maxSamples: 20,
    },
  );
});
afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

describe("pictures of a server", () => {
  it("completes the unknown part of pictures as the run does, and keeps the rest", async () => {
    await using run = await openRun(fixture("rectified-flow-digits"), { threads: 1 });
    const x = float32(
      Float32Array.from({ length: 784 }, (_, i) => (i * 11) % 256),
      [1, 1, 28, 28],
    );
    const samples = { shape: x.shape, data: [...x.data] };
    const options = { draws: 2, seed: 1, steps: 3 };
    const mine = await run.inpaint(x, { ...options, unknown: { kind: "half", half: "bottom" } });
    const half = await ask(server, "/inpaint?model=digits", { samples, half: "bottom", ...options });
    expect(half.status).toBe(200);
    expect(half.body.samples.shape).toEqual([1, 2, 1, 28, 28]);
    const far = half.body.samples.data.filter(
      (value: number, i: number) =>
        Math.abs(value - Math.min(255, Math.max(0, mine.data[i] ?? Number.NaN))) > 1,
    );
    expect(far).toEqual([]);
    expect(half.body.samples.data.slice(0, 392)).toEqual(samples.data.slice(0, 392));
    const unknown = { shape: [28, 28], data: samples.data.map((_, i) => Number(i >= 392)) };
    const masked = await ask(server, "/inpaint?model=digits", { samples, unknown, ...options });
    expect(masked.body).toEqual(half.body);
    const png = { accept: "image/png" };
    const strip = await ask(server, "/inpaint?model=digits&half=left&steps=2", await picture(28, 28), png);
    // Itself, what is known of it, the draw, and the mean of the draws.
    const { width = 0, height = 0 } = await sharp(strip.body).metadata();
    expect(width / height).toBeGreaterThan(3.5);
  });

  it("completes each of several pictures by its own mask", async () => {
    const data = Array.from({ length: 2 * 784 }, (_, i) => i % 256);
    const samples = { shape: [2, 1, 28, 28], data };
    const unknown = { shape: [2, 28, 28], data: data.map((_, i) => Number(i < 10 || i >= 1560)) };
    const { body } = await ask(server, "/inpaint?model=digits", { samples, unknown, steps: 2 });
    const changed = data.flatMap((value, i) => (body.samples.data[i] === value ? [] : [i]));
    expect(changed.filter((i) => i >= 10 && i < 1560)).toEqual([]);
    expect(changed.some((i) => i < 10) && changed.some((i) => i >= 1560)).toBe(true);
  });

  it("varies pictures by noise as the run does", async () => {
    await using run = await openRun(fixture("rectified-flow-digits"), { threads: 1 });
    const file = await picture(28, 28);
    const source = { kind: "images", form: "encoded", images: [file] } as const;
    const options = { strength: 0.3, draws: 2, seed: 4, steps: 2 };
    const mine = await run.edit(source, options);
    const { body } = await ask(server, "/edit?model=digits&strength=0.3&draws=2&seed=4&steps=2", file);
    expect(body.samples.shape).toEqual([1, 2, 1, 28, 28]);
    const far = body.samples.data.filter(
      (value: number, i: number) =>
        Math.abs(value - Math.min(255, Math.max(0, mine.data[i] ?? Number.NaN))) > 1,
    );
    expect(far).toEqual([]);
  });

  it("goes from one picture to another, the ends of a flow being themselves", async () => {
    const data = Array.from({ length: 2 * 784 }, (_, i) => (i * 7) % 256);
    const samples = { shape: [2, 1, 28, 28], data };
    const { body } = await ask(server, "/interpolate?model=images", { samples, steps: 3 });
    expect(body.samples.shape).toEqual([1, 3, 1, 28, 28]);
    const ends = [...body.samples.data.slice(0, 784), ...body.samples.data.slice(2 * 784)];
    expect(ends.filter((value, i) => Math.abs(value - (data[i] ?? 0)) > 1)).toEqual([]);
    const between = body.samples.data.slice(784, 2 * 784);
    expect(between).not.toEqual(ends.slice(0, 784));
  });

  it("are led from one to another under a class, where the model has such and no features of a sample alone", async () => {
    const models = await connect(server.url).models();
    const { abilities = [] } = models.find(({ name }) => name === "vae") ?? {};
    expect(abilities).toContain("interpolate");
    expect(abilities).not.toContain("embed");
    const samples = { shape: [2, 1, 28, 28], data: Array.from({ length: 2 * 784 }, (_, i) => i % 2) };
    const [one, other] = await Promise.all(
      [3, 7].map((label) => ask(server, "/interpolate?model=vae", { samples, steps: 2, label })),
    );
    expect(one?.body.samples.shape).toEqual([1, 2, 1, 28, 28]);
    expect(other?.body.samples).not.toEqual(one?.body.samples);
    const without = await ask(server, "/interpolate?model=vae", { samples, steps: 2 });
    expect(without.status).toBe(400);
    expect(without.body.error).toMatch(/class/);
  });

  it("are shown as they form, the last ones as they are drawn", async () => {
    const wanted = { count: 2, seed: 4, label: 3, steps: 4 };
    const { samples } = (await ask(server, "/sample?model=digits", wanted)).body;
    const { status, body } = await ask(server, "/sample?model=digits", { ...wanted, states: 3 });
    expect(status).toBe(200);
    expect(body.samples.shape).toEqual([3, 2, 1, 28, 28]);
    const size = 2 * 784;
    const last = body.samples.data.slice(2 * size);
    expect(last.filter((value: number, i: number) => Math.abs(value - samples.data[i]) > 1)).toEqual([]);
    expect(body.samples.data.slice(0, size)).not.toEqual(last);
  });

  it("are what its client returns", async () => {
    const client = connect(server.url);
    const digits = client.model<"rectified-flow">("digits");
    const file = await picture(28, 28);
    const options = { draws: 2, seed: 2, steps: 2 };
    const pictures = { shape: [2, 1, 28, 28], data: Array.from({ length: 2 * 784 }, (_, i) => i % 256) };
    expect(await digits.inpaint(file, { half: "top", ...options })).toEqual(
      (await ask(server, "/inpaint?model=digits&half=top&draws=2&seed=2&steps=2", file)).body,
    );
    expect(await digits.edit(pictures, { strength: 0.9, ...options })).toEqual(
      (await ask(server, "/edit?model=digits", { samples: pictures, strength: 0.9, ...options })).body,
    );
    expect(await client.model("images").interpolate(pictures, { steps: 2 })).toEqual(
      (await ask(server, "/interpolate?model=images", { samples: pictures, steps: 2 })).body,
    );
  });
});

describe("a request for pictures that is wrong", () => {
  const samples = { shape: [1, 1, 28, 28], data: Array(784).fill(0) };
  const mask = (value: number, shape: readonly number[] = [28, 28]) => ({
    samples,
    unknown: { shape, data: Array(shape.reduce((all, one) => all * one, 1)).fill(value) },
  });
  it.each([
    ["nothing told", "/inpaint?model=digits", { samples }, 400, /one of unknown and half/],
    ["told twice", "/inpaint?model=digits", { ...mask(1), half: "top" }, 400, /one of unknown and half/],
    ["nothing unknown", "/inpaint?model=digits", mask(0), 400, /nothing is unknown/],
    ["half a pixel unknown", "/inpaint?model=digits", mask(0.5), 400, /unknown holds 0\.5/],
    ["a mask of another size", "/inpaint?model=digits", mask(1, [14, 56]), 400, /takes \[28,28\]/],
    ["masks of more pictures", "/inpaint?model=digits", mask(1, [3, 28, 28]), 400, /one for each picture/],
    [
      "too many draws",
      "/edit?model=digits",
      { samples, draws: 21 },
      413,
      /21 pictures, more than the limit of 20/,
    ],
    ["too much noise", "/edit?model=digits", { samples, strength: 2 }, 400, /^strength: /],
    ["one end", "/interpolate?model=digits", { samples, steps: 2 }, 400, /1 pictures do not make pairs/],
    ["no step between", "/interpolate?model=digits", { samples, steps: 1 }, 400, /^steps: /],
    [
      "what it cannot do",
      "/edit?model=images",
      { samples },
      400,
      /images \(nice\) cannot edit; it can score, sample/,
    ],
    [
      "too many states",
      "/sample?model=digits",
      { count: 3, states: 7 },
      413,
      /21 samples, more than the limit of 20/,
    ],
    ["reasons of pictures", "/score?model=images", { samples, why: 1 }, 400, /^why: /],
  ] as const)("%s", async (_what, path, body, status, message) => {
    const reply = await ask(server, path, body);
    expect(reply.body.error).toMatch(message);
    expect(reply.status).toBe(status);
  });
});
