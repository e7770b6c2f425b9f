import { OptionError } from "../../errors.ts";

// Shares of some work that processes do apart from each other: tasks of an array job, pods of an indexed job, ranks.

/** Which share of the work, counted from 0, of how many. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Consecutive rows. */
export interface RowShare {
  readonly first: number;
  readonly count: number;
}

/** Shards at most: numbers of parts have five digits. */
export const MOST_SHARDS = 100_000;

/**
 * Rows that are read and computed together: shares of rows begin at multiples of it, so that a row is computed with the same others, and with the same
 * noise, however many shards there are.
 */
export const SHARD_BLOCK = 256;

/** @throws OptionError where a shard is not one of as many as it says */
export function checkShard({ index, count }: Shard): Shard {
  const isWhole = Number.isInteger(index) && Number.isInteger(count);
  if (!isWhole || count < 1 || count > MOST_SHARDS || index < 0 || index >= count) {
    throw new OptionError(
      `option shard: there is no shard ${index} of ${count}; shards count from 0, of 8 they are 0/8 to 7/8, and there are at most ${MOST_SHARDS}`,
    );
  }
  return { index, count };
}

/** The shard that a text such as 3/8 names. @throws OptionError */
export function parseShard(text: string): Shard {
  const [, index, count] = /^\s*(\d{1,9})\s*\/\s*(\d{1,9})\s*$/.exec(text) ?? [];
  if (index === undefined || count === undefined) {
    throw new OptionError(
      `option shard: ${JSON.stringify(text)} is not of the form i/n, such as 0/8 for the first of eight shards`,
    );
  }
  return checkShard({ index: Number(index), count: Number(count) });
}

/**
 * The rows of a shard: consecutive whole blocks, in shares that differ by one block at most. Together the shards have every row once; some have none
 * where there are fewer blocks than shards.
 * @param rows in all
 * @param block 1 where rows do not depend on those that they are computed with
 */
export function shareOf({ index, count }: Shard, rows: number, block = SHARD_BLOCK): RowShare {
  const blocks = Math.ceil(rows / block);
  const begin = (number: number): number => Math.min(rows, block * Math.floor((blocks * number) / count));
  const first = begin(index);
  return { first, count: begin(index + 1) - first };
}

/** The name of a shard's part among the others: `part-00003-of-00008.parquet`. */
export function partName({ index, count }: Shard, extension: string): string {
  const digits = (number: number): string => String(number).padStart(5, "0");
  return `part-${digits(index)}-of-${digits(count)}${extension}`;
}
