import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import type { ByteImage } from "../../../src/data/boxes/set.ts";
import { openDetection } from "../../../src/data/open.node.ts";
import { letterboxBatch } from "../../../src/detection/augment/batches.ts";
import { DataError, OptionError } from "../../../src/errors.ts";
import { findImages, patternOf } from "../../../src/tasks/run/inputs.node.ts";
import { type DetectorRun, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import {
  type DetectedImage,
  DetectionWriter,
  detectFiles,
  leastScore,
  letterboxed,
  usualConfidence,
} from "../../../src/tasks/use/detect.node.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { painted, writeImage, writeText } from "../../data/boxes/support.ts";
import { temporaryFolder } from "../../support.ts";
import { ran, squares } from "../measure/detection-support.ts";

let root = "";
let photos = "";
let run: DetectorRun;

beforeAll(async () => {
  root = await temporaryFolder();
  photos = await squares(12);
  const { path } = await ran({
    model: "center-net",
    data: photos,
    size: 64,
    width: 0.25,
    augment: false,
    batchSize: 4,
    threads: 1,
    steps: 30,
    learningRate: 5e-3,
    averageDecay: 0.9,
    samplePictures: 0,
    out: join(root, "run"),
  });
  run = detectorRun(await loadRun(path, { threads: 1 }));
});
afterAll(async () => {
  await run.session.release();
  await rm(root, { recursive: true });
  await rm(photos, { recursive: true });
});

async function all(images: AsyncGenerator<DetectedImage>): Promise<readonly DetectedImage[]> {
  const found: DetectedImage[] = [];
  for await (const image of images) found.push(image);
  return found;
}

/** A picture turned by quarters to the right. */
function turned({ width, height, data }: ByteImage): ByteImage {
  const other = new Uint8Array(data.length);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        other[(channel * width + x) * height + (height - 1 - y)] =
          data[(channel * height + y) * width + x] ?? 0;
      }
    }
  }
  return { width: height, height: width, data: other };
}

describe("images of a folder", () => {
  it("are known by their extension, and files without one are told", async () => {
    const place = await temporaryFolder();
    for (const name of ["a.png", "IMG_1", ".hidden", "notes.txt"]) await writeFile(join(place, name), "");
    const leftOut: string[] = [];
    const found = await findImages([place], { onLeftOut: (path, why) => leftOut.push(`${path}: ${why}`) });
    expect(found.map(({ name }) => name)).toEqual(["a.png"]);
    expect(leftOut).toEqual([`${join(place, "IMG_1")}: it has no extension, by which images are known`]);
  });
});

describe("detectFiles", () => {
  it("looks at images as the detector was validated with them", async () => {
    const set = await openDetection(photos);
    const { validation } = set.splits;
    const { x } = await letterboxBatch(validation, [1], 64);
    const { image } = await validation.sample(1, { longest: 64 });
    expect(letterboxed(image, validation.annotations(1), 64)).toEqual(x);
  });

  it("gives boxes in pixels of the upright image, however it is stored", async () => {
    const image = painted(
      90,
      60,
      [120, 130, 110],
      [
        { box: [10, 12, 32, 30], color: [220, 40, 30] },
        { box: [50, 30, 82, 50], color: [40, 60, 220] },
      ],
    );
    await writeImage(root, "turned/upright.png", image);
    // EXIF 8: what is stored is turned to the left when shown, so that it is stored turned to the right.
    await writeImage(root, "turned/stored.jpg", turned(image), 8);
    const [stored, upright] = await all(
      detectFiles(run, await findImages([join(root, "turned")]), { confidence: 0, maximum: 5 }),
    );
    expect(stored).toMatchObject({ width: 90, height: 60, name: "stored.jpg" });
    expect(upright).toMatchObject({ width: 90, height: 60, name: "upright.png" });
    expect(stored?.found.length).toBe(5);
    for (const [i, { box, class: label }] of (upright?.found ?? []).slice(0, 2).entries()) {
      expect(stored?.found[i]?.class).toBe(label);
      for (const [side, edge] of box.entries()) expect(stored?.found[i]?.box[side]).toBeCloseTo(edge, -0.5);
    }
  });

  it("reports what it cannot read, and goes on", async () => {
    const folder = join(root, "odd");
    await writeImage(folder, "a.jpg", painted(80, 50, [90, 90, 90]));
    await writeImage(folder, "b.jpg", painted(80, 50, [90, 90, 90]));
    await writeFile(join(folder, "b.jpg"), (await readFile(join(folder, "b.jpg"))).subarray(0, 300));
    await writeText(folder, "c.png", "no image");
    await writeImage(folder, "d.png", painted(200, 150, [90, 90, 90]));
    const left: string[] = [];
    const found = await all(
      detectFiles(run, await findImages([folder]), {
        pixelLimit: 20_000,
        onUnreadable: ({ name }, reason) => left.push(`${name}: ${reason}`),
      }),
    );
    expect(found.map(({ name }) => name)).toEqual(["a.jpg"]);
    expect(left).toEqual([
      expect.stringMatching(/^b\.jpg: .+/),
      "c.png: it is no image file, or of a format that is not read",
      "d.png: 200 × 150 pixels, more than the limit of 20000; --tiles looks at it part by part, without decoding it whole",
    ]);
  });

  it("takes the score of the highest F1 of the validation split as confidence", async () => {
    const measured = JSON.parse(await readFile(run.folder.file("validation.json"), "utf8"));
    expect(await usualConfidence(run)).toBe(measured.best.score);
    const images = await findImages([join(photos, "images")]);
    const usual = await all(detectFiles(run, images));
    const explicit = await all(detectFiles(run, images, { confidence: measured.best.score }));
    expect(usual.map(({ found }) => found)).toEqual(explicit.map(({ found }) => found));
  });

  it("names a validation.json that is damaged, unless a confidence is given", async () => {
    const folder = await temporaryFolder();
    const copy = { folder: new RunFolder(folder) };
    expect(await usualConfidence(copy)).toBe(0.25);
    for (const [text, why] of [
      ['{"best": {"sco', /validation\.json: is damaged, no JSON, .*give a confidence, or delete the file/],
      ['{"best": {"score": "high"}}', /validation\.json: has no score from 0 to 1/],
    ] as const) {
      await writeText(folder, "validation.json", text);
      await expect(usualConfidence(copy)).rejects.toThrow(why);
      expect(await leastScore({ ...run, ...copy }, 0.4)).toBe(0.4);
    }
    await writeText(folder, "validation.json", "{}");
    expect(await usualConfidence(copy)).toBe(0.25);
    await rm(folder, { recursive: true });
  });

  it("marks images of which more was found than the maximum, and keeps the best", async () => {
    const images = await findImages([join(photos, "images")]);
    const every = await all(detectFiles(run, images, { confidence: 0.05 }));
    const most = Math.max(...every.map(({ found }) => found.length)) - 1;
    const some = await all(detectFiles(run, images, { confidence: 0.05, maximum: most }));
    expect(some.map(({ cut }) => cut)).toEqual(every.map(({ found }) => found.length > most));
    expect(some.map(({ found }) => found)).toEqual(every.map(({ found }) => found.slice(0, most)));
  });

  it("sees a file as it is now, though it was replaced by one of the same name, size and time", async () => {
    const path = join(root, "stale.webp");
    const seen: unknown[] = [];
    for (const [red, x] of [
      [220, 10],
      [40, 50],
    ] as const) {
      const patch = { box: [x, 12, x + 22, 30], color: [red, 40, 260 - red] } as const;
      const { width, height, data } = painted(90, 60, [120, 130, 110], [patch]);
      const pixels = Buffer.alloc(data.length, 0);
      for (let i = 0; i < data.length; i++)
        pixels[3 * (i % (90 * 60)) + Math.floor(i / (90 * 60))] = data[i] ?? 0;
      const picture = sharp(pixels, { raw: { width, height, channels: 3 } }).webp({ lossless: true });
      const padded = Buffer.alloc(8000);
      (await picture.toBuffer()).copy(padded);
      await writeFile(path, padded);
      await utimes(path, 1_000_000, 1_000_000);
      const [found] = await all(detectFiles(run, await findImages([path]), { confidence: 0, maximum: 1 }));
      seen.push((await found?.decode())?.data);
      expect((await found?.decode())?.data).toEqual(data);
    }
    expect(seen[0]).not.toEqual(seen[1]);
  });

  it("stops where its signal is aborted", async () => {
    const controller = new AbortController();
    const seen: string[] = [];
    const images = await findImages([join(photos, "images")]);
    for await (const { name } of detectFiles(run, images, { signal: controller.signal })) {
      seen.push(name);
      if (seen.length === 2) controller.abort();
    }
    expect(seen).toHaveLength(2);
  });
});

describe("DetectionWriter", () => {
  const image = (name: string, path = join(photos, "images/p0.png")): DetectedImage => ({
    name,
    image: path,
    width: 96,
    height: 64,
    found: [{ box: [4, 6, 24, 22], class: 1, score: 0.75 }],
    cut: false,
    decode: async () => painted(96, 64, [0, 0, 0]),
  });

  it("writes pictures under names of their own, and the same boxes in two forms", async () => {
    const folder = join(root, "written");
    const writer = new DetectionWriter(folder, run);
    await writer.add(image("sub/a.png"), true);
    await writer.add(image("sub/a.jpg"), true);
    await writer.add(image("b.jpg"), false);
    writer.leaveOut({ name: "c.jpg", image: "c.jpg" }, "damaged");
    await writer.finish({ model: "center-net" });
    const own = JSON.parse(await readFile(join(folder, "detections.json"), "utf8"));
    expect(own).toMatchObject({
      model: "center-net",
      classes: ["blue", "red"],
      images: [
        {
          file: "sub/a.png",
          picture: "sub/a.jpg",
          objects: [{ class: "red", score: 0.75, box: [4, 6, 24, 22] }],
        },
        { file: "sub/a.jpg", picture: "sub/a-2.jpg" },
        { file: "b.jpg", width: 96, height: 64 },
      ],
      unreadable: [{ name: "c.jpg", reason: "damaged" }],
    });
    expect(own.images[2]).not.toHaveProperty("picture");
    const coco = JSON.parse(await readFile(join(folder, "coco.json"), "utf8"));
    expect(coco.categories).toEqual([
      { id: 1, name: "blue" },
      { id: 2, name: "red" },
    ]);
    expect(coco.annotations[1]).toMatchObject({
      image_id: 2,
      category_id: 2,
      bbox: [4, 6, 20, 16],
      score: 0.75,
    });
    const { data, info } = await sharp(join(folder, "sub/a.jpg")).raw().toBuffer({ resolveWithObject: true });
    // Small images are enlarged; the left edge of the box lies at 4 of 96 pixels, its color is that of the class.
    const scale = info.width / 96;
    expect(scale).toBe(5);
    const at = (x: number, y: number) => [
      ...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3),
    ];
    expect(at(4 * scale, 14 * scale)[2]).toBeGreaterThan(150);
    expect(at(2 * scale, 14 * scale)[2]).toBeLessThan(60);
  });

  it("writes pictures into its folder, whatever images are called", async () => {
    const folder = join(root, "names/written");
    const writer = new DetectionWriter(folder, run);
    for (const name of ["../../up.png", "/etc/passwd", "a\0b.png", "..", "C:\\x\\..\\y.png"]) {
      await writer.add(image(name), true);
    }
    expect(await readdir(join(root, "names"))).toEqual(["written"]);
    expect((await readdir(folder, { recursive: true })).sort()).toEqual([
      ...["a_b.jpg", "etc", "etc/passwd.jpg", "unnamed.jpg", "up.jpg", "x", "x/y.jpg"],
    ]);
  });

  it("does not put a picture in the place of its image", async () => {
    await writeImage(root, "same/p.jpg", painted(40, 30, [0, 0, 0]));
    const path = join(root, "same/p.jpg");
    const before = await readFile(path);
    await expect(
      new DetectionWriter(join(root, "same"), run).add(image("p.jpg", path), true),
    ).rejects.toThrow(OptionError);
    expect(await readFile(path)).toEqual(before);
  });
});

describe("findImages", () => {
  it("takes files, folders and patterns, each image once", async () => {
    const folder = join(root, "tree");
    for (const name of ["x.png", "sub/y.jpg", "sub/deep/z.jpg"])
      await writeImage(folder, name, painted(8, 8, [0, 0, 0]));
    await writeText(folder, "notes.txt", "");
    const names = async (...places: readonly string[]) =>
      (await findImages(places.map((place) => join(folder, place)))).map(({ name }) => name);
    expect(await names("")).toEqual(["sub/deep/z.jpg", "sub/y.jpg", "x.png"]);
    expect(await names("x.png", "*.png")).toEqual(["x.png"]);
    expect(await names("**/*.jpg")).toEqual(["sub/deep/z.jpg", "sub/y.jpg"]);
    expect(await names("sub/*.jpg")).toEqual(["y.jpg"]);
    await expect(names("none.jpg")).rejects.toThrow(DataError);
    await expect(names("*.webp")).rejects.toThrow(/no image matches/);
    await writeText(root, "bare/readme.md", "");
    await expect(findImages([join(root, "bare")])).rejects.toThrow(/no image in this folder/);
  });

  it.skipIf(process.platform === "win32")("follows links within a folder, and pipes never", async () => {
    const folder = join(root, "links/photos");
    await writeImage(folder, "store/a.png", painted(8, 8, [0, 0, 0]));
    await writeImage(root, "links/private/x.png", painted(8, 8, [0, 0, 0]));
    await symlink("store", join(folder, "again"));
    await symlink("../private", join(folder, "out"));
    await symlink("..", join(folder, "store/up"));
    const left: string[] = [];
    const onLeftOut = (path: string, reason: string) => left.push(`${path.slice(folder.length)}: ${reason}`);
    const names = (await findImages([folder], { onLeftOut })).map(({ name }) => name);
    expect(names).toEqual(["again/a.png", "store/a.png"]);
    expect(left).toEqual([
      expect.stringMatching(/^\/again\/up: a link to/),
      expect.stringMatching(/^\/out: a link to .*--follow-links/),
      expect.stringMatching(/^\/store\/up: a link to/),
    ]);
    const all = await findImages([folder], { followLinks: true });
    expect(all.map(({ name }) => name)).toContain("out/x.png");

    const pipe = join(root, "links/pipe.png");
    execFileSync("mkfifo", [pipe]);
    await expect(findImages([pipe])).rejects.toThrow(/pipe\.png: it is a pipe/);
    await expect(findImages(["/dev/zero"])).rejects.toThrow(/it is a device/);
    await expect(findImages(["a\0*.png"])).rejects.toThrow(DataError);
    await mkdir(join(root, "links/pipes"));
    execFileSync("mkfifo", [join(root, "links/pipes/b.png")]);
    const reasons: string[] = [];
    const images = await findImages([join(root, "links/pipes")]);
    for await (const _ of detectFiles(run, images, { onUnreadable: (_image, why) => reasons.push(why) }));
    expect(reasons).toEqual(["it is a pipe, not a regular file"]);
  });

  test("patterns without wildcards match themselves alone", () => {
    const part = fc.stringMatching(/^[a-z.+()[\]-]{1,6}$/).filter((text) => text !== "." && text !== "..");
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 3 }), (parts) => {
        const path = parts.join("/");
        expect(patternOf(path).test(path)).toBe(true);
        expect(patternOf(path).test(`${path}x`)).toBe(false);
        expect(patternOf("**").test(path)).toBe(true);
        expect(patternOf(`**/${parts.at(-1)}`).test(path)).toBe(true);
        expect(patternOf("*").test(path)).toBe(parts.length === 1);
      }),
    );
  });
});
