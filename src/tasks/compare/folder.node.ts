import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import {
  FILE_KINDS,
  fileError,
  isMissing,
  isTemporary,
  makeFolder,
  readRegularFile,
  UnreadFileError,
  writeFileAtomic,
} from "../../data/files/files.node.ts";
import { FileError } from "../../errors.ts";
import { MEASURES, type MeasureName } from "../measure/measures.ts";

/** A number as JSON can hold it. */
const number = z.union([z.number(), z.enum(["Infinity", "-Infinity", "NaN"]).transform(Number)]);

const likelihood = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("exact"), nats: number, bitsPerDimension: z.exactOptional(number) }),
  z.object({
    kind: z.literal("bound"),
    atLeastNats: number,
    atMostBitsPerDimension: z.exactOptional(number),
  }),
]);

const measureNames = Object.keys(MEASURES) as [MeasureName, ...MeasureName[]];

const distances = z.array(
  z.object({
    measure: z.enum(measureNames),
    value: number,
    samples: z.int(),
    real: z.int(),
    note: z.exactOptional(z.string()),
  }),
);

/** What is kept of a model that was trained and measured; pictures are files of the folder. */
const modelResult = z.object({
  name: z.string(),
  likelihood: z.exactOptional(likelihood),
  likelihoodDetail: z.exactOptional(z.string()),
  distances,
  trainingSeconds: z.number(),
  steps: z.int(),
  weightsStep: z.int(),
  sampling: z.exactOptional(z.object({ seconds: z.number(), warm: z.boolean() })),
  parameters: z.int(),
  /** Of its samples. */
  picture: z.exactOptional(z.string()),
  /** Of its density. */
  density: z.exactOptional(z.string()),
});

export type ModelResult = z.output<typeof modelResult>;

/** What is kept of the data itself. */
const controlResult = z.object({
  fingerprint: z.string(),
  seed: z.int(),
  /** Mean log-density of the held-out samples under the distribution they come from. */
  trueLogDensity: z.exactOptional(number),
  /** Of training samples to held-out ones. */
  distances,
  picture: z.exactOptional(z.string()),
  density: z.exactOptional(z.string()),
  /** The density at the end of the color scale of pictures of densities. */
  top: z.exactOptional(z.number()),
});

export type ControlResult = z.output<typeof controlResult>;

const REQUEST = "compare.json";
const CONTROL = "data.json";
const PARTS = ["runs", "results", "pictures"] as const;
const PAGES = ["leaderboard.html", "leaderboard.md", "leaderboard.csv", "leaderboard.json"] as const;

/**
 * The folder of a comparison:
 *
 *     compare.json  leaderboard.{html,md,csv,json}  data.json  runs/NAME/  results/NAME.json  pictures/*.png
 *
 * `runs` holds a run folder for each model, `results` what was measured of each, `data.json` what was measured of the
 * data. Every file is written under a temporary
 * name and renamed, so that a comparison that is killed goes on from what is there.
 */
export class CompareFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The path of a file in the folder. */
  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /** The run folder of a model. */
  run(name: string): string {
    return this.file("runs", name);
  }

  /**
   * Makes the folder, or opens one that an earlier comparison has made.
   * @param fresh takes away what the earlier one has left
   * @throws FileError where it holds anything else: nothing is overwritten
   */
  async open(request: unknown, fresh: boolean): Promise<void> {
    const names = await readdir(this.path).catch((cause: unknown): string[] => {
      if (isMissing(cause)) return [];
      throw fileError(cause, "list", this.path);
    });
    if (names.length > 0 && !names.includes(REQUEST)) {
      throw new FileError(
        `${this.path} is not empty and holds no comparison; choose another folder with --out`,
      );
    }
    if (fresh) {
      for (const name of [...PARTS, ...PAGES, CONTROL]) {
        await rm(this.file(name), { recursive: true, force: true });
      }
    }
    for (const part of PARTS) {
      await makeFolder(this.file(part)).catch((cause) => {
        throw fileError(cause, "make the folder", this.file(part));
      });
    }
    await this.removeTemporaries();
    await writeFileAtomic(this.file(REQUEST), `${JSON.stringify(request, null, 2)}\n`);
  }

  /** Removes what a killed process has left of files that it was writing; run folders see to their own. */
  private async removeTemporaries(): Promise<void> {
    for (const folder of [this.path, this.file("results"), this.file("pictures")]) {
      for (const name of await readdir(folder)) {
        if (isTemporary(name)) await rm(join(folder, name), { force: true });
      }
    }
  }

  /** What was measured of a model; undefined where nothing readable is there. */
  readResult(name: string): Promise<ModelResult | undefined> {
    return this.read(this.file("results", `${name}.json`), modelResult);
  }

  writeResult(result: ModelResult): Promise<void> {
    return this.write(this.file("results", `${result.name}.json`), result);
  }

  /** What was measured of the data itself. */
  readControl(): Promise<ControlResult | undefined> {
    return this.read(this.file(CONTROL), controlResult);
  }

  writeControl(result: ControlResult): Promise<void> {
    return this.write(this.file(CONTROL), result);
  }

  private async read<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S> | undefined> {
    let text: string;
    try {
      text = new TextDecoder().decode(await readRegularFile(path, FILE_KINDS.text));
    } catch (cause) {
      if (cause instanceof UnreadFileError && cause.reason === "missing") return undefined;
      throw cause;
    }
    try {
      return schema.parse(JSON.parse(text));
    } catch {
      // Of another version, or damaged: it is measured again.
      return undefined;
    }
  }

  private write(path: string, value: unknown): Promise<void> {
    const text = JSON.stringify(value, (_, held) => (isLost(held) ? String(held) : held), 2);
    return writeFileAtomic(path, `${text}\n`);
  }
}

/** A number that JSON would make null. */
function isLost(value: unknown): boolean {
  return typeof value === "number" && !Number.isFinite(value);
}
