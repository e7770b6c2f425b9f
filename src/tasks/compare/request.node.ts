import { basename, extname, join } from "node:path";
import { plainKind } from "../../data/open.node.ts";
import { type DataOptions, dataOptionsSchema } from "../../data/sources/options.ts";
import { OptionError } from "../../errors.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { type FitOptions, fitOptions } from "../../train/options.ts";
import { loadDefinition, modelSchema } from "../run/definition.node.ts";
import { takesBoxes } from "../run/detection-options.ts";
import { isModulePath } from "../run/run-data.node.ts";

/** A model with options of its own, and a name where the same model is compared with itself. */
export interface CompareModel {
  /** Name in the catalogue, or path of a module whose default export is a model definition. */
  readonly model: string;
  /** What it is called in the leaderboard; default: the model's name. */
  readonly name?: string;
  /** Any option of the model or of training, except those that are the same for all. */
  readonly [option: string]: unknown;
}

/** What `compare` takes: data, models, and any option that is the same for all of them by its name. */
export interface CompareRequest {
  /** Name, path or query, as for `openData`. */
  readonly data: string;
  readonly models: readonly (string | CompareModel)[];
  /** Where to write; default: runs/compare-DATA. A comparison that is there already goes on. */
  readonly out?: string;
  /** Whether to begin anew where a comparison is there already. */
  readonly fresh?: boolean;
  /** Folder of a run in whose features images are compared; default: of digits those of a classifier, otherwise pixels. */
  readonly features?: string;
  /** Whether the module that this run names as its model is imported: it runs with all rights of this process. Default: false. */
  readonly trustModule?: boolean;
  readonly [option: string]: unknown;
}

/** Options of training that are the same for all models: what makes them comparable. */
export const sharedOptions = fitOptions.pick({
  seconds: true,
  steps: true,
  epochs: true,
  seed: true,
  provider: true,
  threads: true,
});

/** What may limit a fit. */
export const LIMITS = ["seconds", "steps", "epochs"] as const;
/** The budget where none is given, as that of a single fit. */
const SECONDS = 120;

/** A model that takes part, its options checked. */
export interface Contender {
  /** Name of its row and of its folder. */
  readonly name: string;
  readonly model: string;
  readonly definition: ModelDefinition;
  /** Options of its own, as they were given. */
  readonly options: Readonly<Record<string, unknown>>;
  /** All options of the model, defaults filled in. */
  readonly modelOptions: Readonly<Record<string, unknown>>;
  /** Options of training that were given, those of all models among them. */
  readonly fit: Readonly<Record<string, unknown>>;
}

/** A request in which every name is known and every option is one. */
export interface ResolvedComparison {
  readonly data: string;
  readonly dataOptions: DataOptions;
  readonly shared: Pick<FitOptions, keyof typeof sharedOptions.shape>;
  readonly contenders: readonly Contender[];
  readonly out: string;
  readonly fresh: boolean;
  /** Folder of the run in whose features images are compared. */
  readonly features: string | undefined;
  /** Whether the module that this run names is imported. */
  readonly trustModule: boolean;
}

/** Text that may be a file name everywhere. */
function plainName(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9_.-]+/g, "-").replace(/^[-.]+/, "");
}

function defaultFolder(data: string): string {
  const name = data.replace(/[\\/]+$/, "");
  return join("runs", `compare-${plainName(basename(name, extname(name))).slice(0, 40) || "data"}`);
}

/**
 * Checks a request before any work: names of models, options of each, options of all.
 * @throws OptionError that names the model and the option at fault, with the nearest known name
 */
export async function resolveComparison(request: CompareRequest): Promise<ResolvedComparison> {
  const { data, models, out, fresh = false, features, trustModule = false, ...rest } = request;
  if (trustModule && features === undefined) {
    throw new OptionError(
      "compare: option trustModule is about the run whose features are used; give features, or leave it out",
    );
  }
  const divided = divideOptions("compare", rest, { shared: sharedOptions, data: dataOptionsSchema });
  const limited = LIMITS.some((limit) => divided.shared[limit] !== undefined);
  const shared = parseOptions("compare", sharedOptions, {
    ...divided.shared,
    ...(!limited && { seconds: SECONDS }),
  });
  const dataOptions = parseOptions("data", dataOptionsSchema, divided.data);
  if (models.length === 0) throw new OptionError("compare: no models were named; give two or more");
  const contenders: Contender[] = [];
  for (const entry of models) {
    const contender = await resolveContender(typeof entry === "string" ? { model: entry } : entry, shared);
    if (contenders.some(({ name }) => name === contender.name)) {
      throw new OptionError(
        `compare: ${contender.name} was named twice; give one of them another name, { "model": "${contender.model}", "name": … }, in a configuration file`,
      );
    }
    contenders.push(contender);
  }
  const binary = await readsBinary(data, dataOptions, contenders);
  return {
    data,
    dataOptions: { ...divided.data, binary },
    shared,
    contenders,
    out: out ?? defaultFolder(data),
    fresh,
    features,
    trustModule,
  };
}

async function resolveContender(
  { model, name, ...options }: CompareModel,
  shared: Readonly<Record<string, unknown>>,
): Promise<Contender> {
  const definition = await loadDefinition(model);
  if (takesBoxes(definition)) {
    throw new OptionError(
      `compare: ${model} finds objects, and distributions are compared; fit detectors one by one and measure them with eidos eval`,
    );
  }
  const called = name ?? (isModulePath(model) ? basename(model, extname(model)) : model);
  if (called === "" || plainName(called) !== called) {
    throw new OptionError(
      `compare: the name ${JSON.stringify(called)} is to be a folder; use letters, digits, - _ .`,
    );
  }
  const common = Object.keys(options).find((option) => option in sharedOptions.shape);
  if (common !== undefined) {
    throw new OptionError(
      `compare: option ${common} of ${called} is the same for all models; give it beside them`,
    );
  }
  const divided = divideOptions(called, options, { fit: fitOptions, model: modelSchema(definition) });
  const fit = { ...divided.fit, ...shared };
  parseOptions(called, fitOptions, fit);
  const modelOptions = parseOptions(called, definition.options, divided.model) as Record<string, unknown>;
  return { name: called, model, definition, options, modelOptions, fit };
}

/**
 * Whether data is read as zeros and ones, the same for all models: where asked, or where all models take them and one
 * takes nothing else of such data.
 */
async function readsBinary(
  data: string,
  options: DataOptions,
  contenders: readonly Contender[],
): Promise<boolean> {
  if (options.binary !== undefined) return options.binary;
  if (!contenders.every(({ definition }) => definition.dataKinds.includes("binary"))) return false;
  const plain = await plainKind(data, options);
  // Points cannot be zeros and ones: there each row records it.
  return plain !== "points" && !contenders.every(({ definition }) => definition.dataKinds.includes(plain));
}

/** A request as JSON, from which it can be made again: `eidos compare --config FILE`. Trust is no part of it: whoever uses it gives it. */
export function requestJson({
  data,
  dataOptions,
  shared,
  contenders,
  out,
  features,
}: Omit<ResolvedComparison, "trustModule">) {
  return {
    data,
    models: contenders.map(({ name, model, options }) =>
      Object.keys(options).length === 0 && name === model ? model : { model, name, ...options },
    ),
    ...dataOptions,
    ...shared,
    ...(features !== undefined && { features }),
    out,
  };
}
