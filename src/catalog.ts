import type { z } from "zod";
import { causalTransformerDefinition } from "./autoregressive/causal-transformer.ts";
import { fvsbnDefinition } from "./autoregressive/fvsbn.ts";
import { madeDefinition } from "./autoregressive/made.ts";
import { nadeDefinition } from "./autoregressive/nade.ts";
import { pixelCnnDefinition } from "./autoregressive/pixel-cnn.ts";
import { MOST } from "./bounds.ts";
import { classifierDefinition } from "./detection/models/classifier.ts";
import { detectorDefinitions } from "./detection/models/detectors.ts";
import { ddpmDefinition } from "./diffusion/models/ddpm.ts";
import { distilledFlowDefinition } from "./diffusion/models/distilled-flow.ts";
import { edmDefinition } from "./diffusion/models/edm.ts";
import { rectifiedFlowDefinition } from "./diffusion/models/rectified-flow.ts";
import { rectifiedTransportDefinition } from "./diffusion/models/rectified-transport.ts";
import { scoreSdeDefinition } from "./diffusion/models/score-sde.ts";
import { OptionError } from "./errors.ts";
import { continuousFlowDefinition } from "./flows/continuous.ts";
import { flowPlusPlusDefinition } from "./flows/flow-plus-plus.ts";
import { glowDefinition } from "./flows/glow.ts";
import { iafDefinition } from "./flows/iaf.ts";
import { mafDefinition } from "./flows/maf.ts";
import { niceDefinition } from "./flows/nice.ts";
import { planarDefinition } from "./flows/planar.ts";
import { radialDefinition } from "./flows/radial.ts";
import { realNvpDefinition } from "./flows/real-nvp.ts";
import { splineFlowDefinition } from "./flows/spline.ts";
import { ganDefinition } from "./latent/gan.ts";
import { vaeDefinition } from "./latent/vae.ts";
import { building, checkMemory, FLOAT_BYTES, type MemoryLimit, showCount, UNLIMITED } from "./memory.ts";
import type { Model } from "./model/capabilities.ts";
import { type DataInfo, sampleKind } from "./model/data-info.ts";
import type { ModelDefinition } from "./model/definition.ts";
import { nearest } from "./nearest.ts";
import { nameParameters, stateSize } from "./nn/module.ts";
import { parseOptions } from "./options.ts";
import { autoencoderDefinition } from "./representation/models/autoencoder.ts";
import { barlowTwinsDefinition } from "./representation/models/barlow-twins.ts";
import { deepInfoMaxDefinition } from "./representation/models/deep-infomax.ts";
import { rotationDefinition } from "./representation/models/rotation.ts";
import { simClrDefinition } from "./representation/models/simclr.ts";
import { vicRegDefinition } from "./representation/models/vicreg.ts";
import { elementCount } from "./tensor/array.ts";

/** Every model. A new one is one line here, a new detector one of `detectorDefinitions`. */
const definitions = [
  rectifiedFlowDefinition,
  ddpmDefinition,
  scoreSdeDefinition,
  edmDefinition,
  distilledFlowDefinition,
  rectifiedTransportDefinition,
  niceDefinition,
  planarDefinition,
  radialDefinition,
  realNvpDefinition,
  glowDefinition,
  flowPlusPlusDefinition,
  mafDefinition,
  iafDefinition,
  splineFlowDefinition,
  continuousFlowDefinition,
  fvsbnDefinition,
  nadeDefinition,
  madeDefinition,
  pixelCnnDefinition,
  causalTransformerDefinition,
  vaeDefinition,
  ganDefinition,
  classifierDefinition,
  deepInfoMaxDefinition,
  simClrDefinition,
  vicRegDefinition,
  barlowTwinsDefinition,
  autoencoderDefinition,
  rotationDefinition,
  ...detectorDefinitions,
] as const;

type Definitions = (typeof definitions)[number];

/** The name of a model of the catalogue. */
export type ModelName = Definitions["name"];

/** The definition of the model of that name. */
export type DefinitionOf<N extends ModelName> = Extract<Definitions, { readonly name: N }>;

/** What the model of that name can do. */
export type AbilityOf<N extends ModelName> = DefinitionOf<N>["can"][number];

/** The options of the model of that name, as a user gives them. */
export type ModelOptions<N extends ModelName> = z.input<DefinitionOf<N>["options"]>;

/** Every model by name. */
export const models: ReadonlyMap<string, ModelDefinition> = new Map(
  definitions.map((definition) => [definition.name, definition as unknown as ModelDefinition]),
);

/** Names of models, and of what is a part of one, that others use. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  ddim: "a solver of ddpm: fit that, and eidos sample RUN --solver ddim",
  diffusion: "ddpm, score-sde, edm or rectified-flow here",
  "flow-matching": "rectified-flow here",
  "normalizing-flow": "spline-flow, maf or real-nvp here",
  autoencoder: "vae here",
  transformer: "causal-transformer here",
};

/**
 * The definition of a model.
 * @throws OptionError for an unknown name, with the nearest known one.
 */
export function findModel(name: string): ModelDefinition {
  const definition = models.get(name);
  if (definition !== undefined) return definition;
  const names = [...models.keys()];
  const plain = name.toLowerCase();
  const other = Object.hasOwn(OTHER_NAMES, plain) ? `; that is ${OTHER_NAMES[plain]}` : undefined;
  const close = nearest(name, names);
  const hint = other ?? (close === undefined ? "" : `; did you mean ${close}?`);
  throw new OptionError(`there is no model called ${name}${hint} (models: ${names.join(", ")})`);
}

/**
 * Builds a model for data from its options, named and ready to be given weights.
 * @param memory how much there is for the weights
 * @throws OptionError where an option is wrong or the model does not take data of this kind; MemoryError where its weights do not fit
 */
export function buildModel(
  definition: ModelDefinition,
  options: unknown,
  data: DataInfo,
  memory: MemoryLimit = UNLIMITED,
): Model {
  if (!definition.dataKinds.some((kind) => sampleKind(kind) === data.kind)) {
    throw new OptionError(
      `${definition.name} takes ${definition.dataKinds.join(" or ")} data, not ${data.kind} data`,
    );
  }
  checkSize(definition, data);
  const parsed = parseOptions(definition.name, definition.options, options);
  const model = nameParameters(building(() => definition.build(parsed, data)));
  const size = stateSize(model);
  checkMemory(
    {
      what: `${definition.name}: its ${showCount(size)} weights`,
      bytes: FLOAT_BYTES * size,
      instead: "take fewer or narrower layers",
    },
    memory,
  );
  return model;
}

/** @throws OptionError where a sample has more numbers, or the data more classes, than any model is built for */
function checkSize({ name }: ModelDefinition, { sampleShape, classes = 0 }: DataInfo): void {
  const size = elementCount(sampleShape);
  if (size <= MOST.elements && classes <= MOST.units) return;
  throw new OptionError(
    size <= MOST.elements
      ? `${name}: the data has ${showCount(classes)} classes; at most ${showCount(MOST.units)} can be learned`
      : `${name}: a sample of [${sampleShape}] has ${showCount(size)} numbers; at most ${showCount(MOST.elements)} can be learned`,
  );
}

export { parseOptions } from "./options.ts";
