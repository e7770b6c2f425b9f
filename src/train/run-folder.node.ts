import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fileError, isMissing, writeFileAtomic } from "../data/files.node.ts";
import { FileError, OptionError, WeightsError } from "../errors.ts";
import { readSafetensors, writeSafetensors } from "../nn/safetensors.ts";
import type { State } from "../program/program.ts";
import type { NdArray } from "../tensor/array.ts";
import { type RunConfig, runConfig } from "./run-config.ts";

/** A row of metrics.csv. */
export type MetricRow = Readonly<Record<string, number | undefined>> & { readonly step: number };

/** What a checkpoint holds besides vectors. */
export const progressSchema = z.object({
  step: z.int().nonnegative(),
  seconds: z.number().nonnegative(),
  best: z.object({ step: z.int(), loss: z.number() }).optional(),
  validationsSinceBest: z.int().nonnegative(),
  /** Sums since the last row of metrics.csv. */
  pending: z.object({ count: z.int().nonnegative(), sums: z.record(z.string(), z.number()) }),
  /** Training ended by its own limit. */
  finished: z.boolean(),
});

export type RunProgress = z.output<typeof progressSchema>;

/** A checkpoint: progress and every vector of training. */
export interface Checkpoint {
  readonly progress: RunProgress;
  readonly vectors: ReadonlyMap<string, NdArray>;
}

const WEIGHTS = { best: "best.safetensors", last: "last.safetensors" } as const;

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

  /** Makes the folder and its sub-folders. @throws FileError */
  async create(): Promise<void> {
    for (const folder of [this.path, this.file("weights"), this.file("samples")]) {
      try {
        await mkdir(folder, { recursive: true });
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
    const parsed = runConfig.safeParse(json);
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
    const columns = head.split(",");
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
  async readWeights(which: keyof typeof WEIGHTS | undefined = undefined): Promise<State> {
    const names = which === undefined ? [WEIGHTS.best, WEIGHTS.last] : [WEIGHTS[which]];
    for (const name of names) {
      const bytes = await this.readIfThere(join("weights", name));
      if (bytes !== undefined) return readSafetensors(bytes, this.file("weights", name)).tensors;
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

  private async readIfThere(name: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.file(name));
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw fileError(cause, "read", this.file(name));
    }
  }
}
