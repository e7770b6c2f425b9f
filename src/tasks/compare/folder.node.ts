import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { refuseLinksOut } from "../../data/files/data-folder.node.ts";
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

/** A file in `pictures`, as it is called here; what leads elsewhere is not of a comparison. */
const pictureName = z.string().regex(/^(data\/)?\w[\w.-]*\.(png|svg)$/);

const distances = z.array(
  z.object({
    measure: z.enum(measureNames),
    value: number,
    samples: z.int(),
    real: z.int(),
    note: z.exactOptional(z.string()),
  }),
);

/** Of the features of a run that distances were measured in, where one was given. */
const fingerprint = z.exactOptional(z.string());

/** What is kept of a model that was trained and measured; pictures are files of the folder. */
const modelResult = z.object({
  name: z.string(),
  likelihood: z.exactOptional(likelihood),
  likelihoodDetail: z.exactOptional(z.string()),
  distances,
  features: fingerprint,
  trainingSeconds: z.number(),
  steps: z.int(),
  weightsStep: z.int(),
  sampling: z.exactOptional(z.object({ seconds: z.number(), warm: z.boolean() })),
  parameters: z.int(),
  /** Of its samples. */
  picture: z.exactOptional(pictureName),
  /** Of its density. */
  density: z.exactOptional(pictureName),
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
  features: fingerprint,
  picture: z.exactOptional(pictureName),
  density: z.exactOptional(pictureName),
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
   * Looks at what is there before anything of it is read.
   * @throws FileError naming a link that leads out of the folder
   */
  check(): Promise<void> {
    return refuseLinksOut(this.path, PARTS, "comparison");
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
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        const isLeft = isTemporary(entry.name) && !entry.isDirectory();
        if (isLeft) await rm(join(folder, entry.name), { force: true });
      }
    }
  }

  /** What was measured of a model; undefined where nothing readable is there. */
  async readResult(name: string): Promise<ModelResult | undefined> {
    const result = await this.read(this.file("results", `${name}.json`), modelResult);
    return result?.name === name ? result : undefined;
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
