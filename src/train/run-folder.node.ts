import { readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { refuseLinksOut } from "../data/files/data-folder.node.ts";
import {
  checkCanMake,
  FILE_KINDS,
  type FileKind,
  fileError,
  isMissing,
  isTemporary,
  makeFolder,
  readBytes,
  readRegularFile,
  UnreadFileError,
  writeFileAtomic,
} from "../data/files/files.node.ts";
import { describeHolder, FileLock, type LockHolder, lockHolder, RUN_LOCK } from "../data/files/lock.node.ts";
import { FileError, OptionError, WeightsError } from "../errors.ts";
import type { Trainable } from "../model/capabilities.ts";
import { initialState, namedTensors } from "../nn/module.ts";
import { readSafetensors, writeSafetensors } from "../nn/safetensors.ts";
import { matchState } from "../nn/state.ts";
import { readWeights } from "../nn/weights.ts";
import { isTooDeep } from "../options.ts";
import type { State } from "../program/program.ts";
import { Random } from "../random.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { Parameter } from "../tensor/leaves.ts";
import {
  type MetricRow,
  metricsText,
  packMetrics,
  parseMetrics,
  type ReadMetrics,
  unpackMetrics,
} from "./metrics-file.node.ts";
import { frozenOf, ratesOf } from "./rates.ts";
import { type RunConfig, refuseManyKeys, runConfig, withCurrentKeys } from "./run-config.ts";
import { faultsOf, parseProgress, type RunProgress, readProgress } from "./run-progress.node.ts";

/** A checkpoint: progress and every vector of training. */
export interface Checkpoint {
  readonly progress: RunProgress;
  readonly vectors: ReadonlyMap<string, NdArray>;
  /** Rows of metrics.csv up to now; undefined where an earlier version has written the checkpoint. */
  readonly rows?: readonly MetricRow[];
}

const SUBFOLDERS = ["weights", "samples"] as const;

const WEIGHTS = { best: "best.safetensors", last: "last.safetensors" } as const;

export type { MetricRow } from "./metrics-file.node.ts";
export type { RunProgress } from "./run-progress.node.ts";

const METRICS = "metrics.csv";

/**
 * The folder of a run, which can be read without eidos:
 *
 *     config.json  metrics.csv  report.html  samples/*.png  weights/{best,last}.safetensors  state.safetensors  model.onnx
 *
 * Every file is written under a temporary name and renamed, so that a crash leaves the old one or the new one.
 */
export class RunFolder {
  readonly path: string;
  private held: FileLock | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** The path of a file in the folder. */
  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /**
   * Makes the folder and its sub-folders, and locks it: it is written by this fit alone, until `unlock`.
   * @throws FileError where it cannot be made, or holds anything already: nothing is ever overwritten. What a fit has left that was
   * killed before it wrote its configuration is no obstacle.
   */
  async create(): Promise<void> {
    const obstacle = await this.createUnlessTaken();
    if (obstacle !== undefined) throw new FileError(obstacle);
  }

  /** As `create`; what is in the way is returned, not thrown. @throws FileError where it cannot be made */
  async createUnlessTaken(): Promise<string | undefined> {
    await this.makeFolder(this.path);
    const obstacle = (await this.obstacle()) ?? (await this.tryLock());
    if (obstacle !== undefined) return obstacle;
    try {
      // Another fit may have begun since.
      const late = await this.obstacle();
      if (late !== undefined) {
        await this.unlock();
        return late;
      }
      await this.removeTemporaries();
      for (const name of SUBFOLDERS) await this.makeFolder(this.file(name));
      return undefined;
    } catch (error) {
      await this.unlock();
      throw error;
    }
  }

  private async makeFolder(path: string): Promise<void> {
    try {
      await makeFolder(path);
    } catch (cause) {
      throw fileError(cause, "make the folder", path);
    }
  }

  /** Why no run can begin here: there is one, or something that a fit does not leave that has written nothing yet. */
  async obstacle(): Promise<string | undefined> {
    if (await this.exists()) {
      return `${this.path} holds a run already; continue it with eidos fit --resume ${this.path}, or choose another folder with --out`;
    }
    const stray = await this.strayEntry();
    if (stray === undefined) return undefined;
    return `${this.path} is not empty and holds no run (${stray}); choose another folder with --out, or empty it`;
  }

  /** Something in the folder that is not left by a fit that was killed before it wrote its configuration. */
  private async strayEntry(): Promise<string | undefined> {
    try {
      for (const entry of await readdir(this.path, { withFileTypes: true })) {
        const { name } = entry;
        const isLeft = name.startsWith(RUN_LOCK) || isTemporary(name);
        if (isLeft && !entry.isDirectory()) continue;
        const isOwn = entry.isDirectory() && SUBFOLDERS.some((folder) => folder === name);
        const held = isOwn ? await readdir(this.file(name)) : [];
        if (!isOwn || held.some((file) => !isTemporary(file))) return name;
      }
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw fileError(cause, "read the folder", this.path);
    }
    return undefined;
  }

  /**
   * Takes the folder for one fit. Reading needs no lock.
   * @throws FileError where another fit holds it, saying which process
   */
  async lock(): Promise<void> {
    const obstacle = await this.tryLock();
    if (obstacle !== undefined) throw new FileError(obstacle);
  }

  private async tryLock(): Promise<string | undefined> {
    const taking = await FileLock.take(this.file(RUN_LOCK));
    if (taking.kind === "taken") {
      this.held = taking.lock;
      return undefined;
    }
    return `${this.path} is being fitted by ${describeHolder(taking.holder)}; wait for it or stop it. Where you know that it is gone, remove ${this.file(RUN_LOCK)}`;
  }

  /** Gives the folder back, where it is held. */
  async unlock(): Promise<void> {
    const { held } = this;
    this.held = undefined;
    await held?.release();
  }

  /**
   * Removes what a fit has written that has failed before its first step, and the folder where nothing else is in it; it is unlocked. What is
   * not a fit's own stays.
   */
  async discard(): Promise<void> {
    for (const name of [...SUBFOLDERS, "config.json", METRICS, "state.safetensors"]) {
      await rm(this.file(name), { recursive: true, force: true });
    }
    await this.unlock();
    // Whatever else is in it is somebody's.
    await rmdir(this.path).catch(() => undefined);
  }

  /**
   * Finds out that a run cannot be made here, before any work: what is taken, and a path on which there can be no folder.
   * @throws FileError
   */
  async checkFree(): Promise<void> {
    const obstacle = await this.obstacle();
    if (obstacle !== undefined) throw new FileError(obstacle);
    if ((await stat(this.path).catch(() => undefined))?.isDirectory() === false) {
      throw new FileError(
        `cannot make the folder ${this.path}: a file of that name is in the way; move it, or choose another path`,
      );
    }
    await checkCanMake(this.path, "make the folder");
  }

  /** @throws FileError where its lock was taken away or is another's: two fits would write one run */
  private async checkLock(): Promise<void> {
    const lost = await this.held?.lost();
    if (lost === undefined) return;
    throw new FileError(
      `${this.file(RUN_LOCK)} was ${lost} while ${this.path} was being fitted; this fit ends, and writes nothing more`,
    );
  }

  /** Who fits this run now; undefined where nobody does. */
  fitter(): Promise<LockHolder | undefined> {
    return lockHolder(this.file(RUN_LOCK));
  }

  /** True where a run has been begun in this folder. */
  async exists(): Promise<boolean> {
    return (await this.readIfThere("config.json", FILE_KINDS.text)) !== undefined;
  }

  async writeConfig(config: RunConfig): Promise<void> {
    await writeFileAtomic(this.file("config.json"), `${JSON.stringify(config, null, 2)}\n`);
  }

  /** @throws FileError where there is no run, or a link in it leads out; OptionError where config.json is not one of eidos. */
  async readConfig(): Promise<RunConfig> {
    const text = await this.readIfThere("config.json", FILE_KINDS.text);
    if (text === undefined) {
      throw new FileError(
        `${this.path} holds no run (no config.json); give the folder that eidos fit has written`,
      );
    }
    await refuseLinksOut(this.path, [...SUBFOLDERS, "detections"], "run");
    let json: unknown;
    try {
      json = JSON.parse(new TextDecoder().decode(text));
    } catch (cause) {
      throw new OptionError(`${this.file("config.json")} is not valid JSON; restore it or fit again`, {
        cause,
      });
    }
    if (isTooDeep(json)) {
      throw new OptionError(`${this.file("config.json")} is nested too deeply; restore it or fit again`);
    }
    refuseManyKeys(json, this.file("config.json"));
    const parsed = runConfig.safeParse(withCurrentKeys(json));
    if (!parsed.success) {
      throw new OptionError(`${this.file("config.json")}: ${faultsOf(parsed.error)}`);
    }
    return parsed.data;
  }

  /** Writes all rows of metrics.csv. @throws FileError where the lock is lost: the folder is another fit's */
  async writeMetrics(rows: readonly MetricRow[]): Promise<void> {
    await this.checkLock();
    await writeFileAtomic(this.file(METRICS), metricsText(rows));
  }

  /** The rows of metrics.csv up to the first damaged one; none where the file is missing. */
  async readMetrics(): Promise<readonly MetricRow[]> {
    return (await this.readMetricsFile())?.rows ?? [];
  }

  /**
   * Rows with which a run goes on from a checkpoint: those that it keeps. Where metrics.csv is missing or damaged, that is told; it is
   * written again with the next checkpoint.
   * @param warn takes the message
   */
  async resumedMetrics(
    { progress, rows }: Checkpoint,
    warn: (message: string) => void,
  ): Promise<readonly MetricRow[]> {
    const found = await this.readMetricsFile();
    const kept = rows ?? found?.rows ?? [];
    const fault = found === undefined ? "is missing" : found.damage && `is damaged (${found.damage})`;
    // A run that has not come to its first row has an empty file, or none.
    if (fault === undefined || rows?.length === 0) return kept;
    const remedy =
      rows === undefined
        ? `its checkpoint is of an earlier version and keeps no rows: ${kept.length} remain`
        : `its ${kept.length} rows are written again from the checkpoint of step ${progress.step}`;
    warn(`${this.file(METRICS)} ${fault}; ${remedy}`);
    return kept;
  }

  private async readMetricsFile(): Promise<ReadMetrics | undefined> {
    const bytes = await this.readIfThere(METRICS, FILE_KINDS.annotations);
    return bytes === undefined ? undefined : parseMetrics(new TextDecoder().decode(bytes));
  }

  async writeWeights(which: keyof typeof WEIGHTS, weights: State, step: number): Promise<void> {
    const bytes = writeSafetensors(weights, { format: "pt", step: String(step) });
    await writeFileAtomic(this.file("weights", WEIGHTS[which]), bytes);
  }

  /** The best weights where validation has chosen some, otherwise the last. @throws FileError, WeightsError */
  async readWeights(which?: keyof typeof WEIGHTS): Promise<State> {
    return (await this.readWeightsFile(which)).weights;
  }

  /** As `readWeights`, with the file they came from and the step they are of (where the file has it). */
  async readWeightsFile(
    which?: keyof typeof WEIGHTS,
  ): Promise<{ readonly weights: State; readonly file: string; readonly step: number | undefined }> {
    const names = which === undefined ? [WEIGHTS.best, WEIGHTS.last] : [WEIGHTS[which]];
    for (const name of names) {
      const bytes = await this.readIfThere(join("weights", name));
      if (bytes === undefined) continue;
      const file = this.file("weights", name);
      const { tensors, metadata } = readSafetensors(bytes, file);
      const step = Number(metadata.step ?? Number.NaN);
      return { weights: tensors, file, step: Number.isInteger(step) ? step : undefined };
    }
    if (!(await this.exists())) {
      throw new FileError(
        `${this.path} holds no run (no config.json) and no weights; give a file of weights, or the folder that eidos fit has written`,
      );
    }
    throw new FileError(
      `${this.path} holds no weights yet (${names.join(", ")}); run eidos fit --resume ${this.path}`,
    );
  }

  async writeCheckpoint({ progress, vectors, rows }: Checkpoint): Promise<void> {
    await this.checkLock();
    const metrics = rows && packMetrics(rows);
    const bytes = writeSafetensors(new Map([...vectors, ...(metrics?.arrays ?? [])]), {
      progress: JSON.stringify(progress),
      ...(metrics !== undefined && { metrics: metrics.columns }),
    });
    await writeFileAtomic(this.file("state.safetensors"), bytes);
  }

  /**
   * How far the last checkpoint is, without its vectors; undefined where none was written yet.
   * @throws WeightsError where it is damaged; FileError where it cannot be read
   */
  readProgress(): Promise<RunProgress | undefined> {
    return readProgress(this.file("state.safetensors"));
  }

  /** The last checkpoint; undefined where none was written yet. @throws WeightsError where it is damaged. */
  async readCheckpoint(): Promise<Checkpoint | undefined> {
    const bytes = await this.readIfThere("state.safetensors");
    if (bytes === undefined) return undefined;
    const name = this.file("state.safetensors");
    const { tensors, metadata } = readSafetensors(bytes, name);
    const progress = parseProgress(metadata.progress, name);
    const vectors = new Map(tensors);
    const rows = unpackMetrics(vectors, metadata.metrics, name);
    return { progress, vectors, ...(rows !== undefined && { rows }) };
  }

  /**
   * A checkpoint that fits a model: it has a vector of the right length for each of those expected.
   * @throws WeightsError
   */
  checked(checkpoint: Checkpoint, expected: Checkpoint["vectors"]): Checkpoint {
    for (const [name, { shape }] of expected) {
      const found = checkpoint.vectors.get(name);
      if (
        found === undefined ||
        found.dtype !== "float32" ||
        elementCount(found.shape) !== elementCount(shape)
      ) {
        throw new WeightsError(
          `${this.file("state.safetensors")}: ${name} ${found ? `is ${found.dtype}[${found.shape}]` : "is missing"}, the model wants float32[${shape}]; it belongs to another model or other options`,
        );
      }
    }
    return checkpoint;
  }

  /** Notes in the checkpoint that the run is complete. */
  async markFinished(): Promise<void> {
    const held = await this.readCheckpoint();
    if (held !== undefined) {
      await this.writeCheckpoint({ ...held, progress: { ...held.progress, finished: true } });
    }
  }

  /** Removes what a killed process has left of files that it was writing. The folder is locked by the caller. */
  async removeTemporaries(): Promise<void> {
    for (const folder of [this.path, ...SUBFOLDERS.map((name) => this.file(name))]) {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      for (const entry of entries) {
        const isLeft = isTemporary(entry.name) || entry.name.startsWith(`${RUN_LOCK}.`);
        // A folder of such a name is no file of a fit.
        if (isLeft && !entry.isDirectory()) await rm(join(folder, entry.name), { force: true });
      }
    }
  }

  /** A file of the folder, which is a regular one within the size of its kind; undefined where there is none. */
  private async readIfThere(
    name: string,
    kind: FileKind = FILE_KINDS.array,
  ): Promise<Uint8Array | undefined> {
    try {
      return await readRegularFile(this.file(name), kind);
    } catch (error) {
      if (error instanceof UnreadFileError && error.reason === "missing") return undefined;
      throw error;
    }
  }
}

/** Weights to begin a fit with, and lines for a person on what of the file did not fit. */
export interface WarmStart {
  readonly start: State;
  readonly report: readonly string[];
}

/**
 * Begins with the weights of a file (safetensors, or PyTorch's .pth and .pt), or with the best ones of a run: what fits by name and
 * shape is taken, names that others give to parts of the model among them, and the rest is drawn as it would have been without.
 * @param source what the file is called where it is from, such as a model of the hub
 * @throws WeightsError where nothing fits, the file has not all that is frozen, or it is damaged or of another architecture; DataError where there is none; FileError
 */
export async function warmStart(
  path: string,
  model: Trainable,
  seed: number,
  source = path,
): Promise<WarmStart> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  if (isFolder) {
    const { weights, file } = await new RunFolder(path).readWeightsFile();
    return beginWith(weights, file, [], model, seed, source);
  }
  const { tensors, notes } = readWeights(await readBytes(path), path);
  return beginWith(tensors, path, notes, model, seed, source);
}

/** What is frozen is frozen as it is given. @throws WeightsError where the file has not all of it: random values would be kept */
function checkFrozen(model: Trainable, taken: State, file: string): void {
  const frozen = new Set(frozenOf(ratesOf(model)));
  const names = [...namedTensors(model)].flatMap(([name, tensor]) =>
    tensor instanceof Parameter && frozen.has(tensor) ? [name] : [],
  );
  const missing = names.filter((name) => !taken.has(name));
  const [first] = missing;
  if (first === undefined) return;
  throw new WeightsError(
    `${file}: has not ${missing.length} of the ${names.length} parameters that are frozen (the first is ${first}), whose random values would be kept; train them (of detectors: frozenStages 0, frozenNorm false), or give weights that have them`,
  );
}

function beginWith(
  weights: State,
  file: string,
  notes: readonly string[],
  model: Trainable,
  seed: number,
  source: string,
): WarmStart {
  const { taken, report } = matchState(weights, model, file, model.foreignNames?.(), source);
  checkFrozen(model, taken, file);
  const said = notes.map((note) => `weights of ${file}: ${note}`);
  return {
    start: new Map([...initialState(model, new Random(seed)), ...taken]),
    report: [...said, ...report],
  };
}
