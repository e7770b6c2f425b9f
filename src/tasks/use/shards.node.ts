import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { z } from "zod";
import {
  FILE_KINDS,
  fileError,
  isMissing,
  makeFolder,
  readRegularFile,
  UnreadFileError,
  writeFileAtomic,
} from "../../data/files/files.node.ts";
import { checkShard, MOST_SHARDS, partName, type Shard } from "../../data/sources/shard.ts";
import { DataError } from "../../errors.ts";

// The folder of the parts that shards write. A part stands under its name only when it is whole, so that a shard that is done again leaves it as it is;
// a file beside them names the work that they belong to, so that parts of other work are never among them.

/** The file that names the work. Readers of folders of tables pass over names that begin so. */
const RECORD = "_shards.json";

/** What the parts of a folder are of. */
export const shardRecord = z.strictObject({
  kind: z.enum(["table", "array", "detections"]),
  /** How many parts there are. */
  count: z.int().min(1).max(MOST_SHARDS),
  /** Extension of the parts. */
  extension: z.enum([".csv", ".parquet", ".npy", ".json"]),
  /** What the work is: command, run, weights, data and options. */
  work: z.record(z.string(), z.unknown()),
});

export type ShardRecord = z.output<typeof shardRecord>;

/** The folder into which the shards of some work write. */
export class ShardFolder {
  readonly path: string;
  readonly record: ShardRecord;

  constructor(path: string, record: ShardRecord) {
    this.path = path;
    // As it will be read: without what is undefined.
    this.record = shardRecord.parse(JSON.parse(JSON.stringify(record)));
  }

  /** A folder that shards have written into. @throws DataError where it is none; FileError */
  static async open(path: string): Promise<ShardFolder> {
    const record = await readRecord(path);
    if (record !== undefined) return new ShardFolder(path, record);
    throw new DataError(`${path}: no folder of parts, it has no ${RECORD}; give one that --shard wrote into`);
  }

  /** The path of a part, whether it is there or not. */
  part(index: number): string {
    const { count, extension } = this.record;
    return join(this.path, partName(checkShard({ index, count }), extension));
  }

  /** The files of a part: of an array, the names of its rows stand beside it. */
  private filesOf(index: number): readonly string[] {
    const path = this.part(index);
    return this.record.kind === "array" && this.record.work.command === "embed"
      ? [path, rowsBeside(path)]
      : [path];
  }

  /** Whether a part is there, and so is whole. */
  async has(index: number): Promise<boolean> {
    for (const path of this.filesOf(index)) {
      const held = await stat(path).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw fileError(error, "read", path);
      });
      if (held?.isFile() !== true) return false;
    }
    return true;
  }

  /**
   * Makes the folder, or finds that it is of the same work.
   * @throws DataError where it has parts of other work, or of another number of shards; FileError
   */
  async begin(): Promise<void> {
    await makeFolder(this.path).catch((error: unknown) => {
      throw fileError(error, "make the folder", this.path);
    });
    if ((await readRecord(this.path)) === undefined) {
      await writeFileAtomic(join(this.path, RECORD), `${JSON.stringify(this.record, null, 1)}\n`);
    }
    await this.check();
  }

  /** @throws DataError where another command has taken the folder */
  async check(): Promise<void> {
    const held = await readRecord(this.path);
    if (held === undefined) throw new DataError(`${this.path}: its ${RECORD} is gone; delete the folder`);
    if (held.count !== this.record.count) {
      throw new DataError(
        `${this.path}: has parts of ${held.count} shards, not of ${this.record.count}; give as many, or write into another folder`,
      );
    }
    const different = differences(held, this.record);
    if (different.length === 0) return;
    throw new DataError(
      `${this.path}: has parts of other work, which differs in ${different.join(", ")}; write into another folder, or delete it`,
    );
  }

  /** Numbers of the parts that are not there. */
  async missing(): Promise<readonly number[]> {
    const lost: number[] = [];
    for (let index = 0; index < this.record.count; index++) if (!(await this.has(index))) lost.push(index);
    return lost;
  }

  /**
   * Does the work of a shard, unless it is done.
   * @param write makes the part under the path it is given, whole or not at all
   * @returns what `write` does; undefined where the part was there already
   */
  async complete<T>(
    { index }: Pick<Shard, "index">,
    write: (path: string) => Promise<T>,
  ): Promise<T | undefined> {
    await this.begin();
    if (await this.has(index)) return undefined;
    const made = await write(this.part(index));
    await this.check();
    return made;
  }
}

/** The file with the names of the rows of an array. */
export function rowsBeside(path: string): string {
  return `${path.slice(0, -extname(path).length)}.rows.csv`;
}

async function readRecord(folder: string): Promise<ShardRecord | undefined> {
  const path = join(folder, RECORD);
  let text: string;
  try {
    text = new TextDecoder().decode(await readRegularFile(path, FILE_KINDS.text));
  } catch (error) {
    if (error instanceof UnreadFileError && error.reason === "missing") return undefined;
    throw error;
  }
  try {
    return shardRecord.parse(JSON.parse(text));
  } catch {
    throw new DataError(`${path}: is damaged, or none of eidos; delete the folder, or give another`);
  }
}

/** Names of what differs between two records. */
function differences(a: ShardRecord, b: ShardRecord): readonly string[] {
  const flat = ({ work, ...rest }: ShardRecord): Readonly<Record<string, unknown>> => ({ ...rest, ...work });
  const [one, other] = [flat(a), flat(b)];
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}
