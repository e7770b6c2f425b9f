import { OptionError } from "../errors.ts";
import type {
  Adversarial,
  Exportable,
  ExportedDraws,
  Losses,
  SampleOptions,
  Sampler,
  Turn,
} from "../model/capabilities.ts";
import { continuousKind, type DataInfo, drawClass, type SymbolicBatch } from "../model/data-info.ts";
import { builderOf, defineModel, type FitPreferences } from "../model/definition.ts";
import { SampleSpace } from "../model/sample-space.ts";
import { sampleInParts } from "../model/sampling.ts";
import type { Session } from "../program/program.ts";
import type { Random } from "../random.ts";
import {
  concat,
  elementCount,
  float32,
  input,
  int64,
  type NdArray,
  normal,
  slice,
  type Tensor,
  uniform,
} from "../tensor/index.ts";
import {
  discriminatorLoss,
  generatorLoss,
  gradientPenalty,
  r1Penalty,
  symbolicEnergyDistance,
} from "./gan-losses.ts";
import {
  ConvolutionalDiscriminator,
  ConvolutionalGenerator,
  type Discriminator,
  type Generator,
  MlpDiscriminator,
  MlpGenerator,
} from "./gan-networks.ts";
import {
  type GanOptions,
  ganOptions,
  ganSampleOptions,
  type SettledGanOptions,
  settleOptions,
} from "./gan-options.ts";

/** Rows, and numbers in them, that a part of the samples may have while it is drawn. */
const PART_ROWS = 4096;
const PART_ELEMENTS = 1 << 20;

/** Samples that validation draws at least of points and rows, so that the distance to data is not all noise. */
const VALIDATION_DRAWS = 1024;

/** What samples of a GAN may depend on beside count and seed. */
export interface GanSampleOptions extends SampleOptions {
  /** Numbers of a code beyond this are drawn anew (Brock et al. 2019, section 3.1, the truncation trick). */
  readonly truncation?: number;
}

/**
 * A generative adversarial network (Goodfellow et al. 2014): a generator makes samples of Gaussian codes, a discriminator
 * learns to distinguish them from data, and each learns from the other. It has no likelihood, not even a bound.
 */
export class Gan implements Adversarial, Sampler<GanSampleOptions>, Exportable {
  readonly generator: Generator;
  readonly discriminator: Discriminator;
  readonly selection: "validation" | "last";
  private readonly options: SettledGanOptions;
  private readonly data: DataInfo;
  private readonly space: SampleSpace;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: GanOptions, data: DataInfo) {
    const kind = continuousKind(data);
    const settled = settleOptions(options, data);
    const isConvolutional = settled.network === "convolutional";
    this.options = settled;
    this.data = data;
    this.space = new SampleSpace(data);
    this.generator = isConvolutional
      ? new ConvolutionalGenerator(settled, data)
      : new MlpGenerator(settled, data);
    this.discriminator = isConvolutional
      ? new ConvolutionalDiscriminator(settled, data)
      : new MlpDiscriminator(settled, data);
    // Distances between pixels hardly measure how good images are.
    this.selection = kind === "image" ? "last" : "validation";
  }

  /** Length of a code. */
  get latentSize(): number {
    return this.options.latentSize;
  }

  /** The label, where this GAN is conditional. @throws OptionError where it is missing */
  private labelOf(label: Tensor | undefined): Tensor | undefined {
    if (this.options.classes === 0) return undefined;
    if (label === undefined) throw new OptionError("this GAN is conditional: its batches need labels");
    return label;
  }

  /** Samples as the networks see them from codes [n, latentSize]. */
  generate(z: Tensor, label?: Tensor): Tensor {
    return this.space.generated(this.generator.forward(z, label));
  }

  private draw(count: number, label: Tensor | undefined): Tensor {
    return this.generate(normal([count, this.options.latentSize]), label);
  }

  /**
   * The discriminator's turns, each on its part of the batch, then the generator's. Samples are made once: the generator
   * stays as it is while the discriminator learns.
   */
  turns({ x, label: given }: SymbolicBatch): readonly Turn[] {
    const { objective, criticSteps, criticRate } = this.options;
    const count = Number(x.shape[0]);
    if (count < criticSteps) {
      throw new OptionError(
        `option batchSize: ${count} samples cannot be divided among ${criticSteps} turns of the discriminator (criticSteps)`,
      );
    }
    const label = this.labelOf(given);
    const real = this.space.seen(x);
    let made: Tensor | undefined;
    const samples = (): Tensor => {
      made ??= this.draw(count, label);
      return made;
    };
    const critics = Array.from({ length: criticSteps }, (_, k): Turn => {
      const [from, to] = [k, k + 1].map((end) => Math.floor((end * count) / criticSteps));
      const part = (whole: Tensor): Tensor => slice(whole, 0, from, to);
      return {
        name: "discriminator",
        player: this.discriminator,
        rate: criticRate,
        losses: () => this.criticLosses(part(real), part(samples()), label && part(label)),
      };
    });
    const generator: Turn = {
      name: "generator",
      player: this.generator,
      losses: () => ({
        total: generatorLoss(objective, this.discriminator.forward(this.noisy(samples()), label)),
      }),
    };
    return [...critics, generator];
  }

  /** What the discriminator sees in training (Sønderby et al. 2017, section 3.2: instance noise). */
  private noisy(seen: Tensor): Tensor {
    const { instanceNoise } = this.options;
    return instanceNoise === 0 ? seen : seen.add(normal(seen.shape).mul(instanceNoise));
  }

  private criticLosses(real: Tensor, fake: Tensor, label: Tensor | undefined): Losses {
    const { objective, r1, labelSmoothing } = this.options;
    const predict = (seen: Tensor): Tensor => this.discriminator.forward(seen, label);
    const [data, samples] = [this.noisy(real), this.noisy(fake)];
    const logits = predict(data);
    const game = discriminatorLoss(objective, logits, predict(samples), { labelSmoothing });
    const penalties = [
      ...(r1 > 0 ? [r1Penalty(logits, data).mul(r1)] : []),
      ...(objective === "wasserstein-gp"
        ? [
            gradientPenalty(predict, data, samples, uniform([data.shape[0] ?? 1])).mul(
              this.options.gradientPenalty,
            ),
          ]
        : []),
    ];
    if (penalties.length === 0) return { total: game };
    const penalty = penalties.reduce((a, b) => a.add(b));
    return { total: game.add(penalty), penalty };
  }

  /** Lets the running statistics of the generator follow its averaged weights. */
  settle({ x, label }: SymbolicBatch): void {
    this.draw(Number(x.shape[0]), this.labelOf(label));
  }

  /**
   * What validation reports: the energy distance between samples and the batch (for images between pixels on [−1, 1]), and
   * with it the losses of both players.
   */
  loss({ x, label: given }: SymbolicBatch): Losses {
    const { objective } = this.options;
    const label = this.labelOf(given);
    const count = Number(x.shape[0]);
    const real = this.space.seen(x);
    const times = this.data.kind === "image" ? 1 : Math.ceil(VALIDATION_DRAWS / count);
    const repeated = label && concat(new Array<Tensor>(times).fill(label), 0);
    const fake = this.draw(times * count, repeated);
    const logits = this.discriminator.forward(fake, repeated);
    const rows = (samples: Tensor): Tensor => samples.reshape([samples.shape[0] ?? 1, -1]);
    const distance =
      this.data.kind === "image"
        ? symbolicEnergyDistance(rows(fake), rows(real))
        : symbolicEnergyDistance(this.space.withNoise(this.space.data(fake)), x);
    return {
      total: distance,
      discriminator: discriminatorLoss(objective, this.discriminator.forward(real, label), logits),
      generator: generatorLoss(objective, logits),
    };
  }

  /** Samples in data units. @throws OptionError where the label is none of the classes or truncation is not above 0 */
  async sample(session: Session, options: GanSampleOptions): Promise<NdArray<"float32">> {
    const { label, truncation } = options;
    this.checkLabel(label);
    if (truncation !== undefined && !(truncation > 0)) {
      throw new OptionError(`option truncation: must be above 0, not ${truncation}`);
    }
    const generator = session.compiled(this, "sample", ["z", "label?"], ({ z, label: classes }) => ({
      x: this.space.data(this.generate(z, classes)),
    }));
    const { sampleShape } = this.data;
    const limit = Math.max(1, Math.min(PART_ROWS, Math.floor(PART_ELEMENTS / elementCount(sampleShape))));
    return sampleInParts(options, sampleShape, limit, async (randoms) => {
      const classes = this.classesOf(randoms, label);
      const inputs = { z: this.codes(randoms, truncation), ...(classes !== undefined && { label: classes }) };
      const { x } = await generator.run(inputs);
      return this.withNoise(x as NdArray<"float32">, randoms);
    });
  }

  private checkLabel(label: number | undefined): void {
    const { classes } = this.options;
    if (label === undefined) return;
    if (classes === 0) {
      throw new OptionError("label: this model was fitted without classes; leave the label out");
    }
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new OptionError(`label: must be a whole number from 0 to ${classes - 1}, not ${label}`);
    }
  }

  private codes(randoms: readonly Random[], truncation = Number.POSITIVE_INFINITY): NdArray<"float32"> {
    const { latentSize } = this.options;
    const data = new Float32Array(randoms.length * latentSize);
    randoms.forEach((random, i) => {
      const source = random.split("code");
      for (let k = 0; k < latentSize; k++) {
        let value = source.normal();
        while (Math.abs(value) > truncation) value = source.normal();
        data[i * latentSize + k] = value;
      }
    });
    return float32(data, [randoms.length, latentSize]);
  }

  /** Classes of the samples: the one asked for, or each drawn by its share; undefined where there are none. */
  private classesOf(randoms: readonly Random[], label: number | undefined): NdArray<"int64"> | undefined {
    if (this.options.classes === 0) return undefined;
    const classes = randoms.map((random) => label ?? drawClass(this.data, random.split("label").uniform()));
    return int64(classes, [classes.length]);
  }

  /** Noise on the codes of categories, as data has it. */
  private withNoise(x: NdArray<"float32">, randoms: readonly Random[]): NdArray<"float32"> {
    const { categories } = this.space;
    if (categories.length === 0) return x;
    const width = elementCount(this.data.sampleShape);
    const data = Float32Array.from(x.data);
    randoms.forEach((random, i) => {
      const source = random.split("category");
      for (const { start, size } of categories) {
        for (let k = 0; k < size; k++) {
          const at = i * width + start + k;
          data[at] = (data[at] ?? 0) + source.uniform() - 0.5;
        }
      }
    });
    return float32(data, x.shape);
  }

  /** One pass of the generator. */
  exportedDraws(): ExportedDraws {
    const { classes, latentSize } = this.options;
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    return {
      samples: this.space.data(this.generate(normal(["batch", latentSize]), label)),
      stream: ["code"],
    };
  }

  /** The generator as a graph from codes to samples. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const { classes, latentSize } = this.options;
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    const x = this.space.data(this.generate(input("z", ["batch", latentSize]), label));
    const units = { image: " as bytes 0 … 255 in float32, not rounded", table: " (standardized columns)" };
    const { kind, sampleShape } = this.data;
    return {
      outputs: { x },
      description: `z: codes, standard normal, [batch, ${latentSize}].${
        classes > 0 ? ` label: class 0 to ${classes - 1}.` : ""
      } x: samples [batch, ${sampleShape}]${kind === "image" || kind === "table" ? units[kind] : ""}.`,
    };
  }
}

function preferences({ kind }: DataInfo): FitPreferences {
  const common = { optimizer: "adam", beta2: 0.99, warmupSteps: 0 } as const;
  return kind === "image"
    ? { ...common, learningRate: 3e-3, beta1: 0.5, batchSize: 64, averageDecay: 0.99 }
    : { ...common, learningRate: 2e-3, beta1: 0, batchSize: 256, averageDecay: 0.998 };
}

/** GANs as the catalogue knows them. */
export const ganDefinition = defineModel({
  name: "gan",
  summary: "a generator and a discriminator that learn from each other: samples at once, no likelihood",
  paper: "Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
  dataKinds: ["points", "image", "table"],
  can: ["sample", "export"],
  options: ganOptions,
  sampleOptions: ganSampleOptions,
  build: (options, data) => new Gan(options, data),
  preferences,
});

/**
 * A GAN for data. What options leave open depends on the data.
 * @throws OptionError where options do not go with the data or with each other
 */
export const gan = builderOf(ganDefinition);
