import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { Random } from "../../src/random.ts";
import type { UncheckedRequest } from "../../src/tasks/fit/request.ts";
import { built } from "./kind.ts";

// Small sound data of every kind, made anew by each campaign: what fits are given, and what mutations begin with.

/** Writes a file with the folders that lead to it. */
export async function put(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

const lines = (
  names: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  separator = ",",
): string => `${[names, ...rows].map((row) => row.join(separator)).join("\n")}\n`;

/** Names and rows of a table with numbers and a category. */
export function mixedRows(count: number) {
  const random = new Random(1).split("rows");
  const rows = Array.from({ length: count }, (_, i) => [
    random.normal().toFixed(4),
    random.uniform().toFixed(4),
    (i % 11) + random.normal() / 4,
    i % 3 === 0 ? "red" : "blue",
  ]);
  return { names: ["width", "height", "weight", "color"], rows };
}

/** A table with numbers and a category. */
export function mixedTable(count: number, separator = ","): string {
  const { names, rows } = mixedRows(count);
  return lines(names, rows, separator);
}

/** A table of zeros and ones. */
export function bits(count: number): string {
  const random = new Random(2).split("bits");
  const rows = Array.from({ length: count }, () => Array.from({ length: 4 }, () => random.integer(2)));
  return lines(["p", "q", "r", "s"], rows);
}

/** The bytes of a small grey or colored picture. */
export function picture(
  seed: number,
  side: number,
  channels: 1 | 3,
  format: "png" | "jpeg" | "webp" | "gif" | "tiff" | "avif" = "png",
): Promise<Buffer> {
  const random = new Random(seed).split("picture");
  const pixels = Uint8Array.from(
    { length: side * side * channels },
    (_, i) => (i * (seed + 3) + random.integer(64)) % 256,
  );
  return sharp(pixels, { raw: { width: side, height: side, channels } })
    .toFormat(format)
    .toBuffer();
}

/** The bytes of a small TIFF of floats from 0 to 1. */
export function floatPicture(side: number): Promise<Buffer> {
  const pixels = Float32Array.from({ length: side * side }, (_, i) => i / (side * side - 1));
  const image = sharp(pixels, { raw: { width: side, height: side, channels: 1 } });
  return image.toColorspace("scrgb").tiff().toBuffer();
}

/** A folder of grey pictures of two classes. */
export async function imageFolder(folder: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await put(join(folder, i % 2 === 0 ? "even" : "odd", `${i}.png`), await picture(i, 8, 1));
  }
}

/** Photos of a bright rectangle each, and where it is. */
async function photos(count: number) {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const [x, y, width, height] = [5 + (i % 3), 4 + (i % 8), 14, 12] as const;
      const pixels = Uint8Array.from({ length: 32 * 32 * 3 }, (_, k) => {
        const [column, row] = [Math.floor(k / 3) % 32, Math.floor(k / 96)];
        const inside = column >= x && column < x + width && row >= y && row < y + height;
        return inside ? 200 + i : 30 + (k % 3);
      });
      const png = await sharp(pixels, { raw: { width: 32, height: 32, channels: 3 } })
        .png()
        .toBuffer();
      return {
        name: `${i}.png`,
        png,
        box: [x, y, width, height] as const,
        label: i % 2 === 0 ? "cat" : "dog",
      };
    }),
  );
}

export type BoxFormat =
  | "coco"
  | "createml"
  | "voc"
  | "yolo"
  | "csv"
  | "wider"
  | "labelme"
  | "cvat"
  | "label-studio"
  | "kitti"
  | "darknet";

/** Where images stand beside annotations. */
const BESIDE: Readonly<Partial<Record<BoxFormat, string>>> = {
  yolo: "images",
  voc: "JPEGImages",
  wider: "WIDER_train/images/0--Event",
  cvat: "images",
  kitti: "training/image_2",
  darknet: "obj_train_data",
};

/** A text beside each photo with its class and its box in shares of the photo, as YOLO and Darknet have them. */
async function putShares(folder: string, all: Awaited<ReturnType<typeof photos>>): Promise<void> {
  for (const {
    name,
    box: [x, y, width, height],
    label,
  } of all) {
    const shares = [x + width / 2, y + height / 2, width, height].map((value) => value / 32);
    await put(join(folder, name.replace(".png", ".txt")), `${label === "cat" ? 0 : 1} ${shares.join(" ")}\n`);
  }
}

/** A folder of photos with boxes in one of the formats. */
export async function boxFolder(folder: string, count: number, format: BoxFormat): Promise<void> {
  const all = await photos(count);
  for (const { name, png } of all) await put(join(folder, BESIDE[format] ?? "", name), png);
  switch (format) {
    case "coco": {
      const images = all.map(({ name }, id) => ({ id, file_name: name, width: 32, height: 32 }));
      const annotations = all.map(({ box, label }, id) => {
        return { id, image_id: id, category_id: label === "cat" ? 1 : 2, bbox: box, area: 168, iscrowd: 0 };
      });
      const categories = [
        { id: 1, name: "cat" },
        { id: 2, name: "dog" },
      ];
      return put(join(folder, "annotations.json"), JSON.stringify({ images, annotations, categories }));
    }
    case "createml": {
      const entries = all.map(({ name, box: [x, y, width, height], label }) => {
        return {
          image: name,
          annotations: [{ label, coordinates: { x: x + width / 2, y: y + height / 2, width, height } }],
        };
      });
      return put(join(folder, "annotations.json"), JSON.stringify(entries));
    }
    case "voc":
      for (const {
        name,
        box: [x, y, width, height],
        label,
      } of all) {
        const box = `<bndbox><xmin>${x}</xmin><ymin>${y}</ymin><xmax>${x + width}</xmax><ymax>${y + height}</ymax></bndbox>`;
        const size = "<size><width>32</width><height>32</height><depth>3</depth></size>";
        const object = `<object><name>${label}</name><difficult>0</difficult>${box}</object>`;
        await put(
          join(folder, "Annotations", name.replace(".png", ".xml")),
          `<annotation><filename>${name}</filename>${size}${object}</annotation>`,
        );
      }
      return put(
        join(folder, "ImageSets", "Main", "train.txt"),
        all.map(({ name }) => `${name.replace(".png", "")}\n`).join(""),
      );
    case "yolo":
      await putShares(join(folder, "labels"), all);
      return put(
        join(folder, "data.yaml"),
        "path: .\ntrain: images\nval: images\nnc: 2\nnames: [cat, dog]\n",
      );
    case "csv": {
      const rows = all.map(({ name, box: [x, y, width, height], label }) => [
        name,
        label,
        x,
        y,
        x + width,
        y + height,
      ]);
      return put(
        join(folder, "boxes.csv"),
        lines(["filename", "class", "xmin", "ymin", "xmax", "ymax"], rows),
      );
    }
    case "labelme":
      for (const {
        name,
        box: [x, y, width, height],
        label,
      } of all) {
        const points = [
          [x, y],
          [x + width, y + height],
        ];
        const shapes = [
          { label, points, shape_type: "rectangle" },
          { label, points, shape_type: "circle" },
        ];
        const about = { version: "5.4.1", flags: {}, imagePath: name, imageWidth: 32, imageHeight: 32 };
        await put(join(folder, name.replace(".png", ".json")), JSON.stringify({ ...about, shapes }));
      }
      return;
    case "cvat": {
      const images = all.map(({ name, box: [x, y, width, height], label }, id) => {
        const box = `<box label="${label}" xtl="${x}" ytl="${y}" xbr="${x + width}" ybr="${y + height}" rotation="10"/>`;
        const polygon = `<polygon label="${label}" points="${x},${y};${x + width},${y};${x},${y + height}"/>`;
        return `<image id="${id}" name="${name}" width="32" height="32">${box}${polygon}</image>`;
      });
      return put(
        join(folder, "annotations.xml"),
        `<annotations><version>1.1</version><meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task></meta>${images.join("\n")}</annotations>`,
      );
    }
    case "label-studio": {
      const tasks = all.map(({ name, box: [x, y, width, height], label }, id) => {
        const [left, top, w, h] = [x, y, width, height].map((value) => (100 * value) / 32);
        const value = { x: left, y: top, width: w, height: h, rotation: 5, rectanglelabels: [label] };
        const region = { type: "rectanglelabels", original_width: 32, original_height: 32, value };
        return {
          id,
          data: { image: `/data/upload/1/0a1b2c3d-${name}` },
          annotations: [{ result: [region] }],
        };
      });
      return put(join(folder, "project.json"), JSON.stringify(tasks));
    }
    case "kitti":
      for (const {
        name,
        box: [x, y, width, height],
        label,
      } of all) {
        const rest = "1.65 1.67 3.64 -0.65 1.71 46.70 -1.59";
        await put(
          join(folder, "training/label_2", name.replace(".png", ".txt")),
          `${label} 0.00 0 -1.58 ${x} ${y} ${x + width} ${y + height} ${rest}\nDontCare -1 -1 -10 0 0 4 4 ${rest}\n`,
        );
      }
      return;
    case "darknet":
      await putShares(join(folder, "obj_train_data"), all);
      await put(join(folder, "obj.names"), "cat\ndog\n");
      return put(join(folder, "train.txt"), all.map(({ name }) => `data/obj_train_data/${name}\n`).join(""));
    case "wider": {
      const entries = all.map(({ name, box }) => `0--Event/${name}\n1\n${box.join(" ")} 0 0 0 0 0 0 \n`);
      return put(join(folder, "wider_face_split", "wider_face_train_bbx_gt.txt"), entries.join(""));
    }
  }
}

/** A run of few steps, fitted by the build. */
export async function run(
  out: string,
  request: Pick<UncheckedRequest, "model" | "data"> & Readonly<Record<string, unknown>>,
): Promise<void> {
  const { startFit }: typeof import("../../src/tasks/fit/fit.node.ts") = await import(
    built("tasks/fit/fit.node.js")
  );
  const few = { steps: 8, batchSize: 16, threads: 1, samplePictures: 0, checkpointEvery: 4 };
  await startFit({ ...few, ...request, out });
}
