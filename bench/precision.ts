import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as ort from "onnxruntime-node";
import { exportedModelSchema } from "../src/model/exported.ts";
import { Random } from "../src/random.ts";

// How fast a detector's file is in several precisions, in one process: every round runs each file once, so that all meet the same machine.
//
//   npx eidos export RUN --out fp32; npx eidos export RUN --out fp16 --precision fp16; npx eidos export RUN --out int8 --precision int8
//   npx tsx bench/precision.ts --side 640 fp32 fp16 int8

const ROUNDS = 60;
const { values, positionals: folders } = parseArgs({
  options: { side: { type: "string", default: "640" } },
  allowPositionals: true,
});
/** Of the image, in pixels. */
const SIDE = Number(values.side);

interface Opened {
  readonly folder: string;
  readonly bytes: number;
  readonly milliseconds: number[];
  run(): Promise<unknown>;
}

async function opened(folder: string): Promise<Opened> {
  const record = exportedModelSchema.parse(JSON.parse(await readFile(join(folder, "model.json"), "utf8")));
  const { detect } = record.abilities;
  if (detect === undefined) throw new Error(`${folder} is no exported detector`);
  const file = await readFile(join(folder, detect.file));
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1 });
  const random = new Random(0);
  const pixels = Uint8Array.from({ length: 3 * SIDE * SIDE }, () => random.integer(256));
  const feeds: Record<string, ort.Tensor> = { image: new ort.Tensor("uint8", pixels, [SIDE, SIDE, 3]) };
  for (const { name, type, optional } of detect.inputs) {
    if (optional) feeds[name] = new ort.Tensor(type as "float32", [], [0]);
  }
  return { folder, bytes: file.length, milliseconds: [], run: () => session.run(feeds) };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

if (folders.length === 0) throw new Error("name folders of exported detectors");
const files = await Promise.all(folders.map(opened));
for (const { run } of files) await run();
for (let round = 0; round < ROUNDS; round++) {
  for (const { run, milliseconds } of files) {
    const begun = performance.now();
    await run();
    milliseconds.push(performance.now() - begun);
  }
}
for (const { folder, bytes, milliseconds } of files) {
  console.log(
    `${folder}: ${(bytes / 1e6).toFixed(2)} MB, median ${median(milliseconds).toFixed(1)} ms an image of ${SIDE} × ${SIDE}, one thread`,
  );
}
