import { type DataSet, isPicture, range, type Split, type SplitName } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { digitFeatures } from "../../metrics/digit-features.node.ts";
import {
  classifierTwoSampleTest,
  densityCoverage,
  energyDistance,
  frechetDistance,
  maximumMeanDiscrepancy,
  memorization,
  momentErrors,
  precisionRecall,
  slicedWasserstein,
} from "../../metrics/index.ts";
import type { Runtime } from "../../program/runtime.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import type { MeasureName, SampleDistance } from "./measures.ts";

/** How much is measured: what takes a moment, or all there is. */
export type Extent = "quick" | "all";

/** Products of pairs that a measure of all pairs may take: about a second's work. */
const PAIR_WORK = { quick: 2.5e8, all: 1e9 } as const;
/** Samples of each set in a test with permutations, whose time grows with their square times the permutations. */
const TESTED = 1000;
const PERMUTATIONS = 200;
/** Samples of each set whose neighbors are sought. */
const NEIGHBORED = 2000;
/** Training samples that are searched for copies. */
const SEARCHED = 10_000;
/** Fewer held-out samples measure nothing. */
const LEAST = 10;

/** Where samples are compared: as they are, as pixels, as zeros and ones, or as what a classifier sees in a digit. */
type Space = "numbers" | "pixels" | "bits" | "digits" | "features";

function spaceOf({ name, kind, sampleShape }: DataSet): Space {
  const drawn = kind === "image" || kind === "binary";
  // The classifier has seen these digits alone; of other images its features mean nothing.
  if (drawn && name === "digits" && sampleShape.join() === "1,28,28") return "digits";
  return kind === "image" ? "pixels" : kind === "binary" ? "bits" : "numbers";
}

/** How many samples of each set are compared, at most. */
function wantedCount({ kind, sampleShape }: DataSet, extent: Extent): number {
  // Drawing images takes longer than measuring them: nothing that is quick.
  if (sampleShape.length === 3) return extent === "quick" ? 0 : 1000;
  if (extent === "quick") return kind === "binary" ? 1000 : 2000;
  return kind === "points" ? 5000 : 2000;
}

/** What distances depend on, besides the data and the samples. */
export interface DistanceOptions {
  /** The split whose samples stand for the data. */
  readonly split: SplitName;
  /** Decides which of its samples are taken, where it has more than are wanted, and all random numbers. */
  readonly seed: number;
  readonly extent: Extent;
  /** Samples of each set at most; default: as many as are wanted. */
  readonly most?: number | undefined;
  /** Where networks run: features of digits, the classifier of the two-sample test. */
  readonly runtime: Runtime;
  /** In whose features images are compared, in place of pixels; `featureView` makes one of a run. */
  readonly features?: FeatureView | undefined;
}

/** Features that images are compared in. */
export interface FeatureView {
  /** For notes. */
  readonly name: string;
  /** Images in bytes [n, channels, height, width] → [n, units]. */
  view(images: NdArray<"float32">): Promise<NdArray<"float32">>;
}

/** Both sets that are compared, in the space where they are compared, and the note that names this space. */
interface Compared {
  readonly drawn: NdArray<"float32">;
  readonly real: NdArray<"float32">;
  readonly note?: string;
}

/**
 * Distances between samples that a model drew and held-out samples of its data. Held-out samples, and what must be
 * computed of them, are taken once for all sets that are measured.
 */
export class DistanceMeter {
  private readonly data: DataSet;
  private readonly options: DistanceOptions;
  private readonly space: Space;
  private readonly random: Random;
  /** Samples to be drawn, and held-out samples they are compared with; 0 where nothing is measured. */
  readonly count: number;
  private held: Promise<NdArray<"float32">> | undefined;
  private known: Promise<NdArray<"float32">> | undefined;

  constructor(data: DataSet, options: DistanceOptions) {
    this.data = data;
    this.options = options;
    this.space = options.features === undefined ? spaceOf(data) : "features";
    if (options.features !== undefined && !isPicture(data)) {
      throw new OptionError(
        `option features: ${data.name} is ${data.kind} data, whose samples are compared as they are; leave it out`,
      );
    }
    this.random = new Random(options.seed).split("distances");
    const { count } = data.splits[options.split];
    this.count =
      count < LEAST
        ? 0
        : Math.min(count, wantedCount(data, options.extent), options.most ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Distances of drawn samples to the held-out ones, the one to rank models by first.
   * @param drawn in data units, [count, …sampleShape]; images need not be rounded
   * @throws OptionError where samples are not finite
   */
  async measure(drawn: NdArray<"float32">): Promise<readonly SampleDistance[]> {
    if (this.count === 0) return [];
    this.held ??= this.view(this.subset(this.options.split, this.count));
    const pair = { drawn: await this.view(drawn), real: await this.held };
    const { extent } = this.options;
    switch (this.space) {
      case "numbers":
        return [
          ...this.plain(pair),
          ...(extent === "all" ? [...this.test(pair), ...(await this.close(pair))] : []),
        ];
      case "pixels":
        return this.plain({ ...pair, note: "of pixels" });
      case "bits":
        return [
          ...this.bits(pair),
          ...(extent === "all" ? [...(await this.close({ ...pair, note: "of zeros and ones" }))] : []),
        ];
      case "digits":
      case "features": {
        const { features } = this.options;
        const note =
          features === undefined ? "in features of a digit classifier" : `in features of ${features.name}`;
        const seen = { ...pair, note };
        const value = frechetDistance(pair.real, pair.drawn);
        return [
          this.result("frechet", value, seen),
          ...this.test(seen),
          ...(await this.close(seen)),
          ...(features !== undefined && this.data.kind === "image" ? this.plain(this.pixels(drawn)) : []),
          ...(this.data.kind === "binary" ? this.pixelErrors(drawn) : []),
        ];
      }
    }
  }

  /**
   * Distances of training samples to the held-out ones, in equal number: what samples of the data itself come to, and
   * what a model that repeats its training split would.
   */
  control(): Promise<readonly SampleDistance[]> {
    return this.measure(this.subset("train", this.count));
  }

  /** Samples of a split, chosen at random where it has more: splits may stand in the order of classes. */
  private subset(name: SplitName, count: number): NdArray<"float32"> {
    const split: Split = this.data.splits[name];
    if (count >= split.count) return split.batch(range(0, split.count)).x;
    return split.batch(this.random.split(name).permutation(split.count).subarray(0, count)).x;
  }

  /** Both sets as pixels. */
  private pixels(drawn: NdArray<"float32">): Compared {
    return { drawn, real: this.subset(this.options.split, this.count), note: "of pixels" };
  }

  /** Samples as they are compared. */
  private async view(samples: NdArray<"float32">): Promise<NdArray<"float32">> {
    const { features } = this.options;
    if (this.space !== "digits" && features === undefined) return samples;
    const { kind } = this.data;
    const bytes = samples.data.map((value) =>
      Math.min(255, Math.max(0, Math.round(kind === "binary" ? 255 * value : value))),
    );
    const images = float32(bytes, samples.shape);
    return features === undefined ? digitFeatures(images, this.options.runtime) : features.view(images);
  }

  /** Training samples that are searched for copies. */
  private training(count: number, size: number): Promise<NdArray<"float32">> {
    const affordable = Math.floor(PAIR_WORK.all / (count * size));
    this.known ??= this.view(
      this.subset("train", Math.max(1, Math.min(SEARCHED, affordable, this.data.splits.train.count))),
    );
    return this.known;
  }

  private result(
    measure: MeasureName,
    value: number,
    { drawn, real, note }: Compared,
    detail?: string,
  ): SampleDistance {
    const notes = [note, detail].filter((text) => text !== undefined).join(", ");
    return {
      measure,
      value,
      samples: drawn.shape[0] ?? 0,
      real: real.shape[0] ?? 0,
      ...(notes !== "" && { note: notes }),
    };
  }

  /** As many of both as all their pairs can be measured of in time, and `most` at most. */
  private some({ drawn, real, note }: Compared, most = Number.POSITIVE_INFINITY): Compared {
    const size = elementCount(real.shape.slice(1));
    const affordable = Math.floor(Math.sqrt(PAIR_WORK[this.options.extent] / size));
    const count = Math.max(LEAST, Math.min(most, affordable));
    return {
      drawn: firstRows(drawn, count),
      real: firstRows(real, count),
      ...(note !== undefined && { note }),
    };
  }

  private plain(pair: Compared): readonly SampleDistance[] {
    const { seed } = this.options;
    const some = this.some(pair);
    return [
      this.result("energy", energyDistance(some.drawn, some.real), some),
      this.result("sliced", slicedWasserstein(pair.drawn, pair.real, { seed }), pair, "128 projections"),
    ];
  }

  /** Maximum mean discrepancy with its permutation test. */
  private test(pair: Compared, kind: "gaussian" | "laplacian" = "gaussian"): readonly SampleDistance[] {
    const some = this.some(pair, TESTED);
    const { seed } = this.options;
    const { squared, pValue = Number.NaN } = maximumMeanDiscrepancy(some.drawn, some.real, {
      kernel: { kind },
      permutations: PERMUTATIONS,
      seed,
    });
    return [
      this.result("discrepancy", squared, some, `${kind} kernel`),
      this.result("discrepancyP", pValue, some, `${PERMUTATIONS} permutations`),
    ];
  }

  /** What is read off neighbors, and the classifier. */
  private async close(pair: Compared): Promise<readonly SampleDistance[]> {
    const some = this.some(pair, NEIGHBORED);
    const { drawn, real } = some;
    const { runtime, seed } = this.options;
    const { precision, recall } = precisionRecall(real, drawn);
    const { density, coverage } = densityCoverage(real, drawn);
    const known = await this.training(real.shape[0] ?? 0, elementCount(real.shape.slice(1)));
    const { nearerShare } = memorization(drawn, known, real);
    const { accuracy, count } = await classifierTwoSampleTest(drawn, real, runtime, { seed });
    return [
      this.result("precision", precision, some, "3 neighbors"),
      this.result("recall", recall, some, "3 neighbors"),
      this.result("density", density, some, "5 neighbors"),
      this.result("coverage", coverage, some, "5 neighbors"),
      this.result("memorization", nearerShare, some, `nearest of ${known.shape[0]} training samples`),
      this.result("classifier", accuracy, some, `evaluated on ${count} of them`),
    ];
  }

  /** Zeros and ones: distances by the number of elements that differ, and errors of probabilities. */
  private bits(pair: Compared): readonly SampleDistance[] {
    const some = this.some(pair);
    return [
      this.result("energy", energyDistance(some.drawn, some.real), some, "root of the elements that differ"),
      ...(this.options.extent === "all" ? this.test(pair, "laplacian") : []),
      ...this.errors(pair),
    ];
  }

  /** Errors of probabilities; left out where there are too many pairs of elements. */
  private errors(pair: Compared): readonly SampleDistance[] {
    const { shape } = pair.real;
    if ((shape[0] ?? 0) * elementCount(shape.slice(1)) ** 2 > 2 * PAIR_WORK.all) return [];
    const { mean, pair: both } = momentErrors(pair.drawn, pair.real);
    return [this.result("marginals", mean, pair), this.result("pairs", both, pair)];
  }

  private pixelErrors(drawn: NdArray<"float32">): readonly SampleDistance[] {
    return this.errors({ drawn, real: this.subset(this.options.split, this.count), note: "of pixels" });
  }
}

function firstRows(samples: NdArray<"float32">, count: number): NdArray<"float32"> {
  const [rows = 0, ...rest] = samples.shape;
  if (rows <= count) return samples;
  return float32(samples.data.subarray(0, count * elementCount(rest)), [count, ...rest]);
}
