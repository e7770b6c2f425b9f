import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Random } from "../../src/random.ts";
import { disk } from "./fits/disk.ts";
import { growth } from "./fits/growth.ts";
import { kills } from "./fits/kills.ts";
import { together } from "./fits/together.ts";
import { Budget, FAULTS, type Kind } from "./kind.ts";
import { readers } from "./readers/readers.ts";
import { lineOfRow, Results, tableOf } from "./results.ts";

// Tries to make eidos lose, mix or leak something, for so many minutes: `npm run campaign -- --minutes 20 --seed 7`.
// Each kind is a file; a line of result for each row, and code 1 where there was any fault. What led to a fault is kept.

const KINDS: readonly Kind[] = [readers, kills, together, disk, growth];

const { values: flags } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    seed: { type: "string" },
    only: { type: "string" },
    out: { type: "string" },
    write: { type: "boolean", default: false },
    replay: { type: "string" },
  },
});

function refuse(message: string): never {
  process.stderr.write(`campaign: ${message}\n`);
  process.exit(1);
}

const minutes = Number(flags.minutes);
if (!(minutes > 0)) refuse("--minutes wants a positive number");
const seed = flags.seed === undefined ? Date.now() % 1_000_000 : Number(flags.seed);
if (!Number.isSafeInteger(seed) || seed < 0) refuse("--seed wants a whole number from 0 on");
const wanted = flags.only?.split(",");
const unknown = wanted?.find((name) => !KINDS.some((kind) => kind.name === name));
if (unknown !== undefined)
  refuse(`there is no kind ${unknown}; there are ${KINDS.map(({ name }) => name).join(", ")}`);
const kinds = KINDS.filter(({ name }) => wanted?.includes(name) ?? true);
if (flags.write && wanted !== undefined) refuse("--write is for a campaign of all kinds; leave --only out");

const begun = performance.now();
const results = new Results(
  resolve("runs", "campaign", `seed-${seed}-${new Date().toISOString().replaceAll(/\W/g, "-")}`),
);

/** Shows where the campaign is: one changing line on a terminal, a line every 20 seconds elsewhere. */
let shownAt = 0;
function show(kind: string, line: string, left: number): void {
  const text = `${kind}: ${line}; ${Math.max(0, left).toFixed(0)} s left`;
  if (process.stderr.isTTY)
    process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 120) - 1)}`);
  else if (performance.now() - shownAt > 20_000) {
    shownAt = performance.now();
    process.stderr.write(`${text}\n`);
  }
}

/** A fresh folder for a kind, which goes at its end. */
async function within(kind: string, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), `eidos-campaign-${kind}-`));
  try {
    await work(folder);
  } finally {
    // What still writes is ending: a moment later the folder can go.
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

if (flags.replay !== undefined) {
  const file = existsSync(join(flags.replay, "fault.json")) ? join(flags.replay, "fault.json") : flags.replay;
  const fault = JSON.parse(await readFile(file, "utf8"));
  const kind =
    KINDS.find(({ name }) => name === fault.kind) ?? refuse(`${file}: there is no kind ${fault.kind}`);
  await within(kind.name, (folder) => {
    const report = results.reportOf(kind.name, folder, () => undefined);
    return kind.replay(fault.details, resolve(dirname(file), "input"), report);
  });
} else {
  let shares = kinds.reduce((sum, { share }) => sum + share, 0);
  for (const kind of kinds) {
    // What a kind leaves of its time is for those after it.
    const left = 60 * minutes - (performance.now() - begun) / 1000;
    const budget = new Budget((left * kind.share) / shares);
    shares -= kind.share;
    await within(kind.name, (folder) =>
      kind.run(
        budget,
        new Random(seed).split(kind.name),
        results.reportOf(kind.name, folder, (line) => show(kind.name, line, budget.left)),
      ),
    );
  }
}

if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
const rows = [...results.rows.values()];
for (const row of rows) process.stdout.write(`${lineOfRow(row, seed)}\n`);
const took = (performance.now() - begun) / 60_000;
process.stdout.write(
  `${results.faults} faults in ${took.toFixed(1)} minutes, seed ${seed}${results.faults === 0 ? "" : `; kept in ${results.kept}`}\n`,
);

const page = (): string =>
  [
    "# Reliability",
    "",
    `Made by \`npm run campaign -- --minutes ${minutes} --seed ${seed} ${wanted === undefined ? "--write" : `--only ${wanted.join()}`}\` on ${new Date().toISOString().slice(0, 10)}, in ${took.toFixed(1)} minutes; ${availableParallelism()} cores, ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}. [What it does](README.md#reliability).`,
    "",
    tableOf(rows),
    "",
    ...Object.entries(FAULTS).map(([name, meaning]) => `- **${name}**: ${meaning}`),
    "",
  ].join("\n");
if (flags.out !== undefined) await writeFile(flags.out, page());
if (flags.write) await writeFile(new URL("../RELIABILITY.md", import.meta.url), page());
process.exitCode = results.faults === 0 ? 0 : 1;
