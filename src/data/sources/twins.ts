import { append } from "../../append.ts";
import type { SplitName } from "./data-set.ts";

// Twins: the same picture under several names. One in training and one held out make what is measured too good.

/** A small look at a picture: grey values 0 … 255 of 16 × 16 cells, row after row. */
export type Look = Uint8Array;

/** Cells along each axis of a look. */
export const LOOK = 16;

/** Cells along each axis of a difference hash, which has a bit for each two neighbors of a row. */
const HASH = 8;

/** Bits of a hash that twins may differ in: one in each band less one is sure to be found by a band that is the same. */
const MOST_BITS = 3;
const BANDS = 4;

/** Grey values that twins differ by at most: on average, and anywhere. */
const MEAN_DIFFERENCE = 3;
const MOST_DIFFERENCE = 24;

/** A picture with fewer steps between neighbors than this share says too little to be known again. */
const LEAST_TEXTURE = 0.2;
const STEP = 4;

/** Pictures of one band that each further one is compared with. */
const COMPARED = 64;

/** Means over 2 × 2 cells, with a ninth column, so that each row has eight differences. */
function differenceHash(look: Look): readonly number[] | undefined {
  const at = (row: number, column: number): number => look[row * LOOK + column] ?? 0;
  const bands = new Array<number>(BANDS).fill(0);
  let textured = 0;
  for (let row = 0; row < HASH; row++) {
    for (let column = 0; column < HASH; column++) {
      const mean = (left: number) => at(2 * row, left) + at(2 * row + 1, left);
      const [from, to] = [2 * column, Math.min(2 * column + 2, LOOK - 1)];
      const step = (mean(to) - mean(from)) / 2;
      if (Math.abs(step) >= STEP) textured++;
      const bit = row * HASH + column;
      const band = Math.floor((bit * BANDS) / HASH ** 2);
      if (step > 0) bands[band] = (bands[band] ?? 0) | (1 << (bit % (HASH ** 2 / BANDS)));
    }
  }
  return textured < LEAST_TEXTURE * HASH ** 2 ? undefined : bands;
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** True where two looks differ by little, their brightness aside. */
function areAlike(a: Look, b: Look): boolean {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) - (b[i] ?? 0);
  const shift = sum / a.length;
  let total = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] ?? 0) - (b[i] ?? 0) - shift);
    if (difference > MOST_DIFFERENCE) return false;
    total += difference;
  }
  return total / a.length <= MEAN_DIFFERENCE;
}

/** A picture as it is compared. */
export interface Compared {
  /** Equal for equal bytes. */
  readonly hash: string;
  readonly look?: Look | undefined;
}

/** That a picture is a twin of an earlier one. */
export interface Twin {
  /** Positions in the list. */
  readonly of: number;
  readonly twin: number;
  /** Whether their bytes are equal, or they look alike. */
  readonly equal: boolean;
}

/**
 * Finds twins: pictures of equal bytes, and those whose looks differ by at most 3 of 64 bits of a difference hash (Krawetz 2013) and by at most
 * 3 grey values on average. Pictures without texture are compared by their bytes alone. Of many alike, each is compared with the first 64.
 */
export function findTwins(pictures: readonly Compared[]): readonly Twin[] {
  const twins: Twin[] = [];
  const byHash = new Map<string, number>();
  const byBand = new Map<string, number[]>();
  const hashes = new Map<number, readonly number[]>();
  for (const [position, { hash, look }] of pictures.entries()) {
    const same = byHash.get(hash);
    if (same !== undefined) {
      twins.push({ of: same, twin: position, equal: true });
      continue;
    }
    byHash.set(hash, position);
    const bands = look && differenceHash(look);
    if (look === undefined || bands === undefined) continue;
    const lists = bands.map((band, i) => {
      const key = `${i} ${band}`;
      const list = byBand.get(key) ?? [];
      byBand.set(key, list);
      return list;
    });
    const alike = [...new Set(lists.flat())]
      .sort((a, b) => a - b)
      .find((other) => {
        const theirs = pictures[other]?.look;
        const bits = hashes.get(other)?.reduce((sum, band, i) => sum + bitCount(band ^ (bands[i] ?? 0)), 0);
        return theirs !== undefined && bits !== undefined && bits <= MOST_BITS && areAlike(look, theirs);
      });
    if (alike !== undefined) twins.push({ of: alike, twin: position, equal: false });
    hashes.set(position, bands);
    for (const list of lists) if (list.length < COMPARED) list.push(position);
  }
  return twins;
}

/** The first picture of the family of each, by its position. */
export function familiesOf(count: number, twins: readonly Twin[]): Uint32Array {
  const first = Uint32Array.from({ length: count }, (_, i) => i);
  // A twin comes after what it is a twin of.
  for (const { of, twin } of twins) first[twin] = first[of] ?? of;
  return first;
}

/**
 * Splits that were drawn, with twins moved to where the first of their family is. A part that would be left empty gets the smallest family of
 * the largest part that has two; where there are too few families the splits stay as drawn.
 * @param parts positions in each
 * @param families of all positions, by `familiesOf`
 */
export function keepTogether(
  parts: Readonly<Record<SplitName, readonly number[]>>,
  families: Uint32Array,
): Readonly<Record<SplitName, readonly number[]>> {
  const splitOf = new Map<number, SplitName>();
  const names = Object.keys(parts) as SplitName[];
  for (const name of names) for (const position of parts[name]) splitOf.set(position, name);
  const kept: Record<SplitName, number[]> = { train: [], validation: [], test: [] };
  for (const name of names) {
    for (const position of parts[name]) {
      kept[splitOf.get(families[position] ?? position) ?? name].push(position);
    }
  }
  for (const name of names) {
    if (parts[name].length === 0 || kept[name].length > 0) continue;
    const giver = names
      .toSorted((a, b) => kept[b].length - kept[a].length)
      .find((other) => smallestFamily(kept[other], families) !== undefined);
    const given = giver && smallestFamily(kept[giver], families);
    if (giver === undefined || given === undefined) return parts;
    kept[name] = kept[giver].filter((position) => given.has(position));
    kept[giver] = kept[giver].filter((position) => !given.has(position));
  }
  return kept;
}

/** The pictures of the smallest family among some; undefined where they are of one. */
function smallestFamily(
  positions: readonly number[],
  families: Uint32Array,
): ReadonlySet<number> | undefined {
  const members = new Map<number, number[]>();
  for (const position of positions) {
    const first = families[position] ?? position;
    append(members, first, position);
  }
  if (members.size < 2) return undefined;
  const [smallest] = [...members.values()].sort((a, b) => a.length - b.length);
  return new Set(smallest);
}
