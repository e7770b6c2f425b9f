import { basename, join } from "node:path";
import { buildModel } from "../../catalog.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { type AnyDetector, isDetector } from "../../detection/models/detector.ts";
import { OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { isEmbedder, type Model } from "../../model/capabilities.ts";
import { abilities } from "../../model/definition.ts";
import { EXPORT_VERSION, type ExportedModel, exportedModelSchema } from "../../model/exported.ts";
import { checkState } from "../../nn/state.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { version } from "../../version.ts";
import { modelInfo, runDefinition } from "../run/definition.node.ts";
import { cascadeLookingBy, lookingBy } from "../run/detection-options.ts";
import { loadRun, refuse } from "../run/load.node.ts";
import { usualConfidence } from "../use/detect.node.ts";
import { embedderOf, layerOf } from "../use/embed.node.ts";
import type { AbilityFile, ExportSubject } from "./ability.ts";
import { detectAbility } from "./detect-ability.ts";
import { imputeAbility } from "./impute-ability.node.ts";
import { fedData } from "./network-feeds.node.ts";
import { handoutPage, PAGE } from "./page.node.ts";
import {
  CALIBRATED,
  checkPrecision,
  ofOneNetwork,
  type Precision,
  type PrecisionOptions,
  precisionLine,
  smallerFile,
} from "./precision.node.ts";
import { embedAbility, scoreAbility } from "./row-abilities.node.ts";
import { sampleAbility } from "./sample-ability.node.ts";
import { type ExportSummary, exportStages, exportTensors, type TensorExportOptions } from "./tensors.node.ts";

export type { ExportSummary, Precision, PrecisionOptions };

/** What is written. */
export interface ExportOptions extends TensorExportOptions, PrecisionOptions {
  /**
   * The network alone as one file, tensors in and out as the model sees them, in place of a folder of files that take and give data in their own
   * units. Default: false.
   */
  readonly rawTensor?: boolean | undefined;
  /** Of score and features: seed of the noise that is drawn for rows, as that of `eidos score`. Default: 0. */
  readonly seed?: number | undefined;
  /**
   * Writes page.html too: one file, with the model and all that runs it inside, in which a reader uses the model without a server or a network.
   * Default: false.
   */
  readonly page?: boolean | undefined;
}

type Held = AbilityFile | { readonly ability: string; readonly why: string };

const asHeld = (
  ability: string,
  made: AbilityFile | { readonly why: string } | undefined,
): readonly Held[] => (made === undefined ? [] : ["why" in made ? { ability, why: made.why } : made]);

/** The files of a model that is no detector, and what has none. */
function rowFiles(
  subject: ExportSubject,
  run: Parameters<typeof embedderOf>[0],
  { sampler, layer, suppression }: ExportOptions,
): readonly Held[] {
  const { model } = subject;
  if (suppression !== undefined) {
    throw new OptionError(`option suppression: ${run.config.model} finds no objects; export it without`);
  }
  const embeds = isEmbedder(model) || layer !== undefined;
  const { conditional, given } = run.config.modelOptions;
  const isGiven = conditional === true || (Array.isArray(given) && given.length > 0);
  return [
    ...asHeld("score", scoreAbility(subject)),
    ...asHeld("sample", sampleAbility(subject, sampler)),
    ...asHeld("impute", imputeAbility(subject)),
    ...(!embeds
      ? []
      : asHeld(
          "embed",
          isGiven && layer === undefined
            ? { why: "features of a model of classes or given columns depend on them" }
            : embedAbility(subject, layer ?? "code", (x) => layerOf(embedderOf(run), x, { layer })),
        )),
  ];
}

/** What eidos does with the model and no file does. */
const OUTSIDE_OF_FILES: Readonly<Record<string, string>> = {
  inpaint: "parts of an image are completed by many runs of the network, with choices between them",
  edit: "samples are edited by a loop of the sampler that begins at a sample",
  translate: "data sets are mapped to each other by a solver",
  encode: "codes are the raw network's: --raw-tensor",
  decode: "codes are the raw network's: --raw-tensor",
  interpolate: "paths between codes are made outside",
  reflow: "it belongs to training",
  distill: "it belongs to training",
};

function leftOutOf(
  held: readonly Held[],
  can: readonly string[],
  config: RunConfig,
): ExportedModel["leftOut"] {
  const known = held.flatMap((item) => ("why" in item ? [{ ability: item.ability, why: item.why }] : []));
  const others = can.flatMap((ability) => {
    // Of rows it is called impute.
    if (ability === "inpaint" && !isPicture(config.dataInfo)) return [];
    const why = Object.hasOwn(OUTSIDE_OF_FILES, ability) ? OUTSIDE_OF_FILES[ability] : undefined;
    return why === undefined ? [] : [{ ability, why }];
  });
  return [...known, ...others];
}

/** What model.json says of the run. */
function recordOf(config: RunConfig, step: number | undefined) {
  const { classNames } = config.dataInfo;
  return {
    format: "eidos-model",
    version: EXPORT_VERSION,
    eidos: version,
    // Where files lay is nobody else's business.
    model: basename(config.model),
    data: basename(config.data),
    kind: config.dataInfo.marks === "boxes" ? "detection" : config.dataInfo.kind,
    ...(step !== undefined && { step }),
    seed: config.fit.seed,
    ...(classNames !== undefined && { classes: classNames }),
  } as const;
}

async function writeRecord(folder: string, record: ExportedModel): Promise<Uint8Array> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(exportedModelSchema.parse(record), null, 2)}\n`);
  await writeFileAtomic(join(folder, "model.json"), bytes);
  return bytes;
}

/** @throws OptionError for a path that is that of a file */
function checkFolder(path: string): void {
  if (!/\.(onnx|json)$/i.test(path)) return;
  throw new OptionError(
    `option out: a model is exported into a folder, with model.json beside its files; ${path} is the name of a file. Name a folder, or add --raw-tensor for the network alone`,
  );
}

/** What a detector's file is, or why it has none. */
async function detectorFiles(
  subject: ExportSubject,
  run: Parameters<typeof embedderOf>[0] & { readonly model: Model & AnyDetector; readonly folder: RunFolder },
  { suppression, layer, sampler }: ExportOptions,
): Promise<readonly Held[]> {
  if (sampler !== undefined)
    throw new OptionError(`option sampler: ${subject.config.model} draws no samples; leave it out`);
  const { model, folder } = run;
  if (model.looks === "cascade") return [];
  const confidence = suppression?.confidence ?? (await usualConfidence({ folder, model }));
  const found = detectAbility(subject, model, { ...suppression, confidence });
  const backbone =
    layer === undefined ? [] : [embedAbility(subject, layer, (x) => layerOf(embedderOf(run), x, { layer }))];
  return [...asHeld("detect", found), ...backbone];
}

/** Writes a cascade: its networks, and what stays outside of them. */
async function exportCascade(
  subject: ExportSubject,
  model: Extract<AnyDetector, { looks: "cascade" }>,
  path: string,
  step: number | undefined,
): Promise<ExportSummary> {
  const { config, weights } = subject;
  const written = await exportStages(model, weights, path, config, step);
  const { stages } = model.exportedStages();
  const record = await writeRecord(path, {
    ...recordOf(config, step),
    abilities: {},
    stages: stages.map(({ name, description }) => ({ file: `${name}.onnx`, what: description })),
    outside: [
      "the image pyramid: the image is made smaller step by step, and cut into tiles; cascade.json has the scales",
      "choosing windows between the networks: thresholds, suppression and calibration, by the numbers of cascade.json",
      "cutting windows out of the image and making them the size that the next network takes",
      "README.md has the steps in their order, with formulas",
    ],
    leftOut: [
      { ability: "detect", why: "which windows a network looks at depends on what the one before has found" },
    ],
  });
  return {
    ...written,
    files: [...(written.files ?? []), "model.json"],
    bytes: written.bytes + record.length,
  };
}

/** Files as the options want them, in fewer bits where they do. @throws OptionError, DataError where the loss cannot be measured */
async function inPrecision(
  files: readonly AbilityFile[],
  precision: Precision,
  { weights }: ExportSubject,
  folder: string,
  options: ExportOptions,
): Promise<readonly AbilityFile[]> {
  if (precision === "fp32" || files.length === 0) return files;
  const { data: given, trident, cascade, trust, calibrate = CALIBRATED } = options;
  const run = await loadRun(folder, { weights: options.weights, trident, cascade, trust, data: given });
  try {
    const data = await fedData(run, given);
    const smaller: AbilityFile[] = [];
    for (const file of files) {
      const one = ofOneNetwork(file);
      if (one !== undefined) {
        smaller.push(await smallerFile(one, precision, { run, weights, data, calibrate }));
        continue;
      }
      const kept = `The weights stay in float32: several networks, or one in a loop of a solver, are not written in ${precision}.`;
      smaller.push({ ...file, note: { ...file.note, notes: [...(file.note.notes ?? []), kept] } });
    }
    return smaller;
  } finally {
    await run.session.release();
  }
}

/** Refuses a precision where files are written as they are. @throws OptionError */
function refusePrecision(precision: Precision, what: string): void {
  if (precision === "fp32") return;
  throw new OptionError(`option precision: ${what} in fp32 alone; leave it out`);
}

/**
 * Writes the model of a run for use outside of eidos: a folder with a file for each thing that it does, which takes and gives data in their
 * own units (columns of a table, bytes of images), and model.json, which says all of it (`exportedModelSchema`). With `rawTensor`, the network
 * alone as one file.
 * @param path of the folder; of the file with `rawTensor`
 * @throws OptionError where the model has nothing to export, or an option is wrong; FileError, WeightsError
 */
export async function exportRun(
  run: string,
  path: string,
  { rawTensor = false, seed = 0, page = false, ...options }: ExportOptions = {},
): Promise<ExportSummary> {
  const precision = checkPrecision(options);
  if (rawTensor) {
    refusePrecision(precision, "the network alone (--raw-tensor) is written");
    if (page)
      throw new OptionError(
        "option page: a page needs files that take and give data in their own units; leave rawTensor out",
      );
    return exportTensors(run, path, options);
  }
  checkFolder(path);
  const folder = new RunFolder(run);
  const config = cascadeLookingBy(lookingBy(await folder.readConfig(), options.trident), options.cascade);
  const definition = await runDefinition(config, run, options.trust);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo), memoryLimit());
  const read = await folder.readWeightsFile(options.weights);
  const subject = { config, model, weights: checkState(read.weights, model, read.file), seed };
  if (isDetector(model) && model.looks === "cascade") {
    refusePrecision(precision, "the networks of a cascade are written");
    if (page)
      throw new OptionError(
        `option page: what stands between the networks of ${config.model} is in no file; leave it out`,
      );
    return exportCascade(subject, model, path, read.step);
  }
  const held = isDetector(model)
    ? await detectorFiles(subject, { config, definition, model, folder }, options)
    : rowFiles(subject, { config, definition, model }, options);
  const plain = held.flatMap((item) => ("why" in item ? [] : [item]));
  const files = await inPrecision(plain, precision, subject, run, options);
  if (files.length === 0) {
    if (model.exported === undefined) return refuse({ config, definition }, "be exported");
    const why = held.flatMap((item) => ("why" in item ? [`${item.ability}: ${item.why}`] : []));
    throw new OptionError(
      `${config.model} has no file that takes and gives data in their own units (${why.join("; ") || "it neither scores, draws samples nor embeds"}); export the network alone: --raw-tensor, rawTensor: true`,
    );
  }
  const written = files.flatMap(({ note, bytes, parts = {} }) => [
    [note.file, bytes] as const,
    ...Object.entries(parts),
  ]);
  for (const [name, bytes] of written) await writeFileAtomic(join(path, name), bytes);
  const record: ExportedModel = {
    ...recordOf(config, read.step),
    abilities: Object.fromEntries(files.map(({ name, note }) => [name, note])),
    leftOut: leftOutOf(held, abilities(definition), config),
  };
  written.push(["model.json", await writeRecord(path, record)]);
  if (page) {
    const html = await handoutPage(`${record.model} · ${record.data}`, Object.fromEntries(written));
    written.push([PAGE, new TextEncoder().encode(html)]);
    await writeFileAtomic(join(path, PAGE), html);
  }
  return {
    path,
    files: written.map(([name]) => name),
    bytes: written.reduce((sum, [, bytes]) => sum + bytes.length, 0),
    ...(read.step !== undefined && { step: read.step }),
    description: [
      ...files.flatMap(({ note }) => {
        const line = precisionLine(note, isPicture(config.dataInfo));
        const kept = precision !== "fp32" && line === undefined ? "stays in float32" : line;
        return [`${note.file}: ${note.what}`, ...(kept === undefined ? [] : [`${note.file} ${kept}`])];
      }),
      ...(page ? [`${PAGE}: a page to hand out; it opens from a disk, and asks no server for anything`] : []),
      ...record.leftOut.map(({ ability, why }) => `without ${ability}: ${why}`),
    ].join("\n"),
  };
}
