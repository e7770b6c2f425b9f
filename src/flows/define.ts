import type { z } from "zod";
import type { DataInfo, DataKind } from "../model/data-info.ts";
import { type Defined, defineModel, type FitPreferences } from "../model/definition.ts";
import { elementCount } from "../tensor/index.ts";
import { BASES, type Base, type BaseName } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { energyOf, type ObjectiveOptions } from "./densities/objective.ts";
import { type Dequantization, dequantizerFor } from "./images/dequantize.ts";
import { FlowModel, type FlowOptions, type FlowParts, flowSampleOptions } from "./model.ts";
import type { Transform } from "./transforms/transform.ts";

/**
 * The options of a system: those of every flow and its own. With `objective` it can be fitted to an energy, with
 * `dequantization` the noise of its images can be learned.
 */
export type FlowSchema = z.ZodType<
  FlowOptions & Partial<ObjectiveOptions> & { readonly dequantization?: Dequantization }
>;

/** What the transforms of a flow act on. */
export interface FlowSubject {
  readonly data: DataInfo;
  /** Shape of a sample of what is modeled: without given columns. */
  readonly shape: readonly number[];
  /** How many numbers that is. */
  readonly dimensions: number;
  /** Length of the context vector; 0 for none. */
  readonly contextSize: number;
}

/** What a system of normalizing flows adds to what all of them share: what its paper describes. */
export interface FlowSystem<N extends string, S extends FlowSchema> {
  /** Name on the command line: real-nvp. */
  readonly name: N;
  /** One line on what it is. */
  readonly summary: string;
  readonly paper: string;
  readonly dataKinds: readonly DataKind[];
  /** Options of the system: `flowOptions` and its own. */
  readonly options: S;
  /** Options for drawing samples; those of every flow by default. */
  readonly sampleOptions?: z.ZodType;
  /** The base, by the option or where that is left open; by default the Gaussian is the open choice. */
  base?(options: z.output<S>, data: DataInfo): BaseName | Base;
  /**
   * From data (images as reals on [0, 1), [n, c, h, w]) to the base's space, rows [n, D].
   * @throws OptionError where options do not fit the data or each other
   */
  transforms(options: z.output<S>, subject: FlowSubject): readonly Transform[];
  /** The order of the elements in which the flow is triangular, where there is one: see `FlowParts.triangularOrder`. */
  order?(options: z.output<S>, subject: FlowSubject): readonly number[] | undefined;
  /** Training options, beside Adam, 50 steps of warmup and a decay of averages of 0.998. */
  preferences(data: DataInfo): FitPreferences;
}

/** What every flow can do. */
const ABILITIES = ["sample", "score", "inpaint", "encode", "decode", "export"] as const;

/** What flows prefer in training where a system has no value of its own. */
const PREFERENCES = { warmupSteps: 50, optimizer: "adam", averageDecay: 0.998 } as const;

/** The parts of a flow: its transforms, and what options and data decide for every system alike. */
function partsOf<N extends string, S extends FlowSchema>(
  system: FlowSystem<N, S>,
  options: z.output<S>,
  data: DataInfo,
): FlowParts {
  const { objective, dequantization, base: baseOption }: z.output<FlowSchema> = options;
  const conditioning = new Conditioning(options, data);
  const { targetShape: shape, size: contextSize } = conditioning;
  const dimensions = elementCount(shape);
  const subject: FlowSubject = { data, shape, dimensions, contextSize };
  const transforms = system.transforms(options, subject);
  const chosen = system.base?.(options, data) ?? baseOption ?? "gaussian";
  const base: Base = typeof chosen === "string" ? BASES[chosen](dimensions) : chosen;
  // The components of a code of a dependent base, such as a mixture, are triangular in no order.
  const order = base.dependent === true ? undefined : system.order?.(options, subject);
  return {
    base,
    transforms,
    conditioning,
    ...(dequantization !== undefined && { dequantizer: dequantizerFor(dequantization, data, conditioning) }),
    ...(objective !== undefined && energyOf({ objective }, data)),
    ...(order !== undefined && { triangularOrder: order }),
  };
}

/**
 * A normalizing flow as the catalogue knows it. A system gives its options and the list of its transforms; conditioning
 * on classes and columns, the base, the noise that makes bytes reals, the energy of a variational fit, sampling, codes
 * and export are the same for all.
 * @param model makes the model of its parts, for systems that have a class of their own
 */
export function defineFlow<const N extends string, S extends FlowSchema>(
  system: FlowSystem<N, S>,
): Defined<N, S, typeof ABILITIES, FlowModel>;
export function defineFlow<const N extends string, S extends FlowSchema, M extends FlowModel>(
  system: FlowSystem<N, S>,
  model: (data: DataInfo, parts: FlowParts, options: z.output<S>) => M,
): Defined<N, S, typeof ABILITIES, M>;
export function defineFlow<const N extends string, S extends FlowSchema>(
  system: FlowSystem<N, S>,
  model: (data: DataInfo, parts: FlowParts, options: z.output<S>) => FlowModel = (data, parts) =>
    new FlowModel(data, parts),
): Defined<N, S, typeof ABILITIES, FlowModel> {
  const { name, summary, paper, dataKinds, options, sampleOptions = flowSampleOptions } = system;
  return defineModel({
    name,
    summary,
    paper,
    dataKinds,
    can: ABILITIES,
    options,
    sampleOptions,
    build: (parsed: z.output<S>, data: DataInfo) => model(data, partsOf(system, parsed, data), parsed),
    preferences: (data: DataInfo) => ({ ...PREFERENCES, ...system.preferences(data) }),
  });
}
