import { z } from "zod";
import { positiveAmount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import type {
  Density,
  Exportable,
  ExportedCompletion,
  ExportedDraws,
  GradualSampler,
  Inpainter,
  InpaintOptions,
  Losses,
  SampleOptions,
  Sampler,
  StateOptions,
  Stepwise,
  Trainable,
} from "../model/capabilities.ts";
import type { Codec } from "../model/codes.ts";
import type { DataInfo, SymbolicBatch } from "../model/data-info.ts";
import { sampleInParts } from "../model/sampling.ts";
import type { Session } from "../program/program.ts";
import {
  type Dim,
  elementCount,
  float32,
  input,
  type NdArray,
  oneHot,
  type Shape,
  type Tensor,
} from "../tensor/index.ts";
import { exportedCompletion, inpaintFlow } from "./completion/inpaint.ts";
import { BASE_NAMES, type Base, gaussian } from "./densities/bases.ts";
import { Conditioning, conditioningOptions } from "./densities/conditioning.ts";
import type { Energy } from "./densities/objective.ts";
import { byteScaling, type Dequantizer, uniformDequantizer } from "./images/dequantize.ts";
import { Composition, type Transform } from "./transforms/transform.ts";

/** Options that every flow has beside those of its architecture. */
export const flowOptions = conditioningOptions.extend({
  base: z.enum(BASE_NAMES).optional().describe("distribution of the code (default: gaussian)"),
});

export type FlowOptions = z.output<typeof flowOptions>;

/** Options for drawing samples of a flow. */
export const flowSampleOptions = z.strictObject({
  temperature: positiveAmount()
    .default(1)
    .describe("deviation of the code relative to training; below 1 samples are more typical and less varied"),
});

/** Rows, and numbers in them, that a part of the samples may have while it is drawn. */
const PART_ROWS = 4096;
const PART_ELEMENTS = 1 << 20;

/** Values of a byte. */
const BYTES = 256;

/** Whether a position is one of `most` that are spaced evenly over `length`, both ends among them. */
function isMark(position: number, length: number, most: number): boolean {
  if (length <= most) return true;
  const nearest = Math.round((position * (most - 1)) / (length - 1));
  return position === Math.round((nearest * (length - 1)) / (most - 1));
}

/** What a flow is made of. */
export interface FlowParts {
  readonly base: Base;
  /** From data (images as reals on [0, 1), [n, c, h, w]) to the base's space, rows [n, D]; in this order. */
  readonly transforms: readonly Transform[];
  /** What the density is conditioned on (default: nothing). */
  readonly conditioning?: Conditioning;
  /** How bytes become reals (default: uniform noise). */
  readonly dequantizer?: Dequantizer;
  /**
   * An energy of samples. Where there is one, the loss is not the negative log-likelihood of data
   * but the reverse Kullback–Leibler divergence from the flow to exp(−energy), up to the constant log Z.
   */
  readonly energy?: Energy;
  /**
   * The elements of what is modeled (rows, or flattened images) in an order in which each element of the code depends on
   * the elements up to its own alone, for flows and factorized bases where there is one.
   */
  readonly triangularOrder?: readonly number[];
}

/** What samples of a flow may depend on beside count and seed. */
export interface FlowSampleOptions extends SampleOptions {
  /** Deviation of the base's draws relative to the one trained with; below 1 samples are more typical, less varied. */
  readonly temperature?: number;
  /** Values of the columns that a conditional flow is given, as the model sees them: [1 or count, size]. */
  readonly given?: NdArray<"float32">;
}

/**
 * A normalizing flow over data: a base distribution and transforms that lead from data to it, by
 * log p(x) = log p_base(f(x)) + log |det ∂f/∂x|. Images are dequantized and scaled to [0, 1) before.
 */
export class FlowModel
  implements
    Trainable,
    Density,
    Sampler<FlowSampleOptions>,
    GradualSampler,
    Inpainter,
    Codec,
    Stepwise,
    Exportable
{
  readonly base: Base;
  readonly transforms: readonly Transform[];
  readonly dequantiser: Dequantizer;
  readonly likelihood: "exact" | "bound";
  readonly likelihoodDetail: string | undefined;
  readonly conditioning: Conditioning;
  /** Where there is one, later elements can be drawn exactly given earlier ones: see `FlowParts.triangularOrder`. */
  readonly triangularOrder: readonly number[] | undefined;
  private readonly data: DataInfo;
  /** Length of a code. */
  readonly dimensions: number;
  private readonly energy: Energy | undefined;

  constructor(data: DataInfo, parts: FlowParts) {
    this.data = data;
    this.base = parts.base;
    this.transforms = parts.transforms;
    this.dequantiser = parts.dequantizer ?? uniformDequantizer;
    this.conditioning = parts.conditioning ?? new Conditioning({ conditional: false, given: [] }, data);
    this.dimensions = elementCount(this.conditioning.targetShape);
    this.likelihood = data.kind === "image" ? "bound" : "exact";
    const noise = this.dequantiser === uniformDequantizer ? "uniformly" : "variationally";
    this.likelihoodDetail = this.isImage ? `${noise} dequantized bytes` : undefined;
    this.energy = parts.energy;
    this.triangularOrder = parts.triangularOrder;
  }

  private get isImage(): boolean {
    return this.data.kind === "image";
  }

  /** From data units (dequantized bytes, coordinates, standardized columns) to the base's space. */
  private get flow(): Composition {
    return new Composition(
      this.isImage ? [byteScaling(this.dimensions), ...this.transforms] : this.transforms,
    );
  }

  /**
   * Log-density in nats of continuous data: [n, …sample] → [n]. Images are dequantized bytes, on [0, 256)ᴰ, and the
   * density is with respect to those units. Without labels, a model that is conditional on classes weighs them by their
   * shares.
   */
  continuousLogProb(x: Tensor, label?: Tensor): Tensor {
    return this.conditioning.overClasses(x, label, (known) => {
      const { target, context } = this.conditioning.divide(x, known);
      return this.targetLogProb(target, context);
    });
  }

  private targetLogProb(target: Tensor, context: Tensor | undefined): Tensor {
    const { y, logDet } = this.flow.forward(target, context);
    return this.base.logProb(y).add(logDet);
  }

  /**
   * Log-density of samples; images in bytes are dequantized with noise of the runtime's generator. A model that is
   * conditional on classes gives log p(x | label) or, without labels, the log-density of the mixture of its classes by
   * their shares.
   */
  logProb(x: Tensor, label?: Tensor): Tensor {
    return this.conditioning.overClasses(x, label, (known) => this.labeledLogProb(x, known));
  }

  private labeledLogProb(x: Tensor, label: Tensor | undefined): Tensor {
    const { target, context } = this.conditioning.divide(x, label);
    if (!this.isImage) return this.targetLogProb(target, context);
    const dequantized = this.dequantiser.dequantize(target, context);
    return this.targetLogProb(dequantized.x, context).sub(dequantized.logNoise);
  }

  /**
   * Mean negative log-likelihood, in bits per dimension for images and in nats otherwise; for an energy, the mean of
   * log q(x) + energy(x) over draws x of the flow (Rezende and Mohamed 2015, equation 15), and, where log Z is known,
   * with it the Kullback–Leibler divergence from the flow to exp(−energy) / Z, `divergence`.
   */
  loss({ x, label }: SymbolicBatch): Losses {
    if (this.energy !== undefined) {
      const total = this.reverseDivergence(Number(x.shape[0]), this.energy);
      const { logNormalizer } = this.energy;
      return logNormalizer === undefined ? { total } : { total, divergence: total.add(logNormalizer) };
    }
    const nats = this.labeledLogProb(x, label).mean().neg();
    return { total: this.isImage ? nats.mul(1 / (this.dimensions * Math.LN2)) : nats };
  }

  private reverseDivergence(rows: number, energy: Energy): Tensor {
    const z = this.base.fromNoise(this.base.noise(rows, this.dimensions));
    const { x, logDet } = this.flow.inverse(z);
    return this.base.logProb(z).sub(logDet).add(energy.of(x)).mean();
  }

  /** The code of continuous data, [n, …sample] → [n, D]. Bytes are placed in the middle of their unit interval. */
  encode(x: Tensor, label?: Tensor): Tensor {
    const { target, context } = this.conditioning.divide(this.isImage ? x.add(0.5) : x, label);
    return this.flow.forward(target, context).y;
  }

  /**
   * Data units from codes, [n, D] → [n, …sample]. Images are not rounded and not clipped.
   * @param context what the flow is conditioned on, [n, contextSize]
   */
  decode(z: Tensor, context?: Tensor): Tensor {
    const { x } = this.flow.inverse(z, context);
    return this.conditioning.join(this.isImage ? x.sub(0.5) : x, context);
  }

  /**
   * The course of codes to data through the steps of the flow: z itself, then the state after each transform undone, the
   * last in data units (for images, reals on [0, 1)).
   */
  path(z: Tensor, context?: Tensor): readonly Tensor[] {
    const states = [z];
    let state = z;
    for (const transform of this.transforms.toReversed()) {
      state = transform.inverse(state, context).x;
      states.push(state);
    }
    return states;
  }

  get hasGaussianCodes(): boolean {
    return this.base === gaussian;
  }

  /** The context of codes: class and given columns of each, as a row. @throws OptionError where they are not given */
  codeContext(
    labels: readonly (number | undefined)[],
    given?: NdArray<"float32">,
  ): NdArray<"float32"> | undefined {
    return this.conditioning.codeContext(labels, given);
  }

  drawCodes(rows: Dim): Tensor {
    return this.base.fromNoise(this.base.noise(rows, this.dimensions));
  }

  async sample(session: Session, options: FlowSampleOptions): Promise<NdArray<"float32">> {
    const { base } = this;
    const decoder = session.compiled(
      this,
      "sample",
      ["noise", "temperature", "context?"],
      ({ noise, temperature, context }) => ({
        x: this.decode(base.fromNoise(noise, temperature), context),
      }),
    );
    return this.drawInParts(options, async (inputs) => (await decoder.run(inputs)).x as NdArray<"float32">);
  }

  /**
   * Samples as the steps of the flow form them, from the code on: at most `states` states, the last what `sample` draws with the same
   * options. States of images between are codes: each is brought to bytes by its own 1st and 99th percentile. States of another size
   * than samples are left out.
   * @throws OptionError where states is below 2
   */
  async sampleStates(
    session: Session,
    { states, onState, ...options }: FlowSampleOptions & StateOptions,
  ): Promise<readonly NdArray<"float32">[]> {
    if (!Number.isInteger(states) || states < 2) {
      throw new OptionError(`option states: there are two ends, so at least 2, not ${states}`);
    }
    const { base } = this;
    const program = session.compiled(
      this,
      "states",
      ["noise", "temperature", "context?"],
      ({ noise, temperature, context }) => {
        const course = this.path(base.fromNoise(noise, temperature), context);
        const last = course.at(-1);
        const sized = course.filter(
          ({ shape }) => elementCount(shape.slice(1).map(Number)) === this.dimensions,
        );
        const kept = Object.fromEntries(sized.slice(0, -1).map((state, i) => [`state${i}`, state]));
        const end = this.isImage ? last?.mul(BYTES).sub(0.5) : last;
        return { ...kept, ...(end !== undefined && { x: this.conditioning.join(end, context) }) };
      },
    );
    const parts: Readonly<Record<string, NdArray<"float32">>>[] = [];
    const x = await this.drawInParts(options, async (inputs) => {
      const made = (await program.run(inputs)) as Readonly<Record<string, NdArray<"float32">>>;
      parts.push(made);
      return made.x as NdArray<"float32">;
    });
    const names = Object.keys(parts[0] ?? {}).filter((name) => name !== "x");
    // A flow of columns that are given has states of the others alone.
    const size = elementCount(this.data.sampleShape);
    const course =
      size !== this.dimensions ? [] : names.map((name) => this.shownState(parts.map((part) => part[name])));
    const all = [...course, x];
    const marks = all.map((_, i) => i).filter((_, i, { length }) => isMark(i, length, states));
    return marks.flatMap((step) => {
      const state = all[step];
      if (state === undefined) return [];
      onState?.({ kind: "step", step, steps: all.length - 1 });
      return [state];
    });
  }

  /** A state between code and data as samples are shown. */
  private shownState(parts: readonly (NdArray<"float32"> | undefined)[]): NdArray<"float32"> {
    const values = Float32Array.from(parts.flatMap((part) => [...(part?.data ?? [])]));
    const shape = [values.length / this.dimensions, ...this.data.sampleShape];
    if (!this.isImage) return float32(values, shape);
    const sorted = values.toSorted();
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    const [low, high] = [at(0.01), at(0.99)];
    const factor = high > low ? (BYTES - 1) / (high - low) : 1;
    return float32(
      values.map((value) => (value - low) * factor),
      shape,
    );
  }

  /**
   * Draws samples in parts.
   * @param part samples from `noise` of the base, its `temperature` and, for conditional flows, a `context`
   */
  protected drawInParts(
    options: FlowSampleOptions,
    part: (
      inputs: Readonly<Record<"noise" | "temperature", NdArray<"float32">>> & {
        readonly context?: NdArray<"float32">;
      },
      onProgress: (share: number) => void,
    ) => Promise<NdArray<"float32">>,
  ): Promise<NdArray<"float32">> {
    const { base, dimensions, conditioning } = this;
    const { temperature = 1 } = options;
    if (!(temperature > 0)) throw new OptionError(`option temperature: must be above 0, not ${temperature}`);
    const size = base.noiseSize(dimensions);
    const limit = Math.max(1, Math.min(PART_ROWS, Math.floor(PART_ELEMENTS / dimensions)));
    return sampleInParts(options, this.data.sampleShape, limit, (randoms, first, onProgress) => {
      const noise = new Float32Array(randoms.length * size);
      randoms.forEach((random, i) => {
        base.drawNoise(noise.subarray(i * size, (i + 1) * size), random);
      });
      const context = conditioning.contexts(randoms, first, options);
      const inputs = {
        noise: float32(noise, [randoms.length, size]),
        temperature: float32([temperature], []),
        ...(context !== undefined && { context }),
      };
      return part(inputs, onProgress);
    });
  }

  /** One pass from noise of the base to samples; none for flows that are given columns. */
  exportedDraws(): ExportedDraws | undefined {
    const { classes, givenSize } = this.conditioning;
    if (givenSize > 0) return undefined;
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    return {
      samples: this.decode(this.drawCodes("batch"), label && oneHot(label, classes)),
      ...(this.base.hasPlainNoise === true && { stream: [] }),
    };
  }

  /** Completions of partly known samples from the exact conditional density; see `inpaintFlow`. */
  inpaint(session: Session, options: InpaintOptions): Promise<NdArray<"float32">> {
    return inpaintFlow(this, this.data, session, options);
  }

  /** The graphs by which rows are completed outside; none for images. */
  exportedCompletion(): ExportedCompletion | undefined {
    return exportedCompletion(this, this.data);
  }

  /** The log-density and the code as a graph; for images, the dequantization noise is an input. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const shape: Shape = ["batch", ...this.data.sampleShape];
    const x = input("x", shape);
    const { classes } = this.conditioning;
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    const continuous = this.isImage ? x.add(input("noise", shape)) : x;
    const { target, context } = this.conditioning.divide(continuous, label);
    const { y, logDet } = this.flow.forward(target, context);
    const labels = classes > 0 ? ` label: class 0 to ${classes - 1}.` : "";
    return {
      outputs: { logProb: this.base.logProb(y).add(logDet), z: y },
      description: this.isImage
        ? `x: images as bytes 0 … 255 in float32, [batch, ${this.data.sampleShape}]; noise: uniform on [0, 1), same ` +
          "shape (0.5 for a fixed answer). logProb: log-density in nats of x + noise on [0, 256)^D; bits per dimension " +
          `are -logProb / (${this.dimensions} ln 2). z: the code.${labels}`
        : `x: [batch, ${this.data.sampleShape}] in data units${this.data.kind === "table" ? " (standardized columns)" : ""}. ` +
          `logProb: log-density in nats. z: the code.${labels}`,
    };
  }
}
