import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { NdArray } from "../../../src/tensor/array.ts";
import { built } from "../kind.ts";
import {
  type BoxFormat,
  bits,
  boxFolder,
  floatPicture,
  imageFolder,
  mixedRows,
  mixedTable,
  picture,
  put,
  run,
} from "../material.ts";

/** What a reader has made of an input, for a look whether it holds what it must not. */
export interface Seen {
  readonly texts: readonly string[];
  /** Pixels of three channels, either one after the other or together. */
  readonly pictures: readonly ArrayLike<number>[];
}

/** A reader of eidos, with sound inputs to begin with. */
export interface Reader {
  readonly name: string;
  /** Writes sound inputs, each a folder below `folder`; those called `stranger-…` may be refused as they are. */
  make(folder: string): Promise<void>;
  /** The files of an input that are changed. Default: all */
  readonly changes?: RegExp;
  /** True where a user names the file itself: where a link of that name leads is then the user's affair. */
  readonly named?: boolean;
  /** Changes that are left out, by parts of their names. */
  readonly without?: readonly string[];
  /** Reads an input as a user's program would: opens it, and takes what is in it. */
  read(folder: string): Promise<Seen>;
}

const data = (): Promise<typeof import("../../../src/data/index.node.ts")> =>
  import(built("data/index.node.js"));
const NOTHING: Seen = { texts: [], pictures: [] };

/** Opens data, describes it and takes a batch of every split. */
async function openAll(
  path: string,
  options: Parameters<Awaited<ReturnType<typeof data>>["openData"]>[1] = {},
): Promise<Seen> {
  const set = await (await data()).openData(path, options);
  const pictures: ArrayLike<number>[] = [];
  for (const split of Object.values(set.splits)) {
    const count = Math.min(4, split.count);
    for (let i = 0; i < count; i++) pictures.push(split.batch(Uint32Array.of(i)).x.data as Float32Array);
  }
  const { name, classes, columns } = set;
  return { texts: [...set.describe(), JSON.stringify({ name, classes, columns })], pictures };
}

/** Opens images with boxes, describes them and decodes them all. */
async function openBoxes(folder: string): Promise<Seen> {
  const set = await (await data()).openDetection(folder);
  const pictures: ArrayLike<number>[] = [];
  const files: string[] = [];
  for (const split of Object.values(set.splits)) {
    for (let i = 0; i < split.count; i++) {
      files.push(split.annotations(i).file);
      pictures.push((await split.sample(i, { longest: 64 })).image.data);
    }
  }
  return { texts: [...set.describe(), ...files, JSON.stringify([set.classes, set.faults])], pictures };
}

const boxes = (format: BoxFormat, changes: RegExp): Reader => ({
  name: `boxes: ${format}`,
  async make(folder) {
    await boxFolder(join(folder, "a"), 4, format);
    await boxFolder(join(folder, "b"), 6, format);
  },
  changes,
  read: openBoxes,
});

/** A table reader: the input is the one file called `data` in its folder. */
const table = (
  name: string,
  file: string,
  make: (path: string, count: number) => Promise<void>,
  options: Parameters<typeof openAll>[1] = {},
): Reader => ({
  name,
  async make(folder) {
    await make(join(folder, "a", file), 40);
    await make(join(folder, "b", file), 12);
  },
  named: true,
  read: (folder) => openAll(join(folder, file), options),
});

async function writeParquet(path: string, count: number): Promise<void> {
  const { names, rows } = mixedRows(count);
  const { writeTable }: typeof import("../../../src/data/table/write.node.ts") = await import(
    built("data/table/write.node.js")
  );
  await put(path, "");
  const cells = rows.map((row) => row.map((cell, i) => (i === 3 ? String(cell) : Number(cell))));
  await writeTable(path, names, cells as Parameters<typeof writeTable>[2]);
}

/** A picture that is a drawing: it may name other files, and parts of itself. */
const drawing = (inside: string) =>
  `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="16" height="16">${inside}</svg>`;

/** What PyTorch wrote, in both of its forms. */
const PICKLES = [
  "kinds.pth",
  "kinds-older.pth",
  "kinds-protocol-4.pth",
  "network-older.pth",
  "checkpoint.pt",
  "newer-network.pth",
] as const;

const NETWORKS = { couplings: 2, width: 8 } as const;

/** A run, with what a stranger may have put beside it. */
async function strangersRun(folder: string, request: Parameters<typeof run>[1]): Promise<void> {
  await run(folder, request);
  // It acts when it is imported; the path is in the environment, so that it can be part of any input.
  const act =
    'import { writeFileSync } from "node:fs"; writeFileSync(process.env.CAMPAIGN_WATCHED + "/module", "acted"); export default {};';
  await put(join(folder, "evil.mjs"), act);
}

/**
 * Readers, in the order of the table. A further one is an entry here: sound inputs and a function
 * that reads them; changes that know its format stand in binary.ts or structured.ts and are chosen by extension in mutate.ts.
 */
export const READERS: readonly Reader[] = [
  {
    name: "safetensors",
    named: true,
    async make(folder) {
      const { writeSafetensors }: typeof import("../../../src/nn/safetensors.ts") = await import(
        built("nn/safetensors.js")
      );
      const weight = { dtype: "float32", shape: [3, 4], data: new Float32Array(12).fill(0.5) } as const;
      const index = { dtype: "int64", shape: [2], data: BigInt64Array.of(1n, 2n) } as const;
      const mask = { dtype: "bool", shape: [5], data: new Uint8Array(5) } as const;
      await put(
        join(folder, "a", "weights.safetensors"),
        writeSafetensors(
          new Map<string, NdArray>([
            ["weight", weight],
            ["index", index],
            ["mask", mask],
          ]),
          { step: "7" },
        ),
      );
      await put(join(folder, "b", "weights.safetensors"), writeSafetensors(new Map([["other", weight]])));
    },
    async read(folder) {
      const { readSafetensors }: typeof import("../../../src/nn/safetensors.ts") = await import(
        built("nn/safetensors.js")
      );
      const { readBytes }: typeof import("../../../src/data/files/files.node.ts") = await import(
        built("data/files/files.node.js")
      );
      const path = join(folder, "weights.safetensors");
      const { tensors, metadata } = readSafetensors(await readBytes(path), path);
      return { texts: [...tensors.keys(), JSON.stringify(metadata)], pictures: [] };
    },
  },
  {
    name: "pickles of PyTorch",
    named: true,
    async make(folder) {
      const fixtures = new URL("../../../test/fixtures/pytorch/", import.meta.url);
      for (const [i, name] of PICKLES.entries()) {
        await put(join(folder, `${i}`, "weights.pth"), await readFile(new URL(name, fixtures)));
      }
    },
    async read(folder) {
      const { readWeights }: typeof import("../../../src/nn/weights.ts") = await import(
        built("nn/weights.js")
      );
      const { readBytes }: typeof import("../../../src/data/files/files.node.ts") = await import(
        built("data/files/files.node.js")
      );
      const path = join(folder, "weights.pth");
      const { tensors, notes } = readWeights(await readBytes(path), path);
      return { texts: [...tensors.keys(), ...notes], pictures: [] };
    },
  },
  {
    name: "npy",
    named: true,
    async make(folder) {
      const { writeNpy } = await data();
      const float = { dtype: "float32", shape: [4, 2], data: new Float32Array(8).fill(1) } as const;
      const whole = { dtype: "int64", shape: [3], data: BigInt64Array.of(1n, 2n, 3n) } as const;
      for (const [name, array] of [
        ["a", float],
        ["b", whole],
      ] as const) {
        await put(join(folder, name, "array.npy"), "");
        await writeNpy(join(folder, name, "array.npy"), array);
      }
    },
    async read(folder) {
      await (await data()).readNpy(join(folder, "array.npy"));
      return NOTHING;
    },
  },
  {
    name: "pairs",
    named: true,
    async make(folder) {
      const { writePairs } = await data();
      for (const [name, n] of [
        ["a", 8],
        ["b", 3],
      ] as const) {
        const x = { dtype: "float32", shape: [n, 2], data: new Float32Array(2 * n).fill(1) } as const;
        const path = join(folder, name, "pairs.safetensors");
        await put(path, "");
        await writePairs(path, { x, source: x }, { model: "rectified-flow" });
      }
    },
    async read(folder) {
      await (await data()).readPairs(join(folder, "pairs.safetensors"));
      return NOTHING;
    },
  },
  {
    name: "ONNX",
    named: true,
    async make(folder) {
      for (const [name, model] of [
        ["a", "nice"],
        ["b", "planar"],
      ] as const) {
        const whole = `${folder}-${name}`;
        await run(whole, { model, data: "two-moons", count: 200, ...(name === "a" && NETWORKS) });
        await put(join(folder, name, "model.onnx"), await readFile(join(whole, "model.onnx")));
      }
    },
    async read(folder) {
      const { nodeRuntime }: typeof import("../../../src/program/node.ts") = await import(
        built("program/node.js")
      );
      const { readBytes }: typeof import("../../../src/data/files/files.node.ts") = await import(
        built("data/files/files.node.js")
      );
      const model = await readBytes(join(folder, "model.onnx"));
      const session = await (await nodeRuntime({ threads: 1 })).load(model, true);
      await session.release();
      return NOTHING;
    },
  },
  {
    name: "images",
    named: true,
    async make(folder) {
      for (const format of ["png", "jpeg", "webp", "gif", "tiff", "avif"] as const) {
        await put(join(folder, format, "image.png"), await picture(5, 16, 3, format));
      }
      await put(join(folder, "floats", "image.png"), await floatPicture(16));
      await put(
        join(folder, "stranger-drawing", "image.png"),
        drawing('<image href="../../../private/secret.png" width="16" height="16"/>'),
      );
      await put(
        join(folder, "stranger-entity", "image.png"),
        drawing("<text>words</text>").replace("<svg", '<!DOCTYPE svg [<!ENTITY e "ha">]><svg'),
      );
    },
    async read(folder) {
      const { decodeImage, openPhoto } = await data();
      const path = join(folder, "image.png");
      const square = await decodeImage(path, { size: 16, channels: "rgb" });
      const bytes = await decodeImage(await readFile(path), { size: 16, channels: "rgb" });
      const dark = await decodeImage(path, { size: 16, channels: "grey", valueRange: [0, 1000] });
      const { data: photo } = await (await openPhoto(path, path, { pixelLimit: 1e8 })).decode(64);
      return { texts: [], pictures: [square, bytes, dark, photo] };
    },
  },
  {
    name: "image folders",
    async make(folder) {
      await imageFolder(join(folder, "a"), 6);
      for (const split of ["train", "test"]) await imageFolder(join(folder, "b", split), 4);
    },
    read: (folder) => openAll(folder, { size: 8 }),
  },
  table("CSV", "data.csv", (path, count) => put(path, mixedTable(count)), { categorical: ["color"] }),
  table("TSV", "data.tsv", (path, count) => put(path, mixedTable(count, "\t")), {
    label: "color",
  }),
  table("CSV of bits", "data.csv", (path, count) => put(path, bits(count)), { binary: true }),
  table("Parquet", "data.parquet", writeParquet, { categorical: ["color"] }),
  table(
    "JSON",
    "data.json",
    async (path, count) => {
      const { names, rows } = mixedRows(count);
      const records = rows.map((row) =>
        Object.fromEntries(names.map((name, i) => [name, i === 3 ? row[i] : Number(row[i])])),
      );
      await put(path, JSON.stringify(records));
    },
    { categorical: ["color"] },
  ),
  table(
    "JSON lines",
    "data.jsonl",
    async (path, count) => {
      const { names, rows } = mixedRows(count);
      await put(
        path,
        rows
          .map((row) => `${JSON.stringify(Object.fromEntries(names.map((name, i) => [name, row[i]])))}\n`)
          .join(""),
      );
    },
    { categorical: ["color"] },
  ),
  {
    name: "tables of splits",
    async make(folder) {
      for (const split of ["train", "validation", "test"]) {
        await put(join(folder, "a", `${split}.csv`), mixedTable(20));
        await put(join(folder, "b", `${split}.csv`), mixedTable(6));
      }
    },
    read: (folder) => openAll(folder, { categorical: ["color"] }),
  },
  boxes("coco", /./),
  boxes("createml", /\.json$/),
  boxes("yolo", /\.(yaml|txt)$/),
  boxes("voc", /\.(xml|txt)$/),
  boxes("csv", /\.csv$/),
  boxes("labelme", /\.json$/),
  boxes("cvat", /\.xml$/),
  boxes("label-studio", /\.json$/),
  boxes("kitti", /\.txt$/),
  boxes("darknet", /\.(txt|names)$/),
  {
    ...boxes("wider", /\.(txt|mat)$/),
    async make(folder) {
      const fixtures = new URL("../../../test/fixtures/detection/wider/", import.meta.url);
      for (const [i, name] of ["wider_easy_val.mat", "wider_medium_val.mat"].entries()) {
        await boxFolder(join(folder, `${i}`), 4 + i, "wider");
        await put(join(folder, `${i}`, "ground_truth", name), await readFile(new URL(name, fixtures)));
      }
    },
  },
  {
    name: "configurations",
    named: true,
    // It is the user's own, and may come through a pipe: `--config <(…)`.
    without: ["is a pipe", "is a link"],
    async make(folder) {
      await put(
        join(folder, "a", "fit.json"),
        JSON.stringify({ model: "nice", data: "two-moons", steps: 100, columns: ["a"] }),
      );
      await put(join(folder, "b", "fit.json"), JSON.stringify({ $schema: "x", model: "glow", size: 8 }));
    },
    async read(folder) {
      const { readConfigFile }: typeof import("../../../src/cli/config-file.ts") = await import(
        built("cli/config-file.js")
      );
      return { texts: Object.keys(await readConfigFile(join(folder, "fit.json"))), pictures: [] };
    },
  },
  {
    name: "run folders",
    async make(folder) {
      await put(join(folder, "table.csv"), mixedTable(60));
      const table = { data: join(folder, "table.csv"), categorical: ["color"] };
      await strangersRun(join(folder, "a"), { model: "nice", data: "two-moons", count: 200, ...NETWORKS });
      await strangersRun(join(folder, "b"), { model: "real-nvp", ...table, ...NETWORKS });
      await strangersRun(join(folder, "c"), { model: "vae", data: "two-moons", count: 200 });
    },
    changes: /^(config\.json|metrics\.csv|state\.safetensors|weights\/.*)$/,
    async read(folder) {
      const { RunFolder }: typeof import("../../../src/train/run-folder.node.ts") = await import(
        built("train/run-folder.node.js")
      );
      const { openRun }: typeof import("../../../src/tasks/open-run.node.ts") = await import(
        built("tasks/open-run.node.js")
      );
      const files = new RunFolder(folder);
      const texts: string[] = [JSON.stringify(await files.readConfig())];
      texts.push(JSON.stringify(await files.readMetrics()));
      await files.readCheckpoint();
      const opened = await openRun(folder, { threads: 1 });
      try {
        await opened.sample({ count: 2 });
        const set = await opened.data();
        texts.push(...set.describe(), JSON.stringify(set.columns ?? null));
      } finally {
        await opened.release();
      }
      // What the configuration itself says is no leak.
      return { texts: texts.slice(1), pictures: [] };
    },
  },
];
