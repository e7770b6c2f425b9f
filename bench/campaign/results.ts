import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { copyFolder, FAULTS, type Fault, type FaultName, type Report } from "./kind.ts";

/** Of like faults no more than so many are kept with their folders. */
const KEPT = 3;

/** A row of the table. */
export interface Row {
  readonly name: string;
  readonly things: Map<string, number>;
  readonly faults: Map<FaultName, number>;
  readonly notes: Set<string>;
  seconds: number;
}

/** All that a campaign has counted, and the folder in which faults are kept. */
export class Results {
  readonly rows = new Map<string, Row>();
  /** The folder of kept faults; it is made with the first. */
  readonly kept: string;
  private readonly like = new Map<string, number>();
  private number = 0;

  constructor(kept: string) {
    this.kept = kept;
  }

  row(name: string): Row {
    const held = this.rows.get(name);
    if (held !== undefined) return held;
    const row: Row = { name, things: new Map(), faults: new Map(), notes: new Set(), seconds: 0 };
    this.rows.set(name, row);
    return row;
  }

  /** The report of a kind. */
  reportOf(kind: string, folder: string, progress: (line: string) => void): Report {
    return {
      folder,
      progress,
      count: (name, unit, things = 1, seconds = 0) => {
        const row = this.row(name);
        row.things.set(unit, (row.things.get(unit) ?? 0) + things);
        row.seconds += seconds;
      },
      note: (name, remark) => {
        this.row(name).notes.add(remark);
      },
      fault: async (name, fault) => this.keep(kind, name, fault),
    };
  }

  private keep(kind: string, name: string, { fault, message, details, folder }: Fault): void {
    const { faults } = this.row(name);
    faults.set(fault, (faults.get(fault) ?? 0) + 1);
    const likeness = `${name} ${fault} ${message.replaceAll(/[\d'"]+|\/\S+/g, "")}`;
    const times = (this.like.get(likeness) ?? 0) + 1;
    this.like.set(likeness, times);
    if (times > KEPT) return;
    const place = join(this.kept, `${String(++this.number).padStart(3, "0")}-${fault}`);
    mkdirSync(place, { recursive: true });
    writeFileSync(
      join(place, "fault.json"),
      `${JSON.stringify({ kind, row: name, fault, message, details }, null, 2)}\n`,
    );
    if (folder !== undefined && folder !== "") copyFolder(folder, join(place, "input"));
    process.stderr.write(`\n${fault}: ${name}: ${message.slice(0, 300)}\n  kept in ${place}\n`);
  }

  /** How many faults there are in all. */
  get faults(): number {
    return [...this.rows.values()]
      .flatMap(({ faults }) => [...faults.values()])
      .reduce((sum, count) => sum + count, 0);
  }
}

/** What a row counted: "1200 inputs". */
export function thingsOf({ things }: Row): string {
  return [...things]
    .map(([unit, count]) => `${count} ${count === 1 ? unit.replace(/s$/, "") : unit}`)
    .join(", ");
}

/** One line of result. */
export function lineOfRow(row: Row, seed: number): string {
  const faults = Object.keys(FAULTS).flatMap((name) => {
    const count = row.faults.get(name as FaultName) ?? 0;
    return count === 0 ? [] : [`${count} ${name}`];
  });
  const notes = row.notes.size === 0 ? "" : ` (${[...row.notes].join("; ")})`;
  return `${row.name}: ${thingsOf(row)}, ${faults.length === 0 ? "no fault" : faults.join(", ")}, ${row.seconds.toFixed(0)} s, seed ${seed}${notes}`;
}

/** The table as Markdown, with a row of sums. */
export function tableOf(rows: readonly Row[]): string {
  const names = Object.keys(FAULTS) as FaultName[];
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  const sum = {
    name: "**all**",
    things: new Map<string, number>(),
    faults: new Map<FaultName, number>(),
    notes: new Set<string>(),
    seconds: 0,
  };
  for (const { things, faults, seconds } of rows) {
    for (const [unit, count] of things) sum.things.set(unit, (sum.things.get(unit) ?? 0) + count);
    for (const [name, count] of faults) sum.faults.set(name, (sum.faults.get(name) ?? 0) + count);
    sum.seconds += seconds;
  }
  return [
    line(["what", "tried", ...names, "seconds", "remarks"]),
    `|---|---|${names.map(() => "---:|").join("")}---:|---|`,
    ...[...rows, sum].map((row) =>
      line([
        row.name,
        thingsOf(row),
        ...names.map((name) => row.faults.get(name) ?? 0),
        row.seconds.toFixed(0),
        [...row.notes].join("; ").replaceAll("|", "\\|"),
      ]),
    ),
  ].join("\n");
}
