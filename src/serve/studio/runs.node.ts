import { lstat, readdir, rename } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import {
  FILE_KINDS,
  makeFolder,
  readRegularFile,
  UnreadFileError,
  writeFileAtomic,
} from "../../data/files/files.node.ts";
import { EidosError, FileError, ServiceError } from "../../errors.ts";
import { describeRuns } from "../../tasks/run/describe.node.ts";
import { type MetricRow, RunFolder } from "../../train/run-folder.node.ts";
import {
  type ListedRun,
  type MetricRows,
  type RunDetails,
  type RunNotes,
  type RunPicture,
  runNotes,
} from "./answers.node.ts";

// What the studio shows of the runs in one folder. Nothing outside of it is read or written.

/** A list of runs is read again after so many times what it took: a page asks each second, beside fits that need the time. */
const LISTING_REST = 20;

/** Rows of one answer at most. */
const MOST_ROWS = 5000;

/** Pictures of one run at most: the latest. */
const MOST_PICTURES = 200;

const PICTURES: Readonly<Record<string, string>> = {
  ".png": "image/png",
  ".webp": "image/webp",
  ".jpg": "image/jpeg",
};

const NOTES = "notes.json";
/** Folder beside the runs into which those go that are thrown away. */
const TRASH = ".trash";

const missing = (what: string): ServiceError => new ServiceError(what, { status: 404 });

/** The runs of a folder. */
export class StudioRuns {
  readonly folder: string;
  /** Rows of metrics.csv that were read last, while the file is the same one. */
  private readonly read = new Map<
    string,
    { readonly version: string; readonly rows: readonly MetricRow[] }
  >();

  private listed: { readonly runs: readonly ListedRun[]; readonly until: number } | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** All runs, as they were when they were read last. @throws FileError where the folder cannot be listed */
  async list(): Promise<readonly ListedRun[]> {
    const { listed } = this;
    if (listed !== undefined && performance.now() < listed.until) return listed.runs;
    const begun = performance.now();
    const runs = await this.readList();
    const now = performance.now();
    this.listed = { runs, until: now + LISTING_REST * (now - begun) };
    return runs;
  }

  private async readList(): Promise<readonly ListedRun[]> {
    const runs = await describeRuns(this.folder, true);
    return Promise.all(
      runs.map(async (run) => {
        const name = basename(run.path);
        if ("fault" in run) return { ...run, name, tags: [] };
        try {
          return { ...run, name, tags: (await this.notesIn(new RunFolder(run.path))).tags };
        } catch (error) {
          if (error instanceof EidosError) return { path: run.path, name, tags: [], fault: error.message };
          throw error;
        }
      }),
    );
  }

  /** The folder of a run. @throws ServiceError where there is none of that name */
  async find(name: string): Promise<RunFolder> {
    const none = missing(`there is no run ${name} in ${this.folder}`);
    if (name === "" || name.startsWith(".") || /[/\\\0]/.test(name)) throw none;
    const path = join(this.folder, name);
    const held = await lstat(path).catch(() => undefined);
    if (held?.isDirectory() !== true) throw none;
    const folder = new RunFolder(path);
    if (!(await folder.exists())) throw none;
    return folder;
  }

  /** How a run was made, what is noted of it, and its pictures. */
  async details(name: string): Promise<RunDetails> {
    const folder = await this.find(name);
    const { model, modelOptions, data, dataOptions, fit, created, eidos, dataInfo } =
      await folder.readConfig();
    const { kind, marks, classNames, trainCount } = dataInfo;
    return {
      model,
      data,
      created,
      eidos,
      options: { ...modelOptions, ...dataOptions, ...fit },
      about: { kind, marks, classNames, trainCount },
      notes: await this.notesIn(folder),
      pictures: await this.pictures(folder),
      hasReport: await isFile(folder.file("report.html")),
    };
  }

  /** Rows of metrics.csv from one of them on. */
  async metrics(name: string, from: number): Promise<MetricRows> {
    const folder = await this.find(name);
    const held = await lstat(folder.file("metrics.csv")).catch(() => undefined);
    const version = held === undefined ? "none" : `${held.mtimeMs} ${held.size} ${held.ino}`;
    const known = this.read.get(name);
    const rows = known?.version === version ? known.rows : await folder.readMetrics();
    this.read.delete(name);
    this.read.set(name, { version, rows });
    for (const oldest of this.read.keys()) {
      if (this.read.size <= 16) break;
      this.read.delete(oldest);
    }
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return {
      columns,
      from,
      total: rows.length,
      rows: rows.slice(from, from + MOST_ROWS).map((row) => {
        const cells: Readonly<Record<string, number | undefined>> = row;
        return columns.map((column) => {
          const value = Object.hasOwn(cells, column) ? cells[column] : undefined;
          return value !== undefined && Number.isFinite(value) ? value : null;
        });
      }),
    };
  }

  private async pictures(folder: RunFolder): Promise<readonly RunPicture[]> {
    const entries = await readdir(folder.file("samples"), { withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => entry.isFile() && Object.hasOwn(PICTURES, extname(entry.name)))
      .map(({ name }): RunPicture => {
        const step = /(\d+)\.\w+$/.exec(name)?.[1];
        return { file: name, ...(step !== undefined && { step: Number(step) }) };
      })
      .sort((a, b) => (a.step ?? Number.POSITIVE_INFINITY) - (b.step ?? Number.POSITIVE_INFINITY))
      .slice(-MOST_PICTURES);
  }

  /** The bytes of a picture. @throws ServiceError where there is none of that name */
  async picture(name: string, file: string): Promise<{ readonly type: string; readonly bytes: Uint8Array }> {
    const folder = await this.find(name);
    // What is listed is served, and nothing else.
    const listed = await this.pictures(folder);
    const type = PICTURES[extname(file)];
    if (type === undefined || !listed.some((picture) => picture.file === file)) {
      throw missing(`the run ${name} has no picture ${file}`);
    }
    await folder.readConfig();
    return { type, bytes: await readRegularFile(folder.file("samples", file), FILE_KINDS.image) };
  }

  /** The report, an HTML page. @throws ServiceError where there is none */
  async report(name: string): Promise<Uint8Array> {
    const folder = await this.find(name);
    await folder.readConfig();
    if (!(await isFile(folder.file("report.html")))) throw missing(`the run ${name} has no report yet`);
    return readRegularFile(folder.file("report.html"), FILE_KINDS.annotations);
  }

  /** What is noted of a run. @throws ServiceError where its file of notes is none of the studio */
  private async notesIn(folder: RunFolder): Promise<RunNotes> {
    const file = folder.file(NOTES);
    const foreign = new ServiceError(`${file} holds no notes of the studio; move it away`, { status: 409 });
    let json: unknown;
    try {
      json = JSON.parse(new TextDecoder().decode(await readRegularFile(file, FILE_KINDS.text)));
    } catch (error) {
      if (error instanceof UnreadFileError && error.reason === "missing") return { text: "", tags: [] };
      throw error instanceof SyntaxError ? foreign : error;
    }
    const parsed = runNotes.safeParse(json);
    if (!parsed.success) throw foreign;
    return parsed.data;
  }

  /** Writes notes beside a run. @throws ServiceError where there is no such run, or its file of notes is none of the studio */
  async note(name: string, notes: RunNotes): Promise<void> {
    const folder = await this.find(name);
    await folder.readConfig();
    await this.notesIn(folder);
    await writeFileAtomic(folder.file(NOTES), `${JSON.stringify(notes, null, 2)}\n`);
    this.listed = undefined;
  }

  /**
   * Moves a run into the folder `.trash` beside the runs, from which a person can take it back.
   * @returns where it is now
   * @throws ServiceError where it is being fitted, or there is none
   */
  async discard(name: string): Promise<string> {
    const folder = await this.find(name);
    if ((await folder.fitter()) !== undefined) {
      throw new ServiceError(`the run ${name} is being fitted; stop it first`, { status: 409 });
    }
    const trash = join(this.folder, TRASH);
    await makeFolder(trash);
    if (!(await lstat(trash)).isDirectory()) throw new FileError(`${trash} is no folder; move it away`);
    const place = join(trash, `${name}-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`);
    await rename(folder.path, place);
    this.listed = undefined;
    return place;
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isFile() === true;
}
