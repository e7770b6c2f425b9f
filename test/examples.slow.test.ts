import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fit } from "../src/index.ts";
import { readSafetensors } from "../src/nn/safetensors.ts";
import { Random } from "../src/random.ts";
import { installedPackage } from "./packed.ts";

// The programs of examples/, each in a process of its own, on the packed and installed package: `npm run test:slow` builds it first.

const built = existsSync(new URL("../dist/index.js", import.meta.url));
if (!built) console.warn("examples skipped: dist/ is missing; npm run test:slow builds it first");

let folder: string;
beforeAll(async () => {
  folder = await installedPackage(["sharp", "@duckdb/node-api", "onnxruntime-web", "tsx"]);
  await cp(join(folder, "node_modules", "eidos", "examples"), join(folder, "examples"), { recursive: true });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs an example in a scratch folder; its standard output. */
async function run(name: string, ...args: readonly string[]): Promise<string> {
  const script = join(folder, "examples", `${name}.ts`);
  const tsx = import.meta.resolve("tsx");
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", tsx, script, ...args], {
    cwd: folder,
  });
  return stdout;
}

/** The number in the first group of a pattern that the text must match. */
function numberIn(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`nothing matches ${pattern} in:\n${text}`);
  return Number(found);
}

const NUMBER = "(-?\\d+(?:\\.\\d+)?(?:e[-+]\\d+)?)";

describe.skipIf(!built)("examples", () => {
  it("tensors: values, slopes and curvatures of x sin x, and a linear regression", async () => {
    const output = await run("tensors");
    for (const x of [0, 1, 2, 3]) {
      const [sin, cos] = [Math.sin(x), Math.cos(x)];
      const row = [x * sin, sin + x * cos, 2 * cos - x * sin].map((value) => value.toFixed(4)).join(" +");
      expect(output).toMatch(new RegExp(`^${x} +${row}$`, "m"));
    }
    expect(output).toContain("weights after 100 steps: 3.000, -2.000");
  });

  it("two-detectors: both are measured on the same images, and there is a picture", async () => {
    const output = await run("two-detectors", "4");
    for (const model of ["yolo", "faster-rcnn"]) {
      expect(output).toMatch(
        new RegExp(`^${model}: AP50 [01]\\.\\d{3}, \\d+ parameters, .* errors: class \\d+`, "m"),
      );
    }
    const bytes = await readFile(join(folder, "runs/two-detectors.png"));
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
  });

  it("receptive-fields: a larger dilation sees farther, and there is a picture", async () => {
    const output = await run("receptive-fields");
    const within = [1, 2, 3].map((dilation) =>
      numberIn(output, new RegExp(`^dilation ${dilation}: .* 90 % within ${NUMBER} pixels$`, "m")),
    );
    expect(within).toEqual(within.toSorted((a, b) => a - b));
    expect(new Set(within).size).toBe(3);
    const bytes = await readFile(join(folder, "runs/receptive-fields.png"));
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
  });

  it("similar-pictures: a copy is the most similar, what is like no other the oddest, and there are pictures", async () => {
    const photos = join(folder, "photos");
    await mkdir(photos);
    const gray = (path: string, shade: (i: number) => number) =>
      sharp(
        Uint8Array.from({ length: 256 }, (_, i) => shade(i)),
        { raw: { width: 16, height: 16, channels: 1 } },
      )
        .png()
        .toFile(join(photos, path));
    const random = new Random(6);
    // Vertical stripes with noise, one of them twice, and horizontal ones once.
    for (let i = 0; i < 30; i++) {
      await gray(`stripes-${i}.png`, (k) => (k % 4 < 2 ? 200 : 20) + random.integer(50));
    }
    await cp(join(photos, "stripes-7.png"), join(photos, "copy.png"));
    await gray("odd.png", (k) => (Math.floor(k / 16) % 8 < 4 ? 250 : 0));
    await fit({
      ...{ model: "autoencoder", data: photos, out: join(folder, "runs/encoder"), seed: 1 },
      ...{ codeSize: 8, channels: 4, hidden: 16, decoderChannels: 4 },
      ...{ batchSize: 16, steps: 60, threads: 1, report: "none" },
    });
    const output = await run("similar-pictures", "runs/encoder", "photos");
    const lines = output.split("\n");
    expect(lines[0]).toBe("the most similar of 32 pictures");
    expect(lines[1]).toMatch(/^0\.0000 {2}(copy\.png {2}stripes-7\.png|stripes-7\.png {2}copy\.png)$/);
    expect(output).toMatch(/^the oddest ones, .*\n\d\.\d{4} {2}odd\.png {2}/m);
    for (const name of ["similar", "odd"]) {
      const bytes = await readFile(join(folder, `runs/${name}.png`));
      expect(bytes.subarray(1, 4).toString()).toBe("PNG");
    }
  });

  it("copy-paste: images have their objects and copies of the small ones, and there is a picture", async () => {
    const output = await run("copy-paste");
    for (const image of [1, 2]) {
      const plain = numberIn(output, new RegExp(`^image ${image}, as it is: ${NUMBER} objects$`, "m"));
      const copies = numberIn(output, new RegExp(`^image ${image}, ${NUMBER} copies: `, "m"));
      const all = numberIn(output, new RegExp(`^image ${image}, \\d+ copies: ${NUMBER} objects$`, "m"));
      expect(copies).toBeGreaterThan(0);
      expect(all).toBe(plain + copies);
    }
    const bytes = await readFile(join(folder, "runs/copy-paste.png"));
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
  });

  it("two-moons: samples come near the density of the data, and there is a picture", async () => {
    const output = await run("two-moons", "150");
    // Untrained, samples would be noise: below −10 nats.
    expect(numberIn(output, new RegExp(`log-density of samples: ${NUMBER}`))).toBeGreaterThan(-5);
    expect(numberIn(output, new RegExp(`log-density of test points: ${NUMBER}`))).toBeCloseTo(-2.41, 1);
    const picture = /2000 samples: (.*\.png)/.exec(output)?.[1] ?? "";
    const bytes = await readFile(join(folder, picture));
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
  });

  it("own-model: a mixture of Gaussians reaches the likelihood of the true density", async () => {
    const output = await run("own-model", "150");
    const own = numberIn(output, new RegExp(`^log-likelihood: ${NUMBER}`, "m"));
    const truth = numberIn(output, new RegExp(`^log-likelihood of the true density: ${NUMBER}`, "m"));
    expect(own).toBeLessThan(truth + 0.01);
    expect(own).toBeGreaterThan(truth - 0.3);
    const picture = /2000 samples: (.*\.png)/.exec(output)?.[1] ?? "";
    expect((await stat(join(folder, picture))).size).toBeGreaterThan(1000);
  });

  it("own-flow: a flow put together from parts comes near the true density", async () => {
    const output = await run("own-flow", "200");
    const own = numberIn(output, new RegExp(`^log-likelihood of 2000 test points: ${NUMBER}`, "m"));
    const truth = numberIn(output, new RegExp(`^by the true density: ${NUMBER}`, "m"));
    expect(own).toBeLessThan(truth + 0.01);
    expect(own).toBeGreaterThan(truth - 0.2);
    expect(output.match(/^sample: /gm)).toHaveLength(3);
  });

  it("unusual-rows: the three planted rows come first", async () => {
    const output = await run("unusual-rows", "200");
    const rows = [...output.matchAll(/^row (\d+): /gm)].slice(0, 3).map((match) => Number(match[1]));
    expect(rows.sort((a, b) => a - b)).toEqual([100, 700, 1500]);
  });

  it("plain-onnxruntime: the exported model computes what eidos computes", async () => {
    const output = await run("plain-onnxruntime", "30");
    expect(output).toContain("inputs x,y, outputs logLikelihood");
    expect(output.match(/^point \d/gm)).toHaveLength(5);
    expect(numberIn(output, new RegExp(`largest difference: ${NUMBER}`))).toBeLessThan(1e-4);
  });

  it("pytorch-weights: the output is PyTorch's, and the file written back holds the same values", async () => {
    const output = await run("pytorch-weights");
    expect(numberIn(output, new RegExp(`largest difference to PyTorch: ${NUMBER}`))).toBeLessThan(1e-6);
    const original = new URL("../examples/pytorch/mlp.safetensors", import.meta.url);
    const [before, after] = await Promise.all([
      readFile(original),
      readFile(join(folder, "runs", "mlp-from-eidos.safetensors")),
    ]);
    const tensors = readSafetensors(before, "before").tensors;
    expect(readSafetensors(after, "after").tensors).toEqual(tensors);
    expect([...tensors.keys()]).toContain("4.weight");
  });

  it("classify-digits: a small network reads most of the test digits", async () => {
    const output = await run("classify-digits", "120");
    expect(numberIn(output, new RegExp(`accuracy on 1000 test digits: ${NUMBER} %`))).toBeGreaterThan(80);
  });

  it("find-digits: a detector is measured, run on files, and run as a file of ONNX", async () => {
    const output = await run("find-digits", "12");
    expect(numberIn(output, new RegExp(`AP50 ${NUMBER}`))).toBeGreaterThanOrEqual(0);
    expect(output.match(/^00000\d-\d\.png: /gm)).toHaveLength(2);
    expect(output).toContain("detect.onnx: objects in an image");
    expect(output).toMatch(/^plain ONNX Runtime sees \d+ digits: /m);
    for (const name of ["000000-3.png", "000001-3.png"]) {
      expect((await stat(join(folder, "runs/find-digits/found", name))).size).toBeGreaterThan(1000);
    }
  });

  it("image-pyramid: a detector is measured at one scale and over a pyramid, and drawn", async () => {
    const output = await run("image-pyramid", "3");
    expect(numberIn(output, new RegExp(`one scale +AP50 ${NUMBER}`))).toBeGreaterThanOrEqual(0);
    expect(numberIn(output, new RegExp(`pyramid +AP50 ${NUMBER}`))).toBeGreaterThanOrEqual(0);
    expect((await stat(join(folder, "runs/image-pyramid/image-pyramid.png"))).size).toBeGreaterThan(10_000);
  });

  it("anchors-and-cells: counts what the pages of RetinaNet and YOLO v1 quote", async () => {
    const output = await run("anchors-and-cells", "digit-scenes", "160");
    expect(output).toContain("1732 objects in 400 images");
    expect(output).toMatch(/^ +2\.0 +0\.59 +24\.8 %$/m);
    expect(output).toMatch(/^ +32 +34$/m);
  });
});
