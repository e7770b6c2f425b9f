import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { CommandModule } from "../../src/cli/command.ts";
import { DataError, EidosError, OptionError } from "../../src/errors.ts";
import { openRun } from "../../src/tasks/open-run.node.ts";
import { painted, writeImage, writeText } from "../data/boxes/support.ts";
import { temporaryFolder } from "../support.ts";
import { ran, squares, TINY } from "../tasks/measure/detection-support.ts";

let root = "";
let photos = "";
const path = () => join(root, "run");

beforeAll(async () => {
  root = await temporaryFolder();
  photos = await squares(8);
  await ran({
    model: "center-net",
    data: photos,
    size: 64,
    width: 0.25,
    batchSize: 2,
    threads: 1,
    steps: 2,
    samplePictures: 0,
    out: path(),
  });
});
afterAll(async () => {
  await rm(root, { recursive: true });
  await rm(photos, { recursive: true });
});

/** A file of JSON. */
const json = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, "utf8"));

const COMMANDS: Readonly<Record<string, { readonly args: string; load(): Promise<CommandModule> }>> = {
  detect: { args: "<run> <images...>", load: () => import("../../src/cli/commands/detect.ts") },
  eval: { args: "<run> [data]", load: () => import("../../src/cli/commands/eval.ts") },
  merge: { args: "<folder>", load: () => import("../../src/cli/commands/merge.ts") },
  export: { args: "<run>", load: () => import("../../src/cli/commands/export.ts") },
};

/** What a command prints on standard output, and on standard error. */
async function printed(
  name: keyof typeof COMMANDS,
  ...args: readonly string[]
): Promise<{ readonly out: string; readonly error: string }> {
  const { args: positional = "", load } = COMMANDS[name] ?? {};
  if (load === undefined) throw new Error(`no command ${name}`);
  const program = new Command().exitOverride();
  const command = program.command(`${name} ${positional}`).exitOverride();
  await (await load()).configure(command, args);
  const texts = { out: "", error: "" };
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
      texts.out += chunk;
      return true;
    }),
    vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
      texts.error += chunk;
      return true;
    }),
  ];
  try {
    await program.parseAsync([name, ...args], { from: "user" });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return texts;
}

/** The run as if it had been fitted with SNIP. */
async function snipRun(): Promise<string> {
  const folder = join(root, "snip");
  await cp(path(), folder, { recursive: true });
  const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
  const snip = { snip: true, scales: [1, 2], validRanges: ["0-40", "30-inf"] };
  Object.assign(config.dataOptions, snip);
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

test("a run that was fitted with SNIP looks at its own scales, which is told and recorded", async () => {
  const run = await snipRun();
  const note = /^looks at scales 1, 2, as it was fitted with --snip; --test-scales 1 looks once$/m;
  const own = { testScales: [1, 2], merge: "nms", testRanges: ["0-40", "30-inf"] };
  const usual = await printed("eval", run, "--json");
  expect(usual.error.match(note)).toHaveLength(1);
  expect(JSON.parse(usual.out).detect).toMatchObject(own);
  const once = await printed("eval", run, "--json", "--test-scales", "1");
  expect(once.error).not.toMatch(/looks/);
  expect(JSON.parse(once.out).detect).not.toHaveProperty("testScales");
  const [others, mirrored] = [
    await printed("eval", run, "--json", "--test-scales", "0.5,1"),
    await printed("eval", run, "--json", "--mirror", "--merge", "fusion"),
  ];
  expect(JSON.parse(others.out).detect).toMatchObject({ testScales: [0.5, 1] });
  expect(JSON.parse(others.out).detect).not.toHaveProperty("testRanges");
  expect(JSON.parse(mirrored.out).detect).toMatchObject({ ...own, mirror: true, merge: "fusion" });
  const out = join(root, "snip-found");
  const found = await printed("detect", run, join(photos, "images/p0.png"), "--out", out, "--no-pictures");
  expect(found.error.match(note)).toHaveLength(1);
  expect(JSON.parse(await readFile(join(out, "detections.json"), "utf8"))).toMatchObject(own);
});

describe("eidos detect", () => {
  test("writes pictures and both forms of JSON, and prints what it left out", async () => {
    const folder = join(root, "some");
    await writeImage(folder, "a.jpg", painted(90, 60, [120, 130, 110]));
    await writeImage(folder, "sub/b.png", painted(60, 90, [120, 130, 110]));
    await writeText(folder, "broken.jpg", "no image");
    const out = join(root, "found");
    const texts = await printed("detect", path(), folder, "--out", out, "--confidence", "0", "--max", "7");
    expect(texts.error).toMatch(/^left out broken\.jpg: [^\n]+$/m);
    expect(texts.out).toMatch(
      /^2 images, 1 left out, 14 objects with a score from 0 on, .* images\/s: .*found\n$/,
    );
    const own = JSON.parse(await readFile(join(out, "detections.json"), "utf8"));
    expect(own).toMatchObject({ model: "center-net", confidence: 0, maximum: 7, classes: ["blue", "red"] });
    expect(
      own.images.map(({ file, objects }: { file: string; objects: unknown[] }) => [file, objects.length]),
    ).toEqual([
      ["a.jpg", 7],
      ["sub/b.png", 7],
    ]);
    for (const { picture } of own.images) expect(existsSync(join(out, picture))).toBe(true);
    expect(JSON.parse(await readFile(join(out, "coco.json"), "utf8")).annotations).toHaveLength(14);
  });

  test("by shards finds, draws and leaves out what one process does, and does no shard twice", async () => {
    const folder = join(root, "divided");
    for (let i = 0; i < 5; i++) await writeImage(folder, `${i}.png`, painted(90, 60, [120, 30 * i, 110]));
    await writeImage(folder, "1.jpg", painted(40, 60, [10, 130, 110]));
    await writeText(folder, "3.jpg", "no image");
    const [whole, parts] = [join(root, "whole"), join(root, "parts")];
    const args = [path(), folder, "--confidence", "0", "--max", "3"];
    await printed("detect", ...args, "--out", whole);
    for (const i of [2, 0]) await printed("detect", ...args, "--out", parts, "--shard", `${i}/3`);
    await expect(printed("merge", parts)).rejects.toThrow(/1 of 3 parts are missing: shards 1; run these/);
    await printed("detect", ...args, "--out", parts, "--shard", "1/3");
    expect((await printed("detect", ...args, "--out", parts, "--shard", "0/3")).error).toMatch(
      /part-00000-of-00003\.json is there already, and whole$/m,
    );
    const other = printed("detect", ...args, "--out", parts, "--shard", "0/3", "--iou", "0.1");
    await expect(other).rejects.toThrow(/has parts of other work, which differs in about/);
    expect((await printed("merge", parts)).out).toMatch(/^3 parts, 6 images: .*parts\n$/);
    for (const name of ["detections.json", "coco.json", "coco-results.json"]) {
      expect(await json(join(parts, name))).toEqual(await json(join(whole, name)));
    }
    for (const name of ["1.jpg", "1-2.jpg", "3-2.jpg"]) {
      expect(await readFile(join(parts, name))).toEqual(await readFile(join(whole, name)));
    }
    await expect(printed("detect", ...args, "--out", parts, "--shard", "3/3")).rejects.toThrow(
      /option shard: there is no shard 3 of 3/,
    );
  });

  test("has the ids of a ground truth, and says that the run is hardly trained", async () => {
    const folder = join(root, "truth");
    await writeImage(folder, "a.png", painted(90, 60, [120, 130, 110]));
    await writeImage(folder, "b.png", painted(90, 60, [120, 130, 110]));
    const truth = {
      images: [{ id: 4711, file_name: "val/a.png" }],
      annotations: [],
      categories: [
        { id: 90, name: "red" },
        { id: 3, name: "green" },
      ],
    };
    await writeText(root, "truth.json", JSON.stringify(truth));
    const out = join(root, "truth-found");
    const found = ["--out", out, "--confidence", "0", "--max", "50", "--no-pictures"];
    const { error } = await printed("detect", path(), folder, ...found, "--coco", join(root, "truth.json"));
    const results = JSON.parse(await readFile(join(out, "coco-results.json"), "utf8"));
    expect(results.length).toBeGreaterThan(0);
    for (const result of results) {
      expect(result).toMatchObject({ image_id: 4711, category_id: 90, bbox: expect.any(Array) });
      expect(Object.keys(result)).toEqual(["image_id", "category_id", "bbox", "score"]);
    }
    const coco = JSON.parse(await readFile(join(out, "coco.json"), "utf8"));
    expect(coco.images).toEqual([{ id: 4711, file_name: "a.png", width: 90, height: 60 }]);
    expect(coco.categories).toEqual([{ id: 90, name: "red" }]);
    expect(error).toMatch(/no results: 1 images, the first is b\.png/);
    expect(error).toMatch(/no results: classes blue/);
    expect(error).toMatch(/^the run is hardly trained: /m);
  });

  test("looks at images several times where asked, and records how", async () => {
    const folder = join(root, "twice");
    await writeImage(folder, "a.png", painted(90, 60, [120, 130, 110]));
    const out = join(root, "twice-found");
    const several = ["--test-scales", "1,2", "--mirror", "--merge", "fusion", "--test-ranges", "0-80,40-inf"];
    await printed("detect", path(), folder, "--out", out, "--confidence", "0", "--no-pictures", ...several);
    expect(JSON.parse(await readFile(join(out, "detections.json"), "utf8"))).toMatchObject({
      testScales: [1, 2],
      mirror: true,
      merge: "fusion",
      testRanges: ["0-80", "40-inf"],
    });
    await expect(
      printed("detect", path(), folder, "--test-scales", "1,2", "--test-ranges", "0-80"),
    ).rejects.toThrow(/option testRanges: 1 range for 2 scales/);
  });

  test.skipIf(process.platform === "win32")("follows links out of a folder where asked", async () => {
    await writeImage(root, "store/a.png", painted(90, 60, [120, 130, 110]));
    await writeImage(root, "linked/b.png", painted(90, 60, [120, 130, 110]));
    await symlink("../store/a.png", join(root, "linked/a.png"));
    const args = [path(), join(root, "linked"), "--out", join(root, "linked-found"), "--confidence", "0"];
    const plain = await printed("detect", ...args);
    expect(plain.error).toMatch(
      /not looked into, left out: 1, the first is .*linked\/a\.png: a link to .*store/,
    );
    expect(plain.out).toMatch(/^1 image, /);
    const own = JSON.parse(await readFile(join(root, "linked-found/detections.json"), "utf8"));
    expect(own.unreadable).toEqual([
      { name: join(root, "linked/a.png"), reason: expect.stringMatching(/^a link/) },
    ]);
    expect((await printed("detect", ...args, "--follow-links")).out).toMatch(/^2 images, /);
    await mkdir(join(root, "linked-alone"));
    await symlink("../store/a.png", join(root, "linked-alone/a.png"));
    await expect(printed("detect", path(), join(root, "linked-alone"))).rejects.toThrow(
      /no image .*a link to .*store/,
    );
  });

  test("of a single image prints JSON where asked, without pictures where asked", async () => {
    const file = join(photos, "images/p0.png");
    const out = join(root, "single");
    const { out: text } = await printed(
      "detect",
      path(),
      file,
      "--out",
      out,
      "--json",
      "--no-pictures",
      "--max",
      "1",
      "--confidence",
      "0",
    );
    const [image] = JSON.parse(text).images;
    expect(image).toMatchObject({
      file: "p0.png",
      width: 96,
      height: 64,
      objects: [{ score: expect.any(Number) }],
    });
    expect(existsSync(join(out, "p0.jpg"))).toBe(false);
  });

  test("prints in one line what cannot be", async () => {
    const broken = join(root, "broken.png");
    await writeText(root, "broken.png", "no image");
    for (const [args, kind] of [
      [[path(), broken], DataError],
      [[path(), join(root, "none.jpg")], DataError],
      [[path(), photos, "--confidence", "2"], OptionError],
      [[path(), photos, "--iou", "much"], OptionError],
      [[join(root, "no-run"), photos], EidosError],
    ] as const) {
      const error = await printed("detect", ...args).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(kind);
      expect(error instanceof EidosError && error.message).toMatch(/^[^\n]+$/);
    }
  });
});

describe("eidos eval", () => {
  test("looks at images several times where asked: at scale 1 alone it finds what it does without", async () => {
    const json = async (...args: readonly string[]) =>
      JSON.parse((await printed("eval", path(), "--json", ...args)).out);
    const plain = await json();
    expect(plain.detect).toEqual({ confidence: 0.01, iou: 0.6, maximum: 100 });
    const { imagesPerSecond: _s, results: _r, ...one } = await json("--test-scales", "1");
    const { imagesPerSecond: _t, results: _q, ...none } = plain;
    expect(one).toEqual(none);
    const several = await json("--test-scales", "0.5,1,2", "--mirror", "--merge", "soft-nms");
    expect(several.detect).toMatchObject({
      testScales: [0.5, 1, 2],
      mirror: true,
      merge: "soft-nms",
    });
    const { out } = await printed("eval", path(), "--test-scales", "1,2", "--mirror");
    expect(out).toMatch(/ images of 64, 128 pixels and their mirror images, merged by nms: weights of step/);
  });

  test("of a detector has COCO's and VOC's measures and what is wrong", async () => {
    const json = JSON.parse((await printed("eval", path(), "--json", "--split", "validation")).out);
    expect(json).toMatchObject({
      model: "center-net",
      split: "validation",
      size: 64,
      coco: { images: 2, objects: 4, ap: expect.any(Number), ar100: expect.any(Number) },
      voc: { ap: expect.any(Number), ap11: expect.any(Number) },
      errors: { counts: { missed: expect.any(Number) } },
      detect: { confidence: 0.01, iou: 0.6, maximum: 100 },
    });
    expect(json.coco.classes.map(({ name }: { name: string }) => name)).toEqual(["blue", "red"]);
    const { out } = await printed("eval", path());
    expect(out).toMatch(/^center-net on .*, test split, images of 64 × 64: weights of step \d/);
    for (const measure of [
      "AP50 ",
      "AP small",
      "AR ",
      "VOC AP, 11 points",
      "AP50 of blue",
      "cost: not found",
    ]) {
      expect(out).toContain(`\n${measure}`);
    }
  });

  test("takes other data with the same classes, and refuses others in one line", async () => {
    const [same, other] = [await squares(8, ["blue", "red"]), await squares(8, ["red", "green"])];
    const json = JSON.parse((await printed("eval", path(), same, "--json")).out);
    expect(json.coco).toMatchObject({ images: 2, objects: 4 });
    await expect(printed("eval", path(), other)).rejects.toThrow(
      /classes of the run .* are blue, red; the data have green besides.*--classes blue,red/,
    );
    const dropped = JSON.parse((await printed("eval", path(), other, "--json", "--classes", "blue,red")).out);
    expect(dropped.coco).toMatchObject({ images: 2, objects: 2 });
    for (const folder of [same, other]) await rm(folder, { recursive: true });
  });

  test("measures by size, for wrong detections and as FDDB has it where asked, and draws plots", async () => {
    const out = join(root, "measured");
    const asked = ["--sizes", "8,24,96", "--false-positives", "0.5,100", "--recalls", "0,1", "--roc", "3"];
    const { out: text, error } = await printed("eval", path(), ...asked, "--out", out);
    // Squares are of 20 × 16 and 30 × 20 pixels.
    expect(text).toMatch(/^AP of size 8–24 +[\d.]+ .*2 objects: AP50 [\d.]+, AR [\d.]+$/m);
    expect(text).toMatch(/^recall of size 24–96 +[\d.]+ .* [0-2] of 2 at IoU 0\.5, score from [\d.]+ on$/m);
    expect(text).not.toMatch(/size 0–8/);
    expect(text).toMatch(/^recall at 0\.5 wrong an image +[\d.]+/m);
    expect(text).toMatch(/^wrong an image at recall 0 +[\d.]+ .*precision [\d.]+, recall [\d.]+/m);
    expect(text).toMatch(
      /^continuous rate at 3 wrong +[\d.]+ .*FDDB: at most 3 wrong detections of \d+ in all$/m,
    );
    expect(text).toContain(`plots and evaluation.json: ${out}`);
    expect(error).toMatch(/^no objects of size 0–8, 96– \(pixels\)$/m);
    for (const name of ["recall-by-size", "confusion", "roc"]) {
      expect(await readFile(join(out, `${name}.svg`), "utf8")).toMatch(/^<svg /);
    }
    expect(existsSync(join(out, "faces.svg"))).toBe(false);
    const json = JSON.parse(await readFile(join(out, "evaluation.json"), "utf8"));
    expect(
      json.coco.sizes.map(({ name, objects }: { name: string; objects: number }) => [name, objects]),
    ).toEqual([
      ["0–8", 0],
      ["8–24", 2],
      ["24–96", 2],
      ["96–", 0],
    ]);
    expect(json.coco.classes[0].sizes).toHaveLength(4);
    expect(json.recallBySize.sizes.map(({ objects }: { objects: number }) => objects)).toEqual([0, 2, 2, 0]);
    expect(json.falsePositives.map(({ limit }: { limit: number }) => limit)).toEqual([0.5, 100]);
    expect(json.roc.at).toEqual([{ limit: 3, discrete: expect.any(Number), continuous: expect.any(Number) }]);
    await using run = await openRun(path(), { threads: 1 });
    const measured = await run.evaluateBoxes(undefined, { sizes: [8, 24, 96], falsePositives: [0.5, 100] });
    expect(JSON.parse(JSON.stringify(measured.coco))).toEqual(json.coco);
    expect(JSON.parse(JSON.stringify(measured.falsePositives))).toEqual(json.falsePositives);
    expect(measured).not.toHaveProperty("roc");
  });

  test("has WIDER FACE's measures of data with easy, medium and hard faces, and tells what others lack", async () => {
    const faces = await squares(8);
    const rows = (await readFile(join(faces, "annotations.csv"), "utf8")).trim().split("\n").slice(1);
    const cells = rows.map((row) => row.split(","));
    const names = [...new Set(cells.map(([file]) => file))];
    const images = names.map((file_name, id) => ({ id, file_name, width: 96, height: 64 }));
    const annotations = cells.map(([file, , , label, ...edges], i) => {
      const [x = 0, y = 0, right = 0, bottom = 0] = edges.map(Number);
      const bbox = [x, y, right - x, bottom - y];
      const difficulty = label === "red" ? ["easy", "hard"][Math.floor(i / 2) % 2] : undefined;
      return { id: i, image_id: names.indexOf(file), category_id: label === "red" ? 1 : 2, bbox, difficulty };
    });
    const categories = [
      { id: 1, name: "red" },
      { id: 2, name: "blue" },
    ];
    await rm(join(faces, "annotations.csv"));
    await writeText(faces, "test.json", JSON.stringify({ images, annotations, categories }));
    const { out } = await printed("eval", path(), faces, "--face");
    expect(out).toMatch(/^AP of easy faces +[\d.]+ .*WIDER FACE, 4 faces$/m);
    expect(out).toMatch(/^AP of hard faces +[\d.]+ .*WIDER FACE, 8 faces$/m);
    expect(out).toMatch(/^discrete rate at 1000 wrong +/m);
    await rm(faces, { recursive: true });
    await expect(printed("eval", path(), "--face")).rejects.toThrow(
      /^option face: no face of the test split of .* counts as easy, medium or hard; give WIDER FACE with [^\n]*$/,
    );
    await expect(printed("eval", path(), "--sizes", "16,8")).rejects.toThrow(
      /^option sizes: boundaries 16,8 must be positive and rise/,
    );
    await expect(printed("eval", path(), "--recalls", "2")).rejects.toThrow(/option recalls/);
  });

  test("refuses options of the other kind of model", async () => {
    await expect(printed("eval", path(), "--distances", "all")).rejects.toThrow(
      /option distances is not of detectors/,
    );
    await expect(printed("eval", path(), "--split-seed", "3")).rejects.toThrow(
      /run's own data is read as it was fitted/,
    );
  });
});

test("eidos export prints what the file takes and gives", async () => {
  const out = join(root, "model.onnx");
  const { out: text } = await printed("export", path(), "--raw-tensor", "--out", out);
  expect(text).toMatch(/RGB images as bytes .* \[batch, 3, 64, 64\]\. boxes: \[batch, \d+, 4\]/);
  expect(existsSync(out)).toBe(true);
});

test("eidos export --suppression writes what is found, and names options that it has no use for", async () => {
  const out = join(root, "found.onnx");
  const options = ["--suppression", "--confidence", "0.2", "--max", "7"];
  const { out: text } = await printed("export", path(), "--raw-tensor", "--out", out, ...options);
  expect(text).toMatch(/duplicates taken away \(confidence 0\.2, IoU 0\.6\).*classes: \[batch, 7\]/);
  expect(existsSync(out)).toBe(true);
  await expect(printed("export", path(), "--raw-tensor", "--iou", "0.4")).rejects.toThrow(
    /option iou: .*add --suppression/,
  );
  await expect(printed("export", path(), "--raw-tensor", "--suppression", "--sampler")).rejects.toThrow(
    /sampler and suppression/,
  );
});

test("all three branches of a trident or the middle one look, as asked for", async () => {
  const trident = join(root, "trident");
  const options = { model: "yolo", trident: "full", levels: 1, neck: "none", finestStride: 16 };
  const cheap = { size: 64, width: 0.25, batchSize: 2, threads: 1, steps: 2, samplePictures: 0 };
  await ran({ ...options, ...cheap, data: photos, out: trident });
  const places = async (...flags: readonly string[]) => {
    const out = join(trident, "some.onnx");
    const { out: text } = await printed("export", trident, "--raw-tensor", "--out", out, ...flags);
    return Number(/boxes: \[batch, (\d+), 4\]/.exec(text)?.[1]);
  };
  expect(await places()).toBe(3 * 16);
  expect(await places("--trident", "fast")).toBe(16);
  for (const mode of ["full", "fast"]) {
    const json = JSON.parse((await printed("eval", trident, "--json", "--trident", mode)).out);
    expect(json.modelOptions).toMatchObject({ trident: mode, levels: 1 });
  }
  const found = async (...flags: readonly string[]) => {
    const args = [trident, join(photos, "images/p0.png"), "--json", "--no-pictures", "--confidence", "0"];
    const { out: text } = await printed("detect", ...args, "--iou", "1", ...flags);
    return JSON.parse(text).images[0].objects.length;
  };
  expect(await found("--max", "1000")).toBe(3 * (await found("--max", "1000", "--trident", "fast")));
  await expect(printed("eval", path(), "--trident", "fast")).rejects.toThrow(
    /option trident: this run of center-net was fitted without branches; leave it out/,
  );
  await using run = await openRun(trident, { trident: "fast", threads: 1 });
  const exported = await run.export(join(trident, "fast.onnx"), { rawTensor: true });
  expect(exported.description).toContain("[batch, 16, 4]");
});

test("what is no data for a detector is reported", async () => {
  await expect(ran({ ...TINY, model: "yolo", data: "digits", out: join(root, "x") })).rejects.toThrow(
    DataError,
  );
  await expect(ran({ model: "nice", data: photos, binary: true, size: 320, mosaic: 1 })).rejects.toThrow(
    /mosaic/,
  );
  expect(existsSync(join(root, "x"))).toBe(false);
});
