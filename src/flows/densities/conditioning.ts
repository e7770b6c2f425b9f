import { z } from "zod";
import { nameList } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { classMixture } from "../../model/class-mixture.ts";
import { type DataInfo, drawClass } from "../../model/data-info.ts";
import { nearest } from "../../nearest.ts";
import { Random } from "../../random.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import { concat, elementCount, oneHot, slice, type Tensor } from "../../tensor/index.ts";

/** Options that make a flow conditional; every flow has them. */
export const conditioningOptions = z.strictObject({
  conditional: z
    .boolean()
    .default(false)
    .describe("learn the density of each class of labeled data, p(x | class), not that of all"),
  given: nameList()
    .default([])
    .describe("columns of a table to condition on: the density is that of the others given these"),
});

export type ConditioningOptions = z.output<typeof conditioningOptions>;

/** Positions of a sample: a run of neighboring numbers. */
interface Span {
  readonly start: number;
  readonly size: number;
}

/** What a conditional flow knows of each sample while it is traced. */
export interface Divided {
  /** What the flow has a density of. */
  readonly target: Tensor;
  /** What it is given, [n, contextSize]; undefined where that is nothing. */
  readonly context: Tensor | undefined;
}

/**
 * What a flow is conditioned on: the class of a sample as a one-hot code, some columns of a table, both, or nothing.
 * It divides samples into what is modeled and what is given, and joins them again.
 */
export class Conditioning {
  /** Shape of a sample of what is modeled. */
  readonly targetShape: readonly number[];
  /** Length of the context vector; 0 where nothing is given. */
  readonly size: number;
  /** Number of classes that are conditioned on; 0 for none. */
  readonly classes: number;
  /** Number of values of given columns. */
  readonly givenSize: number;
  private readonly data: DataInfo;
  private readonly spans: readonly (Span & { readonly given: boolean })[];

  /** @throws OptionError where the data has no classes or no such column, or nothing is left to model */
  constructor({ conditional, given }: ConditioningOptions, data: DataInfo) {
    this.data = data;
    if (conditional && data.classes === undefined) {
      throw new OptionError("option conditional: the data has no classes (a table's are named by --label)");
    }
    this.classes = conditional ? (data.classes ?? 0) : 0;
    const columns = data.columns ?? [];
    for (const name of given) {
      if (columns.some((column) => column.name === name)) continue;
      const names = columns.map((column) => column.name);
      const close = nearest(name, names);
      throw new OptionError(
        names.length === 0
          ? "option given: the data is no table, it has no columns to condition on"
          : `option given: there is no column ${name}${close === undefined ? ` (columns: ${names.join(", ")})` : `; did you mean ${close}?`}`,
      );
    }
    let start = 0;
    this.spans = columns.map(({ name, size }) => {
      const span = { start, size, given: given.includes(name) };
      start += size;
      return span;
    });
    this.givenSize = this.spans.reduce((total, span) => total + (span.given ? span.size : 0), 0);
    this.size = this.classes + this.givenSize;
    const left = elementCount(data.sampleShape) - this.givenSize;
    if (left < 1) throw new OptionError("option given: all columns are given; nothing is left to model");
    this.targetShape = this.givenSize === 0 ? data.sampleShape : [left];
  }

  /** The positions of given (or of modeled) columns in a sample. */
  private pick(x: Tensor, given: boolean): readonly Tensor[] {
    return this.spans
      .filter((span) => span.given === given)
      .map(({ start, size }) => slice(x, 1, start, start + size));
  }

  /** Where in a sample each element of what is modeled stands. */
  targetPlaces(): readonly number[] {
    if (this.givenSize === 0) return Array.from({ length: elementCount(this.data.sampleShape) }, (_, i) => i);
    return this.spans
      .filter((span) => !span.given)
      .flatMap(({ start, size }) => Array.from({ length: size }, (_, i) => start + i));
  }

  /**
   * Divides a batch into what is modeled and what is given.
   * @param label classes [n], int64
   * @throws OptionError where classes are conditioned on and none are given
   */
  divide(x: Tensor, label?: Tensor): Divided {
    const parts: Tensor[] = [];
    if (this.classes > 0) {
      if (label === undefined)
        throw new OptionError("this model is conditional: give the class of each sample");
      parts.push(oneHot(label, this.classes));
    }
    if (this.givenSize === 0) return { target: x, context: parts[0] };
    parts.push(...this.pick(x, true));
    return { target: concat(this.pick(x, false), 1), context: concat(parts, 1) };
  }

  /** Whole samples from modeled values [n, …targetShape] and the context they were drawn under. */
  join(target: Tensor, context: Tensor | undefined): Tensor {
    if (this.givenSize === 0 || context === undefined) return target;
    let [modeled, known] = [0, this.classes];
    const pieces = this.spans.map(({ size, given }) => {
      const source = given ? context : target;
      const start = given ? known : modeled;
      if (given) known += size;
      else modeled += size;
      return slice(source, 1, start, start + size);
    });
    return concat(pieces, 1);
  }

  /**
   * Context rows for drawn samples, [n, size]; undefined where nothing is conditioned on.
   * @param randoms one generator a sample; decides its class where none is given, by the shares of the training data
   * @param first index of the first sample, where `given` has a row for each
   * @param given values of the given columns as the model sees them, [1 or count, givenSize]
   * @throws OptionError where given columns have no values
   */
  contexts(
    randoms: readonly Random[],
    first: number,
    { label, given }: { readonly label?: number; readonly given?: NdArray<"float32"> },
  ): NdArray<"float32"> | undefined {
    if (this.size === 0) return undefined;
    if (this.givenSize > 0 && given?.shape[1] !== this.givenSize) {
      throw new OptionError(
        `this model is conditional: give ${this.givenSize} values of its given columns to draw under`,
      );
    }
    const data = new Float32Array(randoms.length * this.size);
    const rows = given?.shape[0] ?? 0;
    randoms.forEach((random, i) => {
      if (this.classes > 0) {
        data[i * this.size + (label ?? drawClass(this.data, random.split("label").uniform()))] = 1;
      }
      if (given === undefined) return;
      const row = rows === 1 ? 0 : Math.min(first + i, rows - 1);
      const values = given.data.subarray(row * this.givenSize, (row + 1) * this.givenSize);
      data.set(values, i * this.size + this.classes);
    });
    return float32(data, [randoms.length, this.size]);
  }

  /**
   * The log-density under a label or, where classes are conditioned on and none is given, of the mixture of them by their
   * shares.
   * @param logProb log p(x | label), [n]
   */
  overClasses(x: Tensor, label: Tensor | undefined, logProb: (label: Tensor | undefined) => Tensor): Tensor {
    if (this.classes === 0 || label !== undefined) return logProb(label);
    return classMixture(this.data, x.shape[0] ?? 1, logProb);
  }

  /**
   * The context of codes: class and given columns of each, as a row; undefined where nothing is conditioned on.
   * @throws OptionError where they are not given
   */
  codeContext(
    labels: readonly (number | undefined)[],
    given?: NdArray<"float32">,
  ): NdArray<"float32"> | undefined {
    const { classes, size } = this;
    if (size === 0) return undefined;
    const rows = labels.map((label, i) => {
      if (classes > 0 && label === undefined) {
        throw new OptionError("this model is conditional: give the class of each code with label");
      }
      return this.contexts([new Random(0)], i, {
        ...(label !== undefined && { label }),
        ...(given !== undefined && { given }),
      });
    });
    const data = new Float32Array(labels.length * size);
    for (const [i, row] of rows.entries()) if (row !== undefined) data.set(row.data, i * size);
    return float32(data, [labels.length, size]);
  }
}
