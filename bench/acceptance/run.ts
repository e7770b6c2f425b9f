import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { type Evaluation, openRun, type Run } from "../../src/index.ts";
import { startFit } from "../../src/tasks/fit/fit.node.ts";

/** One model fitted to one data set. */
export interface Fitted {
  /** Also the name of the run folder. */
  readonly name: string;
  readonly model: string;
  readonly data: string;
  readonly seconds: number;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** A row of a table of results: cells by column. */
export type Row = Readonly<Record<string, string>>;

/** A row to be made, or several of one fit: a name to pick them by, and the work that measures them. */
export interface Entry {
  readonly name: string;
  readonly section: string;
  readonly measure: () => Promise<Row | readonly Row[]>;
}

/** A page of results. */
export interface Suite {
  readonly file: string;
  readonly title: string;
  readonly command: string;
  readonly introduction: string;
  readonly entries: readonly Entry[];
}

/** By how much all fits are shortened, for trying. */
export const scale = { value: 1 };

/** Fits afresh with seed 0 and hands the opened run to `measure`. */
export async function fitted<T>(run: Fitted, measure: (opened: Run) => Promise<T>): Promise<T> {
  const out = `runs/acceptance/${run.name}`;
  await rm(out, { recursive: true, force: true });
  const seconds = run.seconds * scale.value;
  process.stderr.write(`${run.name}: ${seconds} seconds\n`);
  await startFit({ model: run.model, data: run.data, seconds, seed: 0, out, ...run.options });
  const opened = await openRun(out);
  try {
    return await measure(opened);
  } finally {
    await opened.release();
  }
}

/** A number of an evaluation by its name. */
export function resultOf({ results }: Evaluation, name: string): number {
  return results.find((result) => result.name === name)?.value ?? Number.NaN;
}

/** What every row tells of its run. */
export function conditions({ split, seed, parameters, steps, seconds }: Evaluation): Row {
  return {
    split,
    seed: String(seed),
    parameters: String(parameters),
    steps: String(steps),
    seconds: seconds.toFixed(0),
  };
}

/** The test split of a run, measured. */
export function testOf(run: Run): Promise<Evaluation> {
  return run.evaluate({ split: "test" });
}

function table(rows: readonly Row[]): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(columns),
    `|${columns.map(() => "---|").join("")}`,
    ...rows.map((row) => line(columns.map((column) => row[column] ?? ""))),
  ].join("\n");
}

/** The rows of an entry, with the day and the machine that they were measured on. */
interface Measured {
  readonly made: string;
  readonly rows: readonly Row[];
}

/** All rows of a suite by the names of their entries, kept beside its page, so that a call for some rows does not lose the others. */
const rowsFile = (page: string): string => page.replace(/\.md$/, ".json");

async function keptRows(page: string): Promise<Readonly<Record<string, Measured>>> {
  const file = rowsFile(page);
  return existsSync(file) ? JSON.parse(await readFile(file, "utf8")) : {};
}

function dayAndMachine(): string {
  const [used, all] = [availableParallelism(), cpus().length];
  const machine = `${used < all ? `${used} of ` : ""}${all} cores, ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}`;
  return `${new Date().toISOString().slice(0, 10)}; ${machine}`;
}

/** Days and machines of rows, with the names of the entries of each but the one that has most of them. */
function occasions(kept: readonly (readonly [name: string, measured: Measured])[]): string {
  const names = new Map<string, string[]>();
  for (const [name, { made }] of kept) names.set(made, [...(names.get(made) ?? []), name]);
  const [most, ...others] = [...names].sort(([, a], [, b]) => b.length - a.length);
  return [
    `on ${most?.[0] ?? "no day"}`,
    ...others.map(([made, entries]) => `${entries.map((name) => `\`${name}\``).join(", ")} on ${made}`),
  ].join(". ");
}

/** Measures the wanted entries of a suite and writes its page from all rows there are. */
export async function runSuite(
  suite: Suite,
  wanted: (name: string) => boolean,
  target = suite.file,
): Promise<void> {
  const begun = performance.now();
  for (const { name, measure } of suite.entries.filter((entry) => wanted(entry.name))) {
    const row = await measure().catch((error: unknown) => {
      // The other rows are hours of work: they are still measured, and the call fails at its end.
      process.stderr.write(
        `${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : error}\n`,
      );
      process.exitCode = 1;
    });
    if (row === undefined) continue;
    const rows = [row].flat();
    for (const each of rows) process.stderr.write(`${Object.values(each).join(" | ")}\n`);
    // Read anew each time: another call may have measured other rows meanwhile.
    const kept = await keptRows(target);
    const measured: Measured = { made: dayAndMachine(), rows };
    await writeFile(rowsFile(target), `${JSON.stringify({ ...kept, [name]: measured }, null, 1)}\n`);
  }
  const minutes = (performance.now() - begun) / 60_000;
  const all = await keptRows(target);
  const kept: (readonly [string, Measured])[] = [];
  const sections = new Map<string, Row[]>();
  for (const { name, section } of suite.entries) {
    const measured = all[name];
    if (measured === undefined) continue;
    kept.push([name, measured]);
    // An entry that draws a picture has none.
    if (measured.rows.length > 0) sections.set(section, [...(sections.get(section) ?? []), ...measured.rows]);
  }
  const page = [
    `# ${suite.title}`,
    "",
    `Made by \`${suite.command}\` ${occasions(kept)}. ${suite.introduction}`,
    ...[...sections].flatMap(([title, rows]) => [
      ...(title === "" ? [] : ["", `## ${title}`]),
      "",
      table(rows),
    ]),
    "",
  ].join("\n");
  await writeFile(target, page);
  process.stderr.write(`${target}: ${minutes.toFixed(1)} minutes\n`);
}
