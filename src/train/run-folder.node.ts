import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import {
  fileError,
  isMissing,
  isTemporary,
  makeFolder,
  readBytes,
  writeFileAtomic,
} from "../data/files/files.node.ts";
import { FileError, OptionError, WeightsError } from "../errors.ts";
import type { Trainable } from "../model/capabilities.ts";
import { initialState } from "../nn/module.ts";
import { readSafetensors, writeSafetensors } from "../nn/safetensors.ts";
import { matchState } from "../nn/state.ts";
import type { State } from "../program/program.ts";
import { Random } from "../random.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { type RunConfig, runConfig, withCurrentKeys } from "./run-config.ts";

/** A row of metrics.csv. */
export type MetricRow = Readonly<Record<string, number | undefined>> & { readonly step: number };

/** What a checkpoint holds besides vectors. */
const progressSchema = z.object({
  step: z.int().nonnegative(),
  seconds: z.number().nonnegative(),
  best: z
    .object({
      step: z.int(),
      loss: z.number(),
      measures: z.record(z.string(), z.number()).optional(),
    })
    .optional(),
  validationsSinceBest: z.int().nonnegative(),
  /** Sums since the last row of metrics.csv. */
  pending: z.object({ count: z.int().nonnegative(), sums: z.record(z.string(), z.number()) }),
  /** Training ended by its own limit or patience, and everything is written. */
  finished: z.boolean(),
});

export type RunProgress = z.output<typeof progressSchema>;

/** A checkpoint: progress and every vector of training. */
export interface Checkpoint {
  readonly progress: RunProgress;
  readonly vectors: ReadonlyMap<string, NdArray>;
}

const WEIGHTS = { best: "best.safetensors", last: "last.safetensors" } as const;

/** Columns of metrics.csv that earlier versions spelled otherwise. */
const OLD_COLUMNS: ReadonlyMap<string, string> = new Map([
  ["centreness", "centerness"],
  ["centre", "center"],
]);

/**
 * The folder of a run, which can be read without eidos:
 *
 *     config.json  metrics.csv  report.html  samples/*.png  weights/{best,last}.safetensors  state.safetensors  model.onnx
 *
 * Every file is written under a temporary name and renamed, so that a crash leaves the old one or the new one.
 */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The path of a file in the folder. */
  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /**
   * Makes the folder and its sub-folders.
   * @throws FileError where it cannot be made, or holds anything already: nothing is ever overwritten
   */
  async create(): Promise<void> {
    if (await this.exists()) {
      throw new FileError(
        `${this.path} holds a run already; continue it with eidos fit --resume ${this.path}, or choose another folder with --out`,
      );
    }
    for (const folder of [this.path, this.file("weights"), this.file("samples")]) {
      try {
        await makeFolder(folder);
        if (folder === this.path && (await readdir(folder)).length > 0) {
          throw new FileError(
            `${folder} is not empty and holds no run; choose another folder with --out, or empty it`,
          );
        }
      } catch (cause) {
        throw fileError(cause, "make the folder", folder);
      }
    }
  }

  /** True where a run has been begun in this folder. */
  async exists(): Promise<boolean> {
    return (await this.readIfThere("config.json")) !== undefined;
  }

  async writeConfig(config: RunConfig): Promise<void> {
    await writeFileAtomic(this.file("config.json"), `${JSON.stringify(config, null, 2)}\n`);
  }

  /** @throws FileError where there is no run; OptionError where config.json is not one of eidos. */
  async readConfig(): Promise<RunConfig> {
    const text = await this.readIfThere("config.json");
    if (text === undefined) {
      throw new FileError(
        `${this.path} holds no run (no config.json); give the folder that eidos fit has written`,
      );
    }
    let json: unknown;
    try {
      json = JSON.parse(new TextDecoder().decode(text));
    } catch (cause) {
      throw new OptionError(`${this.file("config.json")} is not valid JSON; restore it or fit again`, {
        cause,
      });
    }
    const parsed = runConfig.safeParse(withCurrentKeys(json));
    if (!parsed.success) {
      throw new OptionError(
        `${this.file("config.json")}: ${z.prettifyError(parsed.error).replaceAll("\n", " ")}`,
      );
    }
    return parsed.data;
  }

  /** Writes all rows of metrics.csv; columns are those of all rows, in order of appearance. */
  async writeMetrics(rows: readonly MetricRow[]): Promise<void> {
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const lines = rows.map((row) => columns.map((column) => row[column] ?? "").join());
    await writeFileAtomic(this.file("metrics.csv"), `${[columns.join(), ...lines].join("\n")}\n`);
  }

  /** The rows of metrics.csv; none where the file is missing. */
  async readMetrics(): Promise<MetricRow[]> {
    const bytes = await this.readIfThere("metrics.csv");
    if (bytes === undefined) return [];
    const [head = "", ...lines] = new TextDecoder().decode(bytes).trim().split("\n");
    const columns = head.split(",").map((column) => OLD_COLUMNS.get(column) ?? column);
    return lines.map((line) => {
      const cells = line.split(",");
      const entries = columns.flatMap((column, i) => (cells[i] ? [[column, Number(cells[i])] as const] : []));
      return { step: 0, ...Object.fromEntries(entries) };
    });
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
    throw new FileError(
      `${this.path} holds no weights yet (${names.join(", ")}); run eidos fit --resume ${this.path}`,
    );
  }

  async writeCheckpoint({ progress, vectors }: Checkpoint): Promise<void> {
    const bytes = writeSafetensors(vectors, { progress: JSON.stringify(progress) });
    await writeFileAtomic(this.file("state.safetensors"), bytes);
  }

  /** The last checkpoint; undefined where none was written yet. @throws WeightsError where it is damaged. */
  async readCheckpoint(): Promise<Checkpoint | undefined> {
    const bytes = await this.readIfThere("state.safetensors");
    if (bytes === undefined) return undefined;
    const name = this.file("state.safetensors");
    const { tensors, metadata } = readSafetensors(bytes, name);
    let progress: unknown;
    try {
      progress = JSON.parse(metadata.progress ?? "");
    } catch (cause) {
      throw new WeightsError(`${name} has no readable progress entry; fit again into another folder`, {
        cause,
      });
    }
    const parsed = progressSchema.safeParse(progress);
    if (!parsed.success)
      throw new WeightsError(`${name}: ${z.prettifyError(parsed.error).replaceAll("\n", " ")}`);
    return { progress: parsed.data, vectors: tensors };
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

  /** Removes what a killed process has left of files that it was writing. */
  async removeTemporaries(): Promise<void> {
    for (const folder of [this.path, this.file("weights"), this.file("samples")]) {
      const names = await readdir(folder).catch(() => []);
      for (const name of names) if (isTemporary(name)) await rm(join(folder, name), { force: true });
    }
  }

  private async readIfThere(name: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.file(name));
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw fileError(cause, "read", this.file(name));
    }
  }
}

/** Weights to begin a fit with, and lines for a person on what of the file did not fit. */
export interface WarmStart {
  readonly start: State;
  readonly report: readonly string[];
}

/**
 * Begins with the weights of a file, or with the best ones of a run: what fits by name and shape is taken, the rest is drawn
 * as it would have been without.
 * @throws WeightsError where nothing fits, or the file is damaged; DataError where there is none; FileError
 */
export async function warmStart(path: string, model: Trainable, seed: number): Promise<WarmStart> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const { weights, file } = isFolder
    ? await new RunFolder(path).readWeightsFile()
    : { weights: readSafetensors(await readBytes(path), path).tensors, file: path };
  const { taken, report } = matchState(weights, model, file);
  return { start: new Map([...initialState(model, new Random(seed)), ...taken]), report };
}
