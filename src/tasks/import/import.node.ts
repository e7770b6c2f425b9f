import { createHash } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { isPublished, PUBLISHED_NAMES } from "../../backbones/published/index.ts";
import { amount, list, MOST, text } from "../../bounds.ts";
import { buildModel, findModel } from "../../catalog.ts";
import { FILE_KINDS, readBytes, readRegularFile } from "../../data/files/files.node.ts";
import { BACKGROUND, COCO_GAPS, COCO_IDS } from "../../detection/models/coco-classes.ts";
import { INPUT_SIZES } from "../../detection/models/mtcnn/networks.ts";
import { FileError, OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { counted } from "../../memory.ts";
import { checkFinite, checkState } from "../../nn/state.ts";
import { checkNames, type NamesOf, parseOptions } from "../../options.ts";
import { fitOptions, resolveFitOptions } from "../../train/options.ts";
import { IMPORTED, type RunConfig } from "../../train/run-config.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { version } from "../../version.ts";
import { modelInfo } from "../run/definition.node.ts";
import { detectionFitOptions } from "../run/detection-options.ts";
import { readBackbone } from "./backbone.node.ts";
import { inferredModel } from "./infer.node.ts";
import { readMtcnn } from "./mtcnn.node.ts";
import {
  isTorchvision,
  ONE_FILE_MODELS,
  type OneFileModel,
  type ReadDetector,
  readDetector,
} from "./readers.ts";

/** Models that weights of others become. */
export const IMPORTED_MODELS = [...ONE_FILE_MODELS, "mtcnn", ...PUBLISHED_NAMES] as const;

/** A model that weights of others become. */
export type ImportedModel = (typeof IMPORTED_MODELS)[number];

/** Options of an import. */
export const importOptions = z.strictObject({
  as: z
    .enum(IMPORTED_MODELS)
    .optional()
    .describe("the model that it becomes (default: what the tensors of the file are of, which is printed)"),
  size: detectionFitOptions.shape.size.describe(
    "height and width of the images that the detector sees, a multiple of 32; images are fitted in and padded; mtcnn looks at images at their own size (default: as it was trained; 1024 for torchvision's, which is nearest to its 800 pixels of the shorter side for photos of 4 : 3; yunet 640, ultra-light-rfb 320; networks for features 224)",
  ),
  classes: list(text().min(1), MOST.names)
    .min(1)
    .optional()
    .describe(
      "names of the classes in their order, without background, or a file with one a line (default: COCO's where there are as many, otherwise numbers; of face detectors: face)",
    ),
  epsilon: amount()
    .optional()
    .describe(
      "ε of the backbone's batch norms (default: torchvision's, 0 where they are frozen, except in FCOS, otherwise 0.00001)",
    ),
});

/** What is imported, and where it goes. */
export interface ImportRequest {
  /** A file of weights: .safetensors, or PyTorch's .pth or .pt; .onnx of yunet and ultra-light-rfb. Of mtcnn: its three files, or the folder that they are in. */
  readonly file: string | readonly string[];
  /** Default: what the tensors of the file are of. */
  readonly as?: ImportedModel | undefined;
  /** Run folder; default: runs/NAME, of the file's name. */
  readonly out?: string | undefined;
  /** Default: that at which it sees objects as it was trained to. */
  readonly size?: number | undefined;
  /** Names of the classes without background, or the path of a file with one a line. */
  readonly classes?: readonly string[] | string | undefined;
  readonly epsilon?: number | undefined;
}

const NAMES: NamesOf<ImportRequest> = {
  file: true,
  as: true,
  out: true,
  size: true,
  classes: true,
  epsilon: true,
};

/** What was imported. */
export interface ImportSummary {
  /** Path of the run folder. */
  readonly folder: string;
  readonly model: string;
  readonly classes: readonly string[];
  /** Tensors, and numbers in them. */
  readonly tensors: number;
  readonly parameters: number;
  /** Lines for a person: what was assumed, and left out. */
  readonly notes: readonly string[];
}

/** Weights of others as those of a model here. */
interface Imported extends Pick<ReadDetector, "modelOptions" | "state" | "notes"> {
  readonly model: string;
  readonly classes: readonly string[];
  /** What is marked in its images, and found by it; absent of networks for features. */
  readonly marks?: "boxes";
  /** [3, height, width] of the images that it sees, or is trained on. */
  readonly sampleShape: readonly [number, number, number];
  /** Options of its data. */
  readonly dataOptions: Readonly<Record<string, unknown>>;
  /** What it was read from. */
  readonly files: readonly string[];
  readonly sha256: string;
}

/**
 * Makes a run folder of a detector that others have trained, with torchvision or for faces: one that detects, is measured and exported, and that
 * a fit begins from (`from`); or of a network for ImageNet, without its classifier, which embeds images. Every tensor of the files must fit.
 *
 *     const { folder } = await importDetector({ file: "fasterrcnn_resnet50_fpn_coco.pth" });
 *     await using run = await openRun(folder);
 *     const { objects } = await run.detect("street.jpg");
 *
 * @throws OptionError for a model that the file is not of, a file that does not show which it is of, or classes that are not as many; WeightsError where the file is damaged or of
 * another architecture, which is named; FileError where the folder is taken. Nothing is left behind then.
 */
export async function importDetector(request: ImportRequest): Promise<ImportSummary> {
  checkNames("import", request, NAMES);
  const { file, out, classes, ...rest } = request;
  const names = typeof classes === "string" ? [classes] : classes;
  const options = parseOptions("import", importOptions, { ...rest, ...(names && { classes: names }) });
  const files = typeof file === "string" ? [file] : file;
  const [first] = files;
  if (first === undefined) throw new OptionError("import: name a file of weights");
  const as = options.as ?? (await inferredModel(files, IMPORTED_MODELS));
  const folder = new RunFolder(out ?? join("runs", plainName(files.length > 1 ? as : first)));
  const { path } = folder;
  const obstacle = await folder.obstacle();
  if (obstacle !== undefined) throw new FileError(obstacle);

  const read = await readImported(files, as, options);
  const config = configOf(read);
  const definition = findModel(read.model);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo), memoryLimit());
  const state = checkState(read.state, model, read.files.join(", "));
  checkFinite(state, read.files.join(", "));

  const wasThere = (await stat(path).catch(() => undefined)) !== undefined;
  await folder.create();
  try {
    await folder.writeWeights("best", state, 0);
    // A folder is a run once it has this file, so that it comes last.
    await folder.writeConfig(config);
  } catch (error) {
    for (const name of ["config.json", "weights", "samples"]) await remove(folder.file(name));
    await folder.unlock();
    if (!wasThere) await remove(path);
    throw error;
  }
  await folder.unlock();
  const sizes = [...state.values()].map(({ data }) => data.length);
  return {
    folder: path,
    model: read.model,
    classes: read.classes,
    tensors: sizes.length,
    parameters: sizes.reduce((sum, size) => sum + size, 0),
    notes: [
      ...(options.as === undefined ? [`read as ${as}, by what the file holds; --as names another`] : []),
      ...read.notes,
    ],
  };
}

type ImportOptions = z.output<typeof importOptions>;

/** Weights of others by the model that they are to be. @throws OptionError, WeightsError as `importDetector` */
async function readImported(
  files: readonly string[],
  as: ImportedModel,
  options: ImportOptions,
): Promise<Imported> {
  const { size, classes, epsilon } = options;
  if (as === "mtcnn") return cascadeOf(files, options);
  if (!isPublished(as)) return oneFileOf(files, as, options);
  const [file = "", ...others] = files;
  if (others.length > 0)
    throw new OptionError(`import: ${as} is one file of weights; leave out ${others.join(", ")}`);
  if (classes !== undefined || epsilon !== undefined) {
    throw new OptionError(
      `option ${classes === undefined ? "epsilon" : "classes"}: ${as} is imported for its features, without its classifier; leave it out`,
    );
  }
  const side = size ?? FEATURE_SIZE;
  const { state, sha256, notes } = await readBackbone(file, as, side);
  return {
    model: "classifier",
    modelOptions: { backbone: as },
    state,
    classes: [],
    sampleShape: [3, side, side],
    dataOptions: { size: side },
    files,
    sha256,
    notes,
  };
}

/** Side of the images that networks for ImageNet were trained on. */
const FEATURE_SIZE = 224;

/** A detector of one file. @throws OptionError, WeightsError as `importDetector` */
async function oneFileOf(
  files: readonly string[],
  as: OneFileModel,
  { size, classes, epsilon }: ImportOptions,
): Promise<Imported> {
  const [file = "", ...others] = files;
  if (others.length > 0)
    throw new OptionError(`import: ${as} is one file of weights; leave out ${others.join(", ")}`);
  const bytes = await readBytes(file);
  const detector = readDetector(bytes, as, file, epsilon);
  const named = await classNames(detector, classes, file);
  const side = size ?? detector.size;
  return {
    model: detector.model,
    modelOptions: detector.modelOptions,
    state: detector.state,
    classes: named.classes,
    marks: "boxes",
    sampleShape: [3, side, side],
    dataOptions: { size: side },
    files,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    notes: [...detector.notes, ...named.notes],
  };
}

/** MTCNN. @throws OptionError where options are of other models, or there are several classes; WeightsError as `readMtcnn` */
async function cascadeOf(
  files: readonly string[],
  { size, classes = ["face"], epsilon }: ImportOptions,
): Promise<Imported> {
  if (size !== undefined) {
    throw new OptionError("option size: mtcnn looks at images at their own size; leave it out");
  }
  if (epsilon !== undefined) {
    throw new OptionError("option epsilon: mtcnn has no batch norms; leave it out");
  }
  if (classes.length !== 1) {
    throw new OptionError(
      `option classes: ${counted(classes.length, "name")}, where mtcnn finds objects of one class`,
    );
  }
  const { state, options, files: read, sha256, notes } = await readMtcnn(files);
  const side = INPUT_SIZES.onet;
  return {
    model: "mtcnn",
    modelOptions: options,
    state,
    classes,
    marks: "boxes",
    sampleShape: [3, side, side],
    dataOptions: {},
    files: read,
    sha256,
    notes,
  };
}

const remove = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

/** A file's name without its folder and extension, in letters that any system takes. */
function plainName(file: string): string {
  const stem = basename(file).replace(/\.[a-z]+$/i, "");
  return stem.replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 80) || "imported";
}

/** Names of the classes, and lines on what was assumed of them. @throws OptionError where they are not as many as the weights have */
async function classNames(
  { model, classes: count, classNames: known }: ReadDetector,
  given: readonly string[] | undefined,
  file: string,
): Promise<{ readonly classes: readonly string[]; readonly notes: readonly string[] }> {
  // In RetinaNet and FCOS, torchvision's numbers of classes have background among them, which nothing is trained to be.
  const own = model === "faster-rcnn" ? COCO_IDS.slice(1) : COCO_IDS;
  if (given !== undefined) return namedClasses(await fromFile(given, count), count, model, file);
  if (known !== undefined) return { classes: known, notes: [] };
  if (isTorchvision(model) && count === own.length) {
    return {
      classes: own,
      notes: [
        `${counted(count, "class", "classes")} by the ids of COCO: ${COCO_GAPS.length} ids that COCO does not use are called N/A, as N/A ${COCO_GAPS[0]}${model === "faster-rcnn" ? "" : `, and the first class is ${BACKGROUND}, which stands for nothing`}`,
      ],
    };
  }
  return {
    classes: Array.from({ length: count }, (_, i) => `class ${i + 1}`),
    notes: [
      count === 1
        ? "1 class without a name: called class 1; --classes names it"
        : `${count} classes without names: called class 1 to class ${count}; --classes a,b,… names them`,
    ],
  };
}

/** One name for several classes is the path of a file that has them, one a line. @throws DataError */
async function fromFile(given: readonly string[], count: number): Promise<readonly string[]> {
  const [path] = given;
  if (path === undefined || given.length > 1 || count === 1) return given;
  const lines = new TextDecoder().decode(await readRegularFile(path, FILE_KINDS.text)).split(/\r?\n/);
  return lines.map((line) => line.trim()).filter((line) => line !== "");
}

function namedClasses(
  given: readonly string[],
  count: number,
  model: OneFileModel,
  file: string,
): { readonly classes: readonly string[]; readonly notes: readonly string[] } {
  const twice = given.find((name, i) => given.indexOf(name) !== i);
  if (twice !== undefined) throw new OptionError(`option classes: ${JSON.stringify(twice)} is there twice`);
  const [first, ...others] = given;
  if (given.length === count) return { classes: given, notes: [] };
  if (model === "faster-rcnn" && given.length === count + 1 && /^_*background_*$/.test(first ?? "")) {
    return { classes: others, notes: [`${first} is no class of faster-rcnn here: left out of the names`] };
  }
  if (
    isTorchvision(model) &&
    model !== "faster-rcnn" &&
    given.length === count - 1 &&
    !given.includes(BACKGROUND)
  ) {
    return {
      classes: [BACKGROUND, ...given],
      notes: [
        `${count} classes with ${given.length} names: the first class is called ${BACKGROUND}, as torchvision numbers them`,
      ],
    };
  }
  throw new OptionError(
    `option classes: ${counted(given.length, "name")}, where ${file} has ${counted(count, "class", "classes")}${model === "faster-rcnn" ? " beside background" : ""}`,
  );
}

/** The record of a run that was imported: it has no data, and nothing was fitted. */
function configOf({
  model,
  modelOptions,
  classes,
  marks,
  sampleShape,
  dataOptions,
  files,
  sha256,
}: Imported): RunConfig {
  const definition = findModel(model);
  const dataInfo: RunConfig["dataInfo"] = {
    kind: "image",
    sampleShape: [...sampleShape],
    ...(marks && { marks, classes: classes.length, classNames: classes }),
    fingerprint: `sha256:${sha256}`,
    trainCount: 1,
  };
  const fit = parseOptions("fit", fitOptions, {});
  return {
    eidos: version,
    created: new Date().toISOString(),
    model,
    modelOptions: parseOptions(model, definition.options, modelOptions) as Record<string, unknown>,
    data: `${IMPORTED}${files.map((path) => basename(path)).join(", ")}`,
    dataOptions,
    dataInfo,
    fit: resolveFitOptions(fit, definition.preferences?.(modelInfo(dataInfo)) ?? {}, dataInfo.trainCount),
    imported: { file: files.join(", "), sha256 },
  };
}
