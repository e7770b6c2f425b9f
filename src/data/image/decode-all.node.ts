import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { firstNames } from "../../printable.ts";
import { elementCount } from "../../tensor/array.ts";
import type { Decoded } from "./decode.node.ts";
import {
  type DecodedImage,
  fileState,
  LEAST_CACHED,
  readDecoded,
  writeDecoded,
} from "./decoded-cache.node.ts";
import { type DepthWatch, rangeOption, ValuesError } from "./depth.node.ts";
import type { Original, ValueReading } from "./format.ts";

/** How many images are decoded at once; sharp has threads of its own. */
const CONCURRENCY = 8;

/** Runs `work` on every item, a few at once. */
export async function forEachLimited<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) await work(item, index);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

/** Milliseconds between reports of progress. */
const REPORT_EVERY = 250;

/** How the decoding of many images stands. */
export interface DecodingProgress {
  readonly done: number;
  readonly total: number;
}

/** Decoded images one after the other, and those that cannot be read. */
export interface DecodedPixels {
  readonly pixels: Uint8Array;
  /** Why each of these cannot be read. */
  readonly broken: ReadonlyMap<number, DataError>;
  /** What the file of each holds; undefined where it cannot be read. */
  readonly originals: readonly (Original | undefined)[];
  /** Lines for a person on what was kept from an earlier time, and what could not be kept. */
  readonly notes: readonly string[];
}

/** What is decoded. */
export interface ImagesToDecode<T extends { readonly name: string }> {
  readonly items: readonly T[];
  /** [channels, size, size] */
  readonly shape: readonly [number, number, number];
  readonly reading: ValueReading;
  /** Whether `decode` compares the channels of colored files: what was kept without is not taken. */
  readonly colors: boolean;
  /** One of them. @throws DataError where it cannot be read */
  decode(item: T): Promise<Decoded>;
  /** What watches all images whose values are no bytes, those too that are kept from an earlier time. */
  readonly depths: DepthWatch;
  /** Folder that names of items are below, where decoded images are kept from one time to the next. */
  readonly folder?: string | undefined;
  readonly onProgress?: ((progress: DecodingProgress) => void) | undefined;
}

/** Decodes all images of a folder or in memory; of a folder with many, those alone whose files are new or have changed since the last time. */
export async function decodeAll<T extends { readonly name: string }>({
  items,
  shape,
  reading: { bits, valueRange },
  colors,
  decode,
  depths,
  folder,
  onProgress,
}: ImagesToDecode<T>): Promise<DecodedPixels> {
  const length = elementCount(shape);
  const [channels, size] = shape;
  const pixels = new Uint8Array(items.length * length);
  const broken = new Map<number, DataError>();
  const key =
    folder === undefined || items.length < LEAST_CACHED
      ? undefined
      : { folder, size, channels, bits, valueRange };
  const known = key && (await readDecoded(key));
  const originals = new Array<Original | undefined>(items.length).fill(undefined);
  const states = key && items.map(({ name }) => fileState(join(key.folder, name)));
  const fresh: number[] = [];
  for (const [index, { name }] of items.entries()) {
    const state = states?.[index];
    const held = state && known?.get(name, state);
    if (held === undefined || (colors && held.original.colored === undefined)) {
      fresh.push(index);
      continue;
    }
    pixels.set(held.pixels, index * length);
    originals[index] = held.original;
  }
  let done = items.length - fresh.length;
  let reportedAt = performance.now();
  await forEachLimited(fresh, async (index) => {
    const item = items[index];
    if (item === undefined) return;
    try {
      const decoded = await decode(item);
      pixels.set(decoded.pixels, index * length);
      originals[index] = decoded.original;
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      broken.set(index, error);
    }
    done++;
    const now = performance.now();
    if (now - reportedAt < REPORT_EVERY) return;
    reportedAt = now;
    onProgress?.({ done, total: items.length });
  });
  const pixelsOf = (index: number): Uint8Array => pixels.subarray(index * length, (index + 1) * length);
  for (const [index, { name }] of items.entries()) {
    const original = originals[index];
    if (original !== undefined) depths.see(name, original.values, pixelsOf(index));
  }
  if (key === undefined || states === undefined) return { pixels, broken, originals, notes: [] };
  const count = items.length.toLocaleString("en");
  if (fresh.length === broken.size) {
    return {
      pixels,
      broken,
      originals,
      notes: [`${count} images decoded at an earlier time (--no-cache decodes them again)`],
    };
  }
  const kept = items.flatMap(({ name }, index): DecodedImage[] => {
    const state = states[index];
    const original = originals[index];
    if (state === undefined || original === undefined) return [];
    return [{ name, state, pixels: pixelsOf(index), original }];
  });
  const why = await writeDecoded(key, kept);
  return {
    pixels,
    broken,
    originals,
    notes: why === undefined ? [] : [`decoded images are not kept for the next time: ${why}`],
  };
}

/** Names of a list, as many as a line holds. */
const NAMED = 10;

/** How many images cannot be read and which, and an option by which those can whose values have another range. */
export function unreadLines(
  items: readonly { readonly name: string }[],
  broken: ReadonlyMap<number, DataError>,
): readonly string[] {
  const damaged: string[] = [];
  const ranged: string[] = [];
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const [index, error] of [...broken].sort(([a], [b]) => a - b)) {
    const name = items[index]?.name ?? "";
    if (!(error instanceof ValuesError)) damaged.push(name);
    else {
      ranged.push(name);
      [least, most] = [Math.min(least, error.extent[0]), Math.max(most, error.extent[1])];
    }
  }
  const shown = (names: readonly string[]) => firstNames(names, NAMED);
  return [
    ...(damaged.length === 0 ? [] : [`${damaged.length} unreadable: ${shown(damaged)}`]),
    ...(ranged.length === 0
      ? []
      : [
          `${ranged.length} whose values are from ${Number(least.toPrecision(4))} to ${Number(most.toPrecision(4))}, where 0 to 1 or 0 to 255 are read: ${shown(ranged)}; ${rangeOption([least, most])} takes them as black to white`,
        ]),
  ];
}
