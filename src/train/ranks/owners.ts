// Which rank holds which training samples, and what the ranks exchange for a batch. Every rank computes this for itself, from the same numbers.

/** Consecutive rows of a batch. */
interface Part {
  readonly first: number;
  readonly count: number;
}

/** What a rank gives and takes for a batch. */
export interface Exchange {
  /** Rows of the batch whose samples are here, in rising order: those of rank 0's part first, then those of rank 1's, … */
  readonly held: Uint32Array;
  /** How many of them are for each rank. */
  readonly given: Int32Array;
  /** How many rows of this rank's part come from each rank. */
  readonly taken: Int32Array;
  /** In the order in which they come, where in this rank's part each row belongs. */
  readonly places: Uint32Array;
}

/**
 * Training samples divided over ranks: in the order in which they stand in the data, rank r has those from ⌊n r / R⌋ on. So what a rank
 * reads is consecutive, though the split that they are in is not.
 */
export class SampleOwners {
  /** Of how many samples in all. */
  readonly count: number;
  readonly size: number;
  /** Of each sample, how many stand before it in the data. */
  private readonly standing: Uint32Array;
  /** The reverse: which sample stands there. */
  private readonly order: Uint32Array;

  /** @param rows of each sample, where it stands in the data (`Origin.rows`) */
  constructor(rows: Uint32Array, size: number) {
    this.count = rows.length;
    this.size = size;
    const sampleAt = new Uint32Array(rows.reduce((most, row) => Math.max(most, row + 1), 0));
    for (const [sample, row] of rows.entries()) sampleAt[row] = sample + 1;
    this.order = sampleAt.filter((sample) => sample > 0).map((sample) => sample - 1);
    this.standing = new Uint32Array(rows.length);
    for (const [place, sample] of this.order.entries()) this.standing[sample] = place;
  }

  private begin(rank: number): number {
    return Math.floor((this.count * rank) / this.size);
  }

  /** The samples of a rank, in the order in which they stand in the data. */
  samplesOf(rank: number): Uint32Array {
    return this.order.subarray(this.begin(rank), this.begin(rank + 1));
  }

  /** The number of a sample among those of a rank; negative or too large where it is another's. */
  placeOn(rank: number, sample: number): number {
    return (this.standing[sample] ?? -1) - this.begin(rank);
  }

  ownerOf(sample: number): number {
    const place = this.standing[sample];
    if (place === undefined) throw new RangeError(`sample ${sample} of ${this.count}`);
    // The largest r with ⌊n r / R⌋ ≤ place; rounding may be off by one.
    let rank = Math.floor((place * this.size) / this.count);
    while (this.begin(rank + 1) <= place) rank++;
    while (this.begin(rank) > place) rank--;
    return rank;
  }

  /**
   * What a rank gives and takes so that each has the rows of its own part.
   * @param samples of each row of the batch
   * @param parts of the batch, by rank: one after the other
   */
  exchange(rank: number, samples: ArrayLike<number>, parts: readonly Part[]): Exchange {
    const held: number[] = [];
    const given = new Int32Array(this.size);
    const from = Array.from({ length: this.size }, (): number[] => []);
    for (const [to, { first, count }] of parts.entries()) {
      for (let row = first; row < first + count; row++) {
        const owner = this.ownerOf(samples[row] ?? -1);
        if (owner === rank) {
          held.push(row);
          given[to] = (given[to] ?? 0) + 1;
        }
        if (to === rank) from[owner]?.push(row - first);
      }
    }
    return {
      held: Uint32Array.from(held),
      given,
      taken: Int32Array.from(from, (rows) => rows.length),
      places: Uint32Array.from(from.flat()),
    };
  }
}
