import type { z } from "zod";
import { backboneNames } from "../../backbones/published/names.ts";
import type { Embedder, Exportable, Losses, Trainable } from "../../model/capabilities.ts";
import type { DataInfo, DataKind, SymbolicBatch } from "../../model/data-info.ts";
import { type Defined, defineModel, type FitPreferences } from "../../model/definition.ts";
import type { ForeignNames } from "../../nn/names.ts";
import { input, type Tensor } from "../../tensor/index.ts";
import { type Encoder, type EncoderOptions, encoderFor, type Layers } from "../encoders/index.ts";

/** What is to be exported, and how it is described. */
type Exported = ReturnType<Exportable["exported"]>;

/** A model that learns an encoder without labels. A system adds its loss, and networks that are used in training alone. */
export abstract class EncoderModel implements Trainable, Embedder, Exportable {
  readonly encoder: Encoder;
  /** How others name the layers of the encoder, where it is a backbone that others have trained. */
  readonly foreignNames?: () => ForeignNames;
  protected readonly data: DataInfo;

  /** @throws OptionError where options do not fit the data */
  constructor(options: EncoderOptions, data: DataInfo) {
    this.encoder = encoderFor(options, data);
    this.data = data;
    const { backbone } = options;
    if (backbone !== undefined) this.foreignNames = () => backboneNames(backbone, "encoder.backbone.");
  }

  abstract loss(batch: SymbolicBatch): Losses;

  /** Every layer of the encoder, local features and code: x [n, …sampleShape] in data units. */
  features(x: Tensor): Layers {
    return this.encoder.layers(x);
  }

  /** The encoder as a graph from samples to codes and local features. */
  exported(): Exported {
    const { kind, sampleShape } = this.data;
    const { code, local } = this.features(input("x", ["batch", ...sampleShape]));
    const units = {
      image: "images as bytes 0 … 255 in float32",
      binary: "zeros and ones",
      table: "rows of standardized columns",
      points: "points",
    } as const;
    return {
      outputs: { code, local },
      description: `x: ${units[kind]}, [batch, ${sampleShape}]. code: [batch, ${this.encoder.codeSize}]. local: features of ${
        sampleShape.length === 3 ? "the parts of an image" : "groups of columns"
      }, [batch, ${this.encoder.localShape}].`,
    };
  }
}

/** What a system that learns an encoder adds to what all of them share: what its paper describes. */
export interface EncoderSystem<
  N extends string,
  S extends z.ZodType<EncoderOptions>,
  M extends EncoderModel,
> {
  /** Name on the command line: deep-infomax. */
  readonly name: N;
  /** One line on what it is. */
  readonly summary: string;
  readonly paper: string;
  /** Default: images, zeros and ones, tables and points. */
  readonly dataKinds?: readonly DataKind[];
  /** Options of the system: `encoderOptions` and its own. */
  readonly options: S;
  /** @throws OptionError where options do not fit the data or each other */
  model(options: z.output<S>, data: DataInfo): M;
  /** Lines for a person on what options do to the data. */
  notes?(options: z.output<S>, data: DataInfo): readonly string[];
  /** Training options, beside Adam, a warmup of 50 steps and a decay of averages of 0.99. */
  preferences(data: DataInfo): FitPreferences;
}

/** What every encoder can do. */
const ABILITIES = ["embed", "export"] as const;

const PREFERENCES = { optimizer: "adam", warmupSteps: 50, averageDecay: 0.99 } as const;

/** A model that learns an encoder without labels, as the catalogue knows it. */
export function defineEncoder<
  const N extends string,
  S extends z.ZodType<EncoderOptions>,
  M extends EncoderModel,
>(system: EncoderSystem<N, S, M>): Defined<N, S, typeof ABILITIES, M> {
  const { name, summary, paper, options, dataKinds = ["image", "binary", "table", "points"], notes } = system;
  return defineModel({
    name,
    summary,
    paper,
    dataKinds,
    can: ABILITIES,
    options,
    ...(notes !== undefined && { notes }),
    build: (parsed: z.output<S>, data: DataInfo) => system.model(parsed, data),
    preferences: (data: DataInfo) => ({ ...PREFERENCES, ...system.preferences(data) }),
  });
}
