import { existsSync } from "node:fs";
import { readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { CommandModule } from "../../src/cli/command.ts";
import { openDetection } from "../../src/data/open.node.ts";
import { DataError, EidosError, FileError, OptionError } from "../../src/errors.ts";
import { pngSize } from "../../src/report/raster/raster.ts";
import { painted, writeImage, writeText } from "../data/boxes/support.ts";
import { temporaryFolder } from "../support.ts";

let root = "";
let cells = "";

const XML = (objects: string) =>
  `<annotation><size><width>60</width><height>40</height><depth>3</depth></size>${objects}</annotation>`;
const OBJECT = (name: string, [xmin, ymin, xmax, ymax]: readonly number[], more = "") =>
  `<object><name>${name}</name>${more}<bndbox><xmin>${xmin}</xmin><ymin>${ymin}</ymin><xmax>${xmax}</xmax><ymax>${ymax}</ymax></bndbox></object>`;

beforeAll(async () => {
  root = await temporaryFolder();
  cells = join(root, "cells");
  for (let i = 0; i < 10; i++) {
    await writeImage(cells, `JPEGImages/c${i}.jpg`, painted(60, 40, [20 * i, 90, 90]));
    const odd = [
      OBJECT("red", [5, 5, 5, 9]),
      OBJECT("red", [50, 30, 70, 45]),
      OBJECT("white", [1, 1, 9, 9], "<difficult>1</difficult>"),
    ];
    const objects = OBJECT("red", [5, 5, 20 + i, 30]) + (i === 3 ? odd.join("") : "");
    await writeText(cells, `Annotations/c${i}.xml`, XML(objects));
  }
  await truncate(join(cells, "JPEGImages/c7.jpg"), 100);
  const names = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `c${from + i}\n`).join("");
  await writeText(cells, "ImageSets/Main/train.txt", names(0, 6));
  await writeText(cells, "ImageSets/Main/val.txt", names(6, 8));
  await writeText(cells, "ImageSets/Main/test.txt", names(8, 10));
});
afterAll(() => rm(root, { recursive: true }));

const COMMANDS: Readonly<Record<string, { readonly args: string; load(): Promise<CommandModule> }>> = {
  inspect: { args: "<data>", load: () => import("../../src/cli/commands/inspect.ts") },
  convert: { args: "<data> <out>", load: () => import("../../src/cli/commands/convert.ts") },
  data: { args: "[data]", load: () => import("../../src/cli/commands/data.ts") },
};

/** What a command prints on standard output. */
async function printed(name: string, ...args: readonly string[]): Promise<string> {
  const { args: positional, load } = COMMANDS[name] ?? {
    args: "",
    load: () => Promise.reject(new Error(name)),
  };
  const program = new Command().exitOverride();
  const command = program.command(`${name} ${positional}`).exitOverride();
  await (await load()).configure(command, args);
  let text = "";
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  try {
    await program.parseAsync([name, ...args], { from: "user" });
  } finally {
    spy.mockRestore();
  }
  return text;
}

describe("inspect", () => {
  test("counts, names what is wrong, and draws a contact sheet", async () => {
    const sheet = join(root, "sheet.png");
    const text = await printed("inspect", cells, "--out", sheet, "--images", "4");
    expect(text).toContain("Pascal VOC, 9 images, 11 objects of 2 classes (red 10, white 1)");
    expect(text).toContain("6 training, 1 validation and 2 test images; splits as given");
    expect(text).toMatch(/^red\s+10\s+9\s+10\s+0\s+0\s+7\s+1\s+2\s+0\s+0$/m);
    expect(text).toMatch(/^white\s+1\s+1\s+1\s+0\s+0\s+1\s+0\s+0\s+1\s+0$/m);
    expect(text).toMatch(
      /boxes of zero or negative area; dropped: 1\n {2}JPEGImages\/c3.jpg: object 2 \(red\): \[5, 5, 5, 9\]/,
    );
    expect(text).toMatch(
      /boxes that reach beyond their image; clipped to it: 1\n {2}JPEGImages\/c3.jpg: object 3/,
    );
    expect(text).toMatch(/images that cannot be decoded; left out: 1\n {2}JPEGImages\/c7.jpg: /);
    expect(text).toContain(`contact sheet: ${sheet}`);
    const bytes = await readFile(sheet);
    // Two by two images of 60 × 40, enlarged five times.
    expect(pngSize(bytes)).toMatchObject({ width: 2 * (300 + 12) + 12 });
  });

  test("shows how large training objects are, and the ranges and chips that a fit would choose", async () => {
    const scenes = ["--scenes", "20", "--canvas", "128"];
    const text = await printed("inspect", "digit-scenes", ...scenes, "--images", "0", "--size", "256");
    expect(text).toMatch(/^in the images\s+[\d.]+(\s+[\d.]+){8}$/m);
    expect(text).toMatch(/^at 256 pixels: small [\d.]+ %, medium [\d.]+ %, large [\d.]+ % \(COCO\)$/m);
    expect(text).toMatch(/^--snip --scales 0.5,1,2 would take --valid-ranges \d+-inf,\d+-\d+,0-\d+$/m);
    expect(text).toMatch(/^--sniper --scales 1,0.5,0.25 would take --valid-ranges 0-\d+,\d+-\d+,\d+-inf$/m);
    expect(text).toMatch(
      /^ {2}SNIPER: \d+ chips of 64 × 64 pixels an epoch, \d+ of background: [\d.]+ % of the pixels of 20 /m,
    );
    const json = JSON.parse(await printed("inspect", "digit-scenes", ...scenes, "--images", "0", "--json"));
    const { original, seen, size, sniper } = json.objectSizes;
    expect(size).toBe(128);
    expect(seen).toEqual(original);
    const counted = original.histogram.reduce(
      (sum: number, bin: { objects: number }) => sum + bin.objects,
      0,
    );
    expect(counted).toBe(json.splits.train.objects);
    const { side, count, pixels } = sniper.chips;
    expect(pixels).toBeCloseTo((count * side ** 2) / (20 * 128 ** 2), 9);
    const one = await printed(
      "inspect",
      "digit-scenes",
      ...scenes,
      "--images",
      "0",
      "--scales",
      "1",
      "--chip",
      "32",
    );
    expect(one).not.toContain("--snip --scales");
    expect(one).toContain("chips of 32 × 32 pixels");
  });

  test("counts the anchors that rules of several papers give an object by its size, and draws them", async () => {
    const picture = join(root, "anchors.svg");
    const args = [
      "digit-scenes",
      "--scenes",
      "12",
      "--canvas",
      "96",
      "--images",
      "0",
      "--anchor-plot",
      picture,
    ];
    const text = await printed("inspect", ...args);
    expect(text).toMatch(
      /^anchors of an object on average, by its size at 96 pixels: \d+ objects of 12 training /m,
    );
    expect(text).toMatch(
      /^\(4\) S³FD, 765 anchors: fit retina-net --anchor-layout s3fd --finest-stride 4 --levels 4 --assignment s3fd$/m,
    );
    expect(await readFile(picture, "utf8")).toMatch(/^<svg[\s\S]*Anchors of an object by its size/);
    const { anchorCounts, anchorPlot } = JSON.parse(await printed("inspect", ...args, "--json"));
    expect(anchorPlot).toBe(picture);
    const { rules, bins, objects, without } = anchorCounts;
    expect(bins.reduce((sum: number, bin: { objects: number }) => sum + bin.objects, 0)).toBe(objects);
    const column = (name: string) => rules.findIndex((rule: { name: string }) => rule.name === name);
    // The second stage of S³FD adds to what a lower threshold gives; overlap leaves no object without an anchor of its own, unless another has it.
    expect(without[column("squares, overlap")]).toBeLessThan(0.1);
    const [small] = bins;
    expect(small.anchors[column("S³FD")]).toBeGreaterThan(small.anchors[column("squares, overlap")]);
    expect(small.anchors[column("FaceBoxes")]).toBeGreaterThan(
      2 * small.anchors[column("FaceBoxes, sparse")],
    );
  });

  test("as JSON: everything, and every fault", async () => {
    const text = await printed("inspect", cells, "--json", "--images", "0", "--no-verify");
    const json = JSON.parse(text);
    expect(json).toMatchObject({
      name: "cells",
      classes: ["red", "white"],
      total: { images: 9, objects: 11, empty: 0, sizes: { small: 11, medium: 0, large: 0 }, mostObjects: 3 },
      splits: { train: { images: 6, objects: 8 }, validation: { images: 1 }, test: { images: 2 } },
      imageWidth: [60, 60, 60, 60, 60],
      faultCounts: { "empty-box": 1, "clipped-box": 1, "unreadable-image": 1 },
    });
    expect(json.faults.length).toBe(3);
    expect(json.sheet).toBeUndefined();
  });

  test("what cannot be is one line", async () => {
    const nothing = join(root, "nothing");
    for (const [args, kind] of [
      [[nothing], DataError],
      [[root, "--format", "coco"], DataError],
      [[cells, "--format", "excel"], OptionError],
      [[cells, "--images", "many"], OptionError],
      [["digit-scenes", "--canvas", "5"], OptionError],
    ] as const) {
      const error = await printed("inspect", ...args).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(kind);
      expect(error instanceof EidosError && error.message).toMatch(/^[^\n]+$/);
    }
  });
});

describe("convert", () => {
  test("writes what inspect then finds, and says what was lost", async () => {
    const out = join(root, "yolo");
    const text = await printed("convert", cells, out, "--to", "yolo");
    expect(text).toContain(`${out}: 6 training, 1 validation and 2 test images, 11 objects`);
    expect(text).toContain("marks of what is difficult, which the format does not have: 1 left out");
    expect(text).toContain("boxes of zero or negative area; dropped: 1 (JPEGImages/c3.jpg)");
    const json = JSON.parse(await printed("inspect", out, "--json", "--images", "0"));
    expect(json).toMatchObject({ classes: ["red", "white"], total: { images: 9, objects: 11 }, faults: [] });
    await expect(printed("convert", cells, out, "--to", "voc")).rejects.toThrow(FileError);
    await expect(printed("convert", cells, join(root, "x"))).rejects.toThrow(/option to/);
    expect(existsSync(join(root, "x"))).toBe(false);
  });

  test("of scenes makes files of them", async () => {
    const out = join(root, "scenes");
    const options = ["--scenes", "5", "--canvas", "48", "--largest", "30"];
    const json = JSON.parse(
      await printed("convert", "digit-scenes", out, "--to", "coco", "--json", ...options),
    );
    expect(json).toMatchObject({ images: { train: 5, validation: 1, test: 1 }, encoded: 7, faults: [] });
    const drawn = await openDetection("digit-scenes", { scenes: 5, canvas: 48, largest: 30 });
    const read = await openDetection(out);
    const [a, b] = [await drawn.splits.train.sample(2), await read.splits.train.sample(2)];
    expect(b.image.data).toEqual(a.image.data);
    for (const [side, edge] of a.boxes.entries()) expect(b.boxes[side]).toBeCloseTo(edge, 3);
  });
});

describe("data", () => {
  test("lists scenes, and looks at sets with boxes", async () => {
    expect(await printed("data")).toMatch(/^digit-scenes\s+detection\s+\[3, 160, 160\]/m);
    const text = await printed("data", cells);
    expect(text).toContain("Pascal VOC, 9 images");
    expect(text).toContain(`eidos inspect ${cells} lists faults`);
    const json = JSON.parse(await printed("data", cells, "--json"));
    expect(json).toMatchObject({
      kind: "detection",
      classes: ["red", "white"],
      summary: { total: { objects: 11 } },
    });
  });

  test("images without annotations are looked at as images alone", async () => {
    const folder = join(root, "plain");
    for (let i = 0; i < 5; i++) await writeImage(folder, `${i}.png`, painted(20, 20, [i, i, i]));
    expect(await printed("data", folder)).toContain("5 images, 20 × 20, grey");
  });
});
