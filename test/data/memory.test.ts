import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPhoto } from "../../src/data/boxes/image.node.ts";
import type { DetectionSet } from "../../src/data/boxes/set.ts";
import { decodeImage } from "../../src/data/image/decode.node.ts";
import { streamImages } from "../../src/data/image/stream.node.ts";
import { isDetectionData, openData, openDetection, plainKind } from "../../src/data/open.node.ts";
import type { Column } from "../../src/data/sources/columns.ts";
import { type DataSet, range } from "../../src/data/sources/data-set.ts";
import { gatherSource } from "../../src/data/sources/gather.ts";
import {
  asRows,
  type DataSource,
  describeSource,
  images,
  memoryName,
  type Photo,
  photos,
  points,
  rows,
} from "../../src/data/sources/memory.ts";
import type { DataOptions } from "../../src/data/sources/options.ts";
import type { TableInput } from "../../src/data/table/input.node.ts";
import {
  columnNames,
  findMarks,
  streamGappedTable,
  streamTable,
  tableColumns,
} from "../../src/data/table/stream.node.ts";
import { DataError, EidosError, OptionError } from "../../src/errors.ts";
import { Random } from "../../src/random.ts";
import { numbers, present } from "../support.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-memory-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** All that a data set describes of its contents. */
function contents({ kind, sampleShape, columns, classes, splits, fingerprint }: DataSet) {
  const parts = Object.values(splits).map((split) => split.batch(range(0, split.count)));
  return { kind, sampleShape, columns, classes, parts, fingerprint };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function* slowly<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) yield item;
}

interface Flower {
  readonly length: number;
  readonly code: number;
  readonly place: string;
  readonly kind: string;
}

const FLOWER = fc.record({
  length: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
  code: fc.integer({ min: 0, max: 3 }),
  place: fc.constantFrom("meadow", "wood, dark", 'the "bog"', " edge "),
  kind: fc.constantFrom("setosa", "virginica"),
});

const csvOf = (flowers: readonly Flower[]) =>
  `length,code,place,kind\n${flowers
    .map(({ length, code, place, kind }) => `${length},${code},"${place.replaceAll('"', '""')}",${kind}`)
    .join("\n")}\n`;

describe("rows", () => {
  test("are what the same rows are in a CSV file, whatever the options", async () => {
    const options = fc.constantFrom<DataOptions>(
      { categorical: ["place", "code"], label: "kind", splitSeed: 3 },
      { columns: ["code", "length"], validation: 0.3 },
      { columns: ["length"], label: "code", classes: ["0", "1"], test: 0 },
    );
    const path = join(folder, "flowers.csv");
    await fc.assert(
      fc.asyncProperty(fc.array(FLOWER, { minLength: 3, maxLength: 40 }), options, async (flowers, given) => {
        await writeFile(path, csvOf(flowers));
        const [file, memory] = await Promise.allSettled([
          openData(path, given),
          openData(rows(flowers), given),
        ]);
        if (file.status === "rejected" || memory.status === "rejected") {
          // Perhaps no flower of these classes is there to learn from.
          expect([file.status, memory.status]).toEqual(["rejected", "rejected"]);
          return;
        }
        expect(contents(memory.value)).toEqual(contents(file.value));
        expect(memory.value.describe().slice(1)).toEqual(file.value.describe().slice(1));
      }),
      { numRuns: 15 },
    );
  });

  test("have zeros of either sign as files have them", async () => {
    const path = join(folder, "zeros.csv");
    const flowers = [-0, 0, 1e-151].map((length) => ({ length, code: 0, place: "meadow", kind: "setosa" }));
    await writeFile(path, csvOf(flowers));
    const given = { columns: ["length"] };
    const [file, memory] = [await openData(path, given), await openData(rows(flowers), given)];
    expect(memory.columns).toEqual(file.columns);
  });

  test("are streamed as those of a file: encoded, with marks and classes, and with gaps", async () => {
    const random = new Random(5);
    const table = Array.from({ length: 4100 }, (_, i) => ({
      length: random.normal(),
      place: ["meadow", "wood"][i % 2] ?? "",
      mark: Number(i % 7 === 0),
      gap: i % 3 === 0 ? null : i,
      text: i % 5 === 0 ? null : `no. ${i}`,
    }));
    const path = join(folder, "streamed.csv");
    const lines = table.map((row) => Object.values(row).join(","));
    await writeFile(path, `${Object.keys(table[0] ?? {}).join(",")}\n${lines.join("\n")}\n`);
    const memory = await gatherSource(rows(table));
    const { columns = [] } = await openData(memory, {
      columns: ["length", "place"],
      categorical: ["place"],
      label: "mark",
    });
    const classes = { column: "mark", names: ["0", "1"] };
    const encoded = (input: TableInput) =>
      collect(streamTable(input, columns, { batchSize: 1500, seed: 2, marks: "mark", classes }));
    expect(await encoded(memory)).toEqual(await encoded({ path }));
    const gapped = async (input: TableInput) => {
      const column = { kind: "numeric", name: "gap", mean: 0, deviation: 2 } as const;
      const batches = await collect(streamGappedTable(input, [...columns, column], { seed: 2 }));
      return {
        x: batches.flatMap(({ x }) => numbers(x)),
        known: batches.flatMap(({ known }) => numbers(known)),
        cells: batches.flatMap(({ cells }) => cells[4] ?? []),
      };
    };
    expect(await gapped(memory)).toEqual(await gapped({ path }));
    expect(await columnNames(memory)).toEqual(await columnNames({ path }));
    expect(await findMarks(memory, ["none", "length", "gap", "mark"])).toBe("mark");
    expect(await findMarks(memory, ["text"])).toBeUndefined();
    expect((await tableColumns(memory)).map(({ type }) => type)).toEqual([
      "DOUBLE",
      "VARCHAR",
      "DOUBLE",
      "DOUBLE",
      "VARCHAR",
    ]);
  });

  test("of zeros and ones, in numbers, words and truth values, are binary data", async () => {
    const bits = Array.from({ length: 20 }, (_, i) => [i % 2, Number(i % 3 === 0), Number(i > 9)] as const);
    const path = join(folder, "bits.csv");
    await writeFile(path, `a,b,c\n${bits.map((row) => row.join(",")).join("\n")}\n`);
    const table = bits.map(([a, b, c]) => ({ a, b: b === 1, c: c === 1 ? "yes" : "No" }));
    const memory = await openData(rows(table), { binary: true });
    expect(contents(memory)).toEqual(contents(await openData(path, { binary: true })));
    await expect(openData(rows([{ a: 0 }, { a: 2 }, { a: 1 }]), { binary: true })).rejects.toThrow(
      'rows in memory: neither 0 nor 1 in column "a": rows[1] ("2")',
    );
  });

  test("as texts are numbers where a CSV file has them, big integers and truth values too", async () => {
    const texts = ["1", " 2.5 ", "-3e2", ".5"].map((a) => ({ a }));
    const values = [1, 2.5, -300, 0.5].map((a) => ({ a }));
    expect(contents(await openData(rows(texts)))).toEqual(contents(await openData(rows(values))));
    const big = [1n, 5n, 2n, 0n].map((a) => ({ a }));
    const small = [1, 5, 2, 0].map((a) => ({ a }));
    expect(contents(await openData(rows(big)))).toEqual(contents(await openData(rows(small))));
    const truth = [true, false, true, false].map((a) => ({ a }));
    expect((await openData(rows(truth))).columns).toMatchObject([{ categories: ["false", "true"] }]);
  });
});

describe("points", () => {
  test("come as one array, as pairs, or bit by bit, and are split by seed", async () => {
    const flat = Float32Array.from({ length: 40 }, (_, i) => i / 4);
    const pairs = Array.from({ length: 20 }, (_, i) => [flat[2 * i] ?? 0, flat[2 * i + 1] ?? 0]);
    const whole = await openData(points(flat, [20, 2]), { splitSeed: 1 });
    expect(whole).toMatchObject({ name: "points", kind: "points", sampleShape: [2] });
    expect(contents(await openData(points(pairs), { splitSeed: 1 }))).toEqual(contents(whole));
    const chunks = points(slowly([flat.subarray(0, 10), flat.subarray(10)]));
    expect(contents(await openData(chunks, { splitSeed: 1 }))).toEqual(contents(whole));
    expect((await openData(points(flat, [20, 2]), { splitSeed: 2 })).fingerprint).not.toBe(whole.fingerprint);
    const { train, validation, test } = whole.splits;
    expect([train.count, validation.count, test.count]).toEqual([16, 2, 2]);
    const seen = Object.values(whole.splits).flatMap((split) =>
      numbers(split.batch(range(0, split.count)).x),
    );
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from(flat));
    await expect(openData(points(flat, [20, 2]), { binary: true })).rejects.toThrow(DataError);
    const axes = ["x", "y"].map((name): Column => ({ kind: "numeric", name, mean: 0, deviation: 1 }));
    const [batch] = await collect(streamTable(asRows(await gatherSource(points(pairs))), axes));
    expect(batch?.x).toEqual({ dtype: "float32", shape: [20, 2], data: flat });
  });
});

/** A file of an image of one color, with one pixel of another. */
function png(shade: number, spot: number, size = 6): Promise<Buffer> {
  const pixels = new Uint8Array(size * size * 3).fill(shade);
  pixels.fill(spot, 3 * size, 3 * size + 3);
  return sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .png()
    .toBuffer();
}

describe("images", () => {
  test("are what the same files are in a folder, and what their pixels are", async () => {
    const image = fc.record({
      shade: fc.integer({ min: 0, max: 255 }),
      spot: fc.integer({ min: 0, max: 255 }),
      kind: fc.constantFrom("dark", "light"),
    });
    const options = fc.constantFrom<object>(
      { size: 6, splitSeed: 4, color: "rgb" },
      { size: 4, color: "grey", validation: 0.3 },
      { size: 6, binary: true },
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(image, { minLength: 4, maxLength: 12 }), options, async (list, given) => {
        const root = join(folder, `images-${run++}`);
        // A folder lists one class after the other.
        const sorted = list.toSorted((a, b) => (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0));
        const files = await Promise.all(sorted.map(({ shade, spot }) => png(shade, spot)));
        for (const [i, { kind }] of sorted.entries()) {
          await mkdir(join(root, kind), { recursive: true });
          await writeFile(join(root, kind, `${String(i).padStart(2, "0")}.png`), files[i] ?? "");
        }
        const labels = sorted.map(({ kind }) => kind);
        const fromFolder = contents(await openData(root, given));
        expect(contents(await openData(images(files, { labels }), given))).toEqual(fromFolder);
        const items = sorted.map(({ kind }, i) => ({ image: files[i] ?? Buffer.of(), label: kind }));
        expect(contents(await openData(images(slowly(items)), given))).toEqual(fromFolder);
        const { size = 6, color, binary } = given as { size?: number; color?: "grey"; binary?: boolean };
        const channels = color === "grey" || binary === true ? "grey" : "rgb";
        const decoded = await Promise.all(files.map((file) => decodeImage(file, { size, channels })));
        const shape = [channels === "grey" ? 1 : 3, size, size];
        // Pixels are as they are: size and color are of files.
        const plain = binary === true ? { binary } : { ...given, size: 99, color: undefined };
        const { color: _, ...rest } = { color: undefined, ...plain };
        expect(contents(await openData(images(decoded, { shape, labels }), rest))).toEqual(fromFolder);
        const flat = Float32Array.from(decoded.flatMap((pixels) => [...pixels]));
        const one = images(flat, { shape: [files.length, ...shape], labels });
        expect(contents(await openData(one, rest))).toEqual(fromFolder);
      }),
      { numRuns: 6 },
    );
  });

  test("with numbers for classes are in order of the numbers; files that are none are left out, by position", async () => {
    const good = await Promise.all([10, 2, 10, 2].map((shade) => png(shade, 255)));
    const data = await openData(images([Buffer.from("no image"), ...good], { labels: [7, 10, 2, 10, 2] }), {
      size: 6,
    });
    expect(data.classes).toEqual(["2", "10"]);
    expect(data.describe().at(-1)).toBe("left out 1 unreadable: images[0]");
    await expect(openData(images([Buffer.from("x"), Buffer.from("y")]))).rejects.toThrow(
      "images in memory: none of its 2 images can be read: 2 unreadable: images[0], images[1]",
    );
  });

  test("are streamed as those of a folder", async () => {
    const root = join(folder, "streamed");
    await mkdir(root);
    const files = await Promise.all([1, 2, 3, 4, 5].map((shade) => png(shade, 9)));
    files.splice(2, 0, Buffer.from("broken"));
    for (const [i, file] of files.entries()) await writeFile(join(root, `${i}.png`), file);
    const format = { size: 6, channels: "grey" } as const;
    const read = async (source: Parameters<typeof streamImages>[0]) => {
      const unreadable: string[] = [];
      const onUnreadable = (file: string) => unreadable.push(file);
      const batches = await collect(streamImages(source, format, { batchSize: 2, onUnreadable }));
      return { x: batches.map(({ x, firstRow }) => ({ x, firstRow })), batches, unreadable };
    };
    const memory = await read(await gatherSource(images(files)));
    const onDisk = await read(root);
    expect(memory.x).toEqual(onDisk.x);
    expect([memory.unreadable, onDisk.unreadable]).toEqual([["images[2]"], ["2.png"]]);
    expect(memory.batches.map(({ files }) => files)).toEqual([
      ["images[0]", "images[1]"],
      ["images[3]"],
      ["images[4]", "images[5]"],
    ]);
    expect(memory.batches.map(({ firstRow, position }) => [firstRow, position])).toEqual([
      [0, 0],
      [2, 2],
      [3, 4],
    ]);
    const pixels = await gatherSource(images(new Uint8Array(72), { shape: [2, 1, 6, 6] }));
    expect((await read(pixels)).x[0]?.x.shape).toEqual([2, 1, 6, 6]);
    const other = await gatherSource(images(new Uint8Array(72), { shape: [2, 1, 4, 9] }));
    await expect(read(other)).rejects.toThrow("of shape [1,4,9], where [1,6,6] is wanted");
  });
});

/** All that a detection set describes of its contents. */
async function marked({ classes, splits, faults, fingerprint }: DetectionSet) {
  const parts = await Promise.all(
    Object.values(splits).map((split) =>
      Promise.all(
        Array.from({ length: split.count }, async (_, i) => {
          // Ids are those of COCO alone.
          const { id: _id, ...sample } = await split.sample(i, { longest: 12 });
          return sample;
        }),
      ),
    ),
  );
  return { classes, parts, fingerprint, faults: faults.map(({ kind, file }) => `${kind} ${file}`).sort() };
}

describe("photos", () => {
  const edge = fc.integer({ min: -2, max: 26 });
  const photo = fc.record({
    shade: fc.integer({ min: 0, max: 255 }),
    boxes: fc.array(
      fc.record({ label: fc.constantFrom("car", "cat"), x1: edge, y1: edge, x2: edge, y2: edge }),
      { maxLength: 4 },
    ),
    split: fc.constantFrom("train" as const, "validation" as const),
  });

  test("are what the same photos are in a folder with COCO's annotations, faults and splits with them", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(photo, { minLength: 3, maxLength: 8 }),
        fc.boolean(),
        async (list, listed) => {
          const root = join(folder, `photos-${run++}`);
          const files = await Promise.all(list.map(({ shade }, i) => png(shade, i, 24)));
          const names = list.map((_, i) => `images/${i}.png`);
          await mkdir(join(root, "images"), { recursive: true });
          for (const [i, file] of files.entries()) await writeFile(join(root, names[i] ?? ""), file);
          const categories = ["car", "cat"].map((name, id) => ({ id, name }));
          for (const part of listed ? (["train", "validation"] as const) : [undefined]) {
            const chosen = [...list.entries()].filter(
              ([, { split }]) => part === undefined || split === part,
            );
            const coco = {
              categories,
              images: chosen.map(([id]) => ({ id, file_name: names[id] })),
              annotations: chosen.flatMap(([image_id, { boxes }]) =>
                boxes.map(({ label, x1, y1, x2, y2 }) => ({
                  image_id,
                  category_id: label === "car" ? 0 : 1,
                  bbox: [x1, y1, x2 - x1, y2 - y1],
                })),
              ),
            };
            await writeFile(join(root, `${part ?? "annotations"}.json`), JSON.stringify(coco));
          }
          const source = photos(
            list.map(({ boxes, split }, i): Photo => {
              const both = boxes.map(({ label, x1, y1, x2, y2 }, k) =>
                k % 2 === 0 ? { label, x1, y1, x2, y2 } : { label, box: [x1, y1, x2, y2] as const },
              );
              return {
                image: files[i] ?? Buffer.of(),
                boxes: both,
                name: names[i] ?? "",
                ...(listed && { split }),
              };
            }),
          );
          const options = { classes: ["car", "cat"], splitSeed: 2 };
          const [onDisk, memory] = await Promise.allSettled([
            openDetection(root, options),
            openDetection(source, options),
          ]);
          if (onDisk.status === "rejected" || memory.status === "rejected") {
            // Perhaps no box is left.
            expect([onDisk.status, memory.status]).toEqual(["rejected", "rejected"]);
            return;
          }
          expect(await marked(memory.value)).toEqual(await marked(onDisk.value));
          expect(memory.value.describe().slice(1)).toEqual(onDisk.value.describe().slice(1));
        },
      ),
      { numRuns: 8 },
    );
  });

  test("as pixels are those of their files; faults name photo and box", async () => {
    const file = await png(100, 200, 24);
    const { data } = await sharp(file).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    const boxes = [
      { label: "car", box: [1, 2, 11, 22] as const, difficult: true },
      { label: "car", x1: 5, y1: 5, x2: 5, y2: Number.NaN, crowd: true },
    ];
    const source = (image: Photo["image"]) => photos(slowly([{ image, boxes }]));
    const [encoded, pixels] = await Promise.all([
      openDetection(source(file), { validation: 0, test: 0 }),
      openDetection(source({ width: 24, height: 24, data }), { validation: 0, test: 0 }),
    ]);
    const [a, b] = [await encoded.splits.train.sample(0), await pixels.splits.train.sample(0)];
    expect(a).toEqual(b);
    expect(a).toMatchObject({ file: "photos[0]", width: 24, height: 24 });
    expect([...a.difficult]).toEqual([1]);
    expect(encoded.faults).toEqual([
      { kind: "broken-box", file: "photos[0]", detail: "boxes[1] (car): [5, 5, 5, NaN]" },
    ]);
    expect(encoded.splits.train.original?.(0)).toBeUndefined();
    const opened = await openPhoto({ width: 24, height: 24, data }, "snapshot", { pixelLimit: 1e6 });
    expect([opened.width, opened.height]).toEqual([24, 24]);
    expect(await opened.decode(12)).toEqual((await encoded.splits.train.sample(0, { longest: 12 })).image);
    await expect(openPhoto(file, "snapshot", { pixelLimit: 100 })).rejects.toThrow(
      "snapshot: 24 × 24 pixels, more than the limit of 100",
    );
    await expect(openPhoto(Buffer.from("x"), "snapshot", { pixelLimit: 100 })).rejects.toThrow(DataError);
  });
});

describe("sources", () => {
  const pixel = { width: 1, height: 1, data: new Uint8Array(4) };
  const plain: readonly [name: string, line: string, DataSource][] = [
    ["memory:points", "2 points in memory", points(new Float32Array(4), [2, 2])],
    ["memory:images", "1 image in memory", images([new Uint8Array(3)], { shape: [3, 1, 1], labels: ["a"] })],
    ["memory:rows", "3 rows in memory", rows(slowly([{ a: 1 }, { a: 2 }, { a: 3 }]))],
    ["memory:photos", "1 photo in memory", photos([{ image: pixel, boxes: [] }])],
  ];

  test.each(plain)("%s can be sent to another thread, and stays what it is", async (name, line, source) => {
    expect(memoryName(source)).toBe(name);
    const gathered = await gatherSource(source);
    expect(structuredClone(gathered)).toEqual(gathered);
    expect(await gatherSource(structuredClone(gathered))).toEqual(gathered);
    expect(describeSource(gathered)).toBe(line);
    await expect(openData(name)).rejects.toThrow(/was in memory .* give the same data again/);
    await expect(openDetection(name)).rejects.toThrow(OptionError);
  });

  test("a part of a shared memory is sent alone", async () => {
    const part = new Float32Array(1000).subarray(10, 14);
    const { points: own } = await gatherSource(points(part, [2, 2]));
    expect(own.buffer.byteLength).toBe(16);
  });

  test("have kinds before they are read", async () => {
    expect(await plainKind(rows([{ a: 1 }]))).toBe("table");
    expect(await plainKind(images(new Uint8Array(3), { shape: [1, 3, 1, 1] }))).toBe("image");
    expect(await plainKind(points(new Float32Array(2), [1, 2]))).toBe("points");
    expect(await isDetectionData(photos([{ image: pixel, boxes: [] }]))).toBe(true);
    expect(await isDetectionData(rows([{ a: 1 }]))).toBe(false);
    await expect(openData(photos([{ image: pixel, boxes: [] }]))).rejects.toThrow(/images\(…\) takes/);
    await expect(openDetection(rows([{ a: 1 }]))).rejects.toThrow(/detectors take photos/);
    await expect(openData(rows([{ a: 1 }]), { sql: "select 1" })).rejects.toThrow(OptionError);
  });
});

/** An array whose memory was handed to another thread. */
function sent<A extends Uint8Array | Float32Array>(array: A): A {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
  return array;
}

describe("what cannot be used is named by its position", () => {
  const any = (value: unknown): never => value as never;
  const three = (row: unknown) => rows(any([{ a: 1, b: "x" }, row, { a: 3, b: "z" }]));
  const shape = [1, 2, 2];
  const photo = (more: object) => photos(any([{ image: Uint8Array.of(1), boxes: [], ...more }]));
  const boxed = (box: unknown) => photo({ boxes: [{ label: "a", box: [0, 0, 1, 1] }, box] });
  const cases: readonly [what: string, make: () => unknown, message: RegExp][] = [
    ["nothing", () => null, /data must be a name, a path.*this is null/],
    ["a number", () => 3, /this is 3/],
    ["a bare list", () => [{ a: 1 }], /a list of 1; wrap it in points/],
    ["a bare array", () => new Float32Array(3), /a Float32Array; wrap it in/],
    ["a function", () => rows(any(() => [])), /rows: must be a list of objects; this is a function/],
    ["text for rows", () => rows(any("a,b")), /rows: must be a list of objects; this is "a,b"/],
    ["null for rows", () => rows(any(null)), /this is null/],
    ["numbers for rows", () => rows(any(new Float32Array(3))), /this is a Float32Array/],
    ["no rows", () => rows([]), /rows: there are none/],
    ["a row that is none", () => three(null), /rows\[1\]: must be an object.*null/],
    ["a row that is a list", () => three([1, 2]), /rows\[1\]: must be an object.*a list of 2/],
    ["a row that is a map", () => rows(any([new Map()])), /rows\[0\]: has no columns/],
    ["a short row", () => three({ a: 2 }), /rows\[1\]: has no column "b", which rows\[0\] has/],
    [
      "a long row",
      () => three({ a: 2, b: "y", c: 1 }),
      /rows\[1\]: has a column "c", which rows\[0\] does not/,
    ],
    ["a date in a row", () => three({ a: 2, b: new Date(0) }), /rows\[1\]: column "b" is a Date/],
    [
      "text among numbers",
      () => rows(any([{ a: 1 }, { a: "2" }, { a: 3 }])),
      /"a" holds a string in rows\[1\] and a number in rows\[0\]/,
    ],
    [
      "text for numbers",
      () => rows([{ a: "x" }, ...Array.from({ length: 12 }, (_, i) => ({ a: String(i * i) }))]),
      /no number in column "a": rows\[0\] \("x"\)/,
    ],
    ["two rows", () => rows([{ a: 1 }, { a: 2 }]), /rows in memory: 2 rows are too few/],
    ["rows that break off", () => rows(breaking()), /rows: nothing came after rows\[0\] \(the wire broke\)/],
    ["points of three coordinates", () => points(new Float32Array(6), any([2, 3])), /shape \[2,3\].*rows/],
    ["too few points", () => points(new Float32Array(6), [4, 2]), /6 numbers, where \[4,2\]/],
    ["an odd number", () => points([new Float32Array(3)]), /points\[0\]: must be a pair/],
    ["no points", () => points(new Float32Array(0), [0, 2]), /points: it is empty/],
    [
      "NaN in points",
      () => points(Float32Array.of(1, 2, Number.NaN, 3), [2, 2]),
      /points\[1\]: NaN is no coordinate/,
    ],
    [
      "NaN in a pair",
      () =>
        points([
          [1, 2],
          [3, Number.POSITIVE_INFINITY],
        ]),
      /points\[1\]: Infinity/,
    ],
    [
      "text in a pair",
      () =>
        points(
          any([
            [1, 2],
            ["3", 4],
          ]),
        ),
      /points\[1\]: /,
    ],
    ["points that were sent", () => points(sent(new Float32Array(4)), [2, 2]), /another thread/],
    ["points as text", () => points(any("1 2")), /points: must be a Float32Array.*"1 2"/],
    ["pixels without a shape", () => images(any(new Uint8Array(4))), /comes with its shape/],
    [
      "pixels of a wrong shape",
      () => images(new Uint8Array(5), { shape: [1, 1, 2, 2] }),
      /5 numbers, where shape \[1,1,2,2\] takes 4/,
    ],
    [
      "a shape of another length",
      () => images(new Uint8Array(4), { shape }),
      /\[n, channels, height, width\]/,
    ],
    ["two channels", () => images(new Uint8Array(8), { shape: [1, 2, 2, 2] }), /2 channels/],
    [
      "one wrong image",
      () => images([new Uint8Array(4), new Uint8Array(3)], { shape }),
      /images\[1\]: 3 numbers, where/,
    ],
    [
      "numbers that are no bytes",
      () => images(Float32Array.of(0, 1, 2, 0.5), { shape: [2, 1, 1, 2] }),
      /images\[1\]: a pixel is 0.5/,
    ],
    [
      "a byte too large",
      () => images([new Float32Array(4), Float32Array.of(0, 256, 0, 0)], { shape }),
      /images\[1\]: a pixel is 256/,
    ],
    [
      "null for a file",
      () => images(any([Uint8Array.of(1), null])),
      /images\[1\]: must be the bytes of a file.*null/,
    ],
    ["a path for a file", () => images(any(["cat.png"])), /images\[0\]: must be the bytes.*"cat.png"/],
    ["an empty file", () => images([new Uint8Array(0)]), /images\[0\]: it is empty/],
    ["a file that was sent", () => images([sent(new Uint8Array(4))]), /images\[0\]: .*another thread/],
    [
      "too few labels",
      () => images([Uint8Array.of(1), Uint8Array.of(1)], { labels: ["a"] }),
      /1 label for 2 images/,
    ],
    [
      "mixed labels",
      () => images([Uint8Array.of(1), Uint8Array.of(1)], { labels: ["a", 1] }),
      /images\[1\]: its label is 1/,
    ],
    [
      "a label that is none",
      () => images([Uint8Array.of(1)], { labels: any([1.5]) }),
      /images\[0\]: its label is 1.5/,
    ],
    ["labels twice", () => images([{ image: Uint8Array.of(1), label: 1 }], { labels: [1] }), /leave one out/],
    [
      "labels of some",
      () => images([Uint8Array.of(1), { image: Uint8Array.of(1), label: 1 }]),
      /images\[0\]: its label is undefined/,
    ],
    ["no photos", () => photos([]), /photos: there are none/],
    ["a photo that is none", () => photos(any([null])), /photos\[0\]: must be an object.*null/],
    [
      "a photo without an image",
      () => photo({ image: undefined }),
      /photos\[0\]: the image must be the bytes/,
    ],
    [
      "a path for a photo",
      () => photo({ image: "a.jpg" }),
      /photos\[0\]: the image must be the bytes.*"a.jpg"/,
    ],
    [
      "a photo that was sent",
      () => photo({ image: sent(new Uint8Array(4)) }),
      /photos\[0\]: .*another thread/,
    ],
    [
      "pixels that are too few",
      () => photo({ image: { ...pixels(2, 2), width: 3 } }),
      /photos\[0\]: 16 numbers; 3 × 2 pixels .* are 24/,
    ],
    [
      "a side that is none",
      () => photo({ image: { ...pixels(1, 1), width: Number.NaN } }),
      /photos\[0\]: an image of NaN × 1/,
    ],
    [
      "pixels as a list",
      () => photo({ image: { width: 1, height: 1, data: [1, 2, 3, 4] } }),
      /photos\[0\]: pixels must be a Uint8Array; this is a list of 4/,
    ],
    ["a photo without boxes", () => photo({ boxes: undefined }), /photos\[0\]: boxes must be a list/],
    ["a box that is none", () => boxed(null), /photos\[0\]\.boxes\[1\]: must be an object/],
    ["a box without a label", () => boxed({ box: [1, 2, 3, 4] }), /boxes\[1\]: its label is undefined/],
    [
      "a box without an edge",
      () => boxed({ label: "a", x1: 1, y1: 2, x2: 3 }),
      /boxes\[1\]: y2 is undefined/,
    ],
    ["an edge as text", () => boxed({ label: "a", box: ["1", 2, 3, 4] }), /boxes\[1\]: x1 is "1"/],
    ["five edges", () => boxed({ label: "a", box: [1, 2, 3, 4, 5] }), /boxes\[1\]: its box has 5 numbers/],
    [
      "a name twice",
      () =>
        photos(
          any([
            { ...plainPhoto, name: "a" },
            { ...plainPhoto, name: "a" },
          ]),
        ),
      /photos\[1\]: is called a, as photos\[0\] is/,
    ],
    ["a split that is none", () => photo({ split: "exam" }), /photos\[0\]: its split is "exam"/],
  ];
  const pixels = (width: number, height: number) => ({
    width,
    height,
    data: new Uint8Array(4 * width * height),
  });
  const plainPhoto = { image: Uint8Array.of(1), boxes: [] };

  async function* breaking() {
    yield { a: 1 };
    throw new Error("the wire broke");
  }

  test.each(cases)("%s", async (_, make, message) => {
    const opened = async () => {
      const source = make() as DataSource;
      return (await isPhotos(source)) ? openDetection(source) : openData(source);
    };
    const error: unknown = await opened().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(EidosError);
    expect(present(error instanceof Error ? error.message : undefined)).toMatch(message);
  });

  const isPhotos = async (source: unknown) =>
    typeof source === "object" && source !== null && (source as DataSource).kind === "photos";

  test("whatever is given, the error is ours", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.anything({ withTypedArray: true, withMap: true, withDate: true }),
        async (value) => {
          for (const make of [rows, points, images, photos, (given: unknown) => given]) {
            for (const wrapped of [value, [value], [{ a: value }], [{ image: value, boxes: value }]]) {
              try {
                const source = make(any(wrapped)) as DataSource;
                await ((await isPhotos(source)) ? openDetection(source) : openData(source));
              } catch (error) {
                expect(error).toBeInstanceOf(EidosError);
              }
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});
