import { OptionError } from "../errors.ts";
import { elementCount, float32 } from "../tensor/array.ts";
import type { BatchFeeds, Rows, SingleRows, TrainingBatches } from "./batches.ts";
import type { SampleOwners } from "./ranks/owners.ts";
import type { Ranks } from "./ranks/ranks.node.ts";

// Batches whose samples lie on several ranks: each makes the rows of a batch whose samples it holds, with the noise that they have in that batch, and
// the ranks exchange them, so that each ends with the rows of its own part. They are those that one process would have made, bit for bit.

/** Rows of feeds as numbers, one row after the other: x, and the class behind it where there is one. */
interface RowCodec {
  /** Numbers of a row. */
  readonly width: number;
  encode(feeds: BatchFeeds): Float32Array;
  /** @param places where each row belongs */
  decode(numbers: Float32Array, places: Uint32Array): BatchFeeds;
}

/** @param shape of one sample */
function rowCodec(shape: readonly number[], isLabeled: boolean): RowCodec {
  const size = elementCount(shape);
  const width = size + (isLabeled ? 1 : 0);
  return {
    width,
    encode({ x, label }) {
      const data = x?.data as Float32Array;
      if (!isLabeled) return data;
      const numbers = new Float32Array((data.length / size) * width);
      for (let row = 0, at = 0; at < numbers.length; row++, at += width) {
        numbers.set(data.subarray(row * size, (row + 1) * size), at);
        // Of classes there are never so many that float32 cannot count them.
        numbers[at + size] = Number(label?.data[row]);
      }
      return numbers;
    },
    decode(numbers, places) {
      const count = places.length;
      const data = new Float32Array(count * size);
      const classes = new BigInt64Array(isLabeled ? count : 0);
      for (const [i, place] of places.entries()) {
        data.set(numbers.subarray(i * width, i * width + size), place * size);
        if (isLabeled) classes[place] = BigInt(numbers[i * width + size] ?? 0);
      }
      const x = float32(data, [count, ...shape]);
      return isLabeled ? { x, label: { dtype: "int64", shape: [count], data: classes } } : { x };
    },
  };
}

/** What a rank says to others for a batch. */
type Company = Pick<Ranks, "rank" | "agree" | "exchange">;

/** The batches of a fit on a rank, of which it makes the rows whose samples it holds. */
export class RankBatches implements TrainingBatches {
  private readonly source: TrainingBatches;
  private readonly rows: SingleRows;
  private readonly owners: SampleOwners;
  private readonly ranks: Company;
  /** What of each batch every rank computes. */
  private readonly parts: readonly Rows[];
  private readonly codec: RowCodec;
  private held: { readonly step: number; readonly feeds: BatchFeeds } | undefined;

  /** @throws OptionError where rows of the batches depend on each other */
  constructor(source: TrainingBatches, owners: SampleOwners, ranks: Company, parts: readonly Rows[]) {
    const { single } = source;
    if (single === undefined) throw new OptionError("these batches are not made row by row");
    this.source = source;
    this.rows = single;
    this.owners = owners;
    this.ranks = ranks;
    this.parts = parts;
    const { x, labeled } = source.shape(1, 0);
    this.codec = rowCodec(x.slice(1), labeled);
  }

  get count(): number {
    return this.source.count;
  }

  get batchSize(): number {
    return this.source.batchSize;
  }

  get random(): TrainingBatches["random"] {
    return this.source.random;
  }

  shape(rows: number, step: number): ReturnType<TrainingBatches["shape"]> {
    return this.source.shape(rows, step);
  }

  names(step: number): readonly string[] {
    return this.source.names(step);
  }

  /**
   * Exchanges the rows of a step, for which all ranks meet.
   * @throws what has failed here; TrainingError elsewhere
   */
  meet(step: number): void {
    const { owners, ranks, parts, codec } = this;
    let own: Float32Array | undefined;
    let exchange: ReturnType<SampleOwners["exchange"]> | undefined;
    let fault: unknown;
    try {
      exchange = owners.exchange(ranks.rank, this.rows.samples(step), parts);
      const { held } = exchange;
      own = held.length === 0 ? new Float32Array(0) : codec.encode(this.rows.feeds(step, held));
    } catch (error) {
      fault = error;
    }
    // From here on, all are there.
    ranks.agree(fault, false);
    if (exchange === undefined || own === undefined) throw fault;
    const numbers = (counts: Int32Array): Int32Array => counts.map((count) => count * codec.width);
    const taken = ranks.exchange(own, numbers(exchange.given), numbers(exchange.taken));
    this.held = { step, feeds: codec.decode(taken, exchange.places) };
  }

  /** Rows of this rank's part of the batch for which the ranks have met. */
  feeds(step: number, rows: Rows | undefined = this.parts[this.ranks.rank]): BatchFeeds {
    const part = this.parts[this.ranks.rank];
    if (part === undefined || rows === undefined || this.held?.step !== step) {
      throw new RangeError(`the ranks have not met for step ${step}`);
    }
    const from = rows.first - part.first;
    if (from < 0 || from + rows.count > part.count) {
      throw new RangeError(`rows ${rows.first} to ${rows.first + rows.count} are not of this rank`);
    }
    return Object.fromEntries(
      Object.entries(this.held.feeds).map(([name, { dtype, shape, data }]) => {
        const size = elementCount(shape.slice(1));
        const own = data.subarray(from * size, (from + rows.count) * size);
        return [name, { dtype, shape: [rows.count, ...shape.slice(1)], data: own }];
      }),
    ) as BatchFeeds;
  }
}
