import { readFile } from "node:fs/promises";
import sharp from "sharp";
import { z } from "zod";
import type { ByteImage } from "../../../../src/data/boxes/set.ts";
import { Mtcnn } from "../../../../src/detection/models/mtcnn/mtcnn.ts";
import { mtcnnOptions } from "../../../../src/detection/models/mtcnn/options.ts";
import { readCascadeWeights } from "../../../../src/detection/models/mtcnn/weights.ts";
import { namedTensors, nameParameters } from "../../../../src/nn/module.ts";
import { readWeights } from "../../../../src/nn/weights.ts";
import type { State } from "../../../../src/program/program.ts";
import { elementCount, float32, type NdArray } from "../../../../src/tensor/array.ts";
import { uniform } from "../../../backbones/published.ts";

// What facenet-pytorch finds, from ../../../fixtures/mtcnn, and the same networks here.

const rows = z.array(z.array(z.number()));

const caseSchema = z.object({
  picture: z.string(),
  weights: z.enum(["published", "hashed"]),
  options: z.object({
    minimumSize: z.number(),
    factor: z.number(),
    thresholds: z.array(z.number()),
  }),
  /** x1, y1, x2, y2 and the score. */
  proposals: rows,
  refined: rows,
  found: rows,
  landmarks: rows,
});

export type MtcnnCase = z.output<typeof caseSchema>;

const FOLDER = new URL("../../../fixtures/mtcnn/", import.meta.url);

/** What mtcnn.py has written. */
export const mtcnnFixture = z
  .object({ cases: z.array(caseSchema), outputs: z.record(z.string(), rows) })
  .parse(JSON.parse(await readFile(new URL("mtcnn.json", FOLDER), "utf8")));

/** The path of a picture of mtcnn.py. */
export function picturePath(name: string): string {
  return new URL(`${name}.png`, FOLDER).pathname;
}

/** A picture of mtcnn.py. */
export async function pictureOf(name: string): Promise<ByteImage> {
  const { data, info } = await sharp(picturePath(name))
    .toColorspace("srgb")
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const count = info.width * info.height;
  const planes = new Uint8Array(3 * count);
  for (let i = 0; i < 3 * count; i++) planes[(i % 3) * count + Math.floor(i / 3)] = data[i] ?? 0;
  return { width: info.width, height: info.height, data: planes };
}

/** MTCNN with options given, named. */
export function mtcnn(options: z.input<typeof mtcnnOptions> = {}): Mtcnn {
  return nameParameters(new Mtcnn(mtcnnOptions.parse(options), { sampleShape: [3, 48, 48], classes: 1 }));
}

/** The weights that mtcnn.py makes from names. */
export function hashedWeights(model: Mtcnn): State {
  const state = new Map<string, NdArray>();
  for (const [name, { shape }] of namedTensors(model)) {
    const { data } = uniform(name, shape);
    const gain = /_[23]\.weight$/.test(name) ? 0.05 : name.endsWith("_1.weight") ? 0.6 : 1;
    const factor = shape.length > 1 ? gain * Math.sqrt(6 / elementCount(shape.slice(1))) : 0.1;
    const offset = name.includes("prelu") ? 0.25 : 0;
    state.set(
      name,
      float32(
        data.map((value) => offset + factor * value),
        shape,
      ),
    );
  }
  return state;
}

const WEIGHTS = new URL("../../../../../shared/weights/mtcnn/", import.meta.url);

/** Facenet-pytorch's weights; undefined where they are not on this machine. */
export async function publishedWeights(): Promise<State | undefined> {
  const files = ["pnet", "rnet", "onet"].map(async (name) => {
    const file = `${name}.pt`;
    const bytes = await readFile(new URL(file, WEIGHTS));
    return { file, tensors: readWeights(bytes, file).tensors };
  });
  try {
    return readCascadeWeights(await Promise.all(files)).state;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
