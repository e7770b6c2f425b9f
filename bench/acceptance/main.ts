import { rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { type Evaluation, evaluateRun, fit, openRun } from "../src/index.ts";

// Fits the models on the data that README and docs quote, measures each on its test split, and writes the table
// bench/ACCEPTANCE.md. Run with `npm run acceptance`; --only NAME,… picks runs, --scale 0.1 shortens all of them.

interface AcceptanceRun {
  readonly name: string;
  readonly model: string;
  readonly data: string;
  readonly seconds: number;
  readonly options?: Readonly<Record<string, unknown>>;
}

const RUNS: readonly AcceptanceRun[] = [
  { name: "rectified-flow-digits", model: "rectified-flow", data: "digits", seconds: 120 },
  { name: "nice-digits", model: "nice", data: "digits", seconds: 120 },
  { name: "rectified-flow-checkerboard", model: "rectified-flow", data: "checkerboard", seconds: 60 },
  { name: "nice-two-moons", model: "nice", data: "two-moons", seconds: 60 },
  {
    name: "rectified-flow-wine-red",
    model: "rectified-flow",
    data: "../shared/data/tables/wine-red.csv",
    seconds: 60,
    options: { label: "quality" },
  },
];

const { values: flags } = parseArgs({
  options: { only: { type: "string" }, scale: { type: "string", default: "1" }, write: { type: "string" } },
});
const wanted = flags.only?.split(",");
const scale = Number(flags.scale);

function row(run: AcceptanceRun, evaluation: Evaluation): string {
  const { split, seed, parameters, steps, seconds, results } = evaluation;
  const numbers = results.map(
    ({ name, value, unit }) => `${name} ${value.toPrecision(4)}${unit ? ` ${unit}` : ""}`,
  );
  const cells = [run.model, run.data, split, seed, parameters, steps, seconds.toFixed(0), numbers.join("; ")];
  return `| ${cells.join(" | ")} |`;
}

const rows: string[] = [];
for (const run of RUNS) {
  if (wanted !== undefined && !wanted.includes(run.name)) continue;
  const out = `runs/acceptance/${run.name}`;
  await rm(out, { recursive: true, force: true });
  process.stderr.write(`${run.name}: ${run.seconds * scale} seconds\n`);
  await fit({ model: run.model, data: run.data, seconds: run.seconds * scale, seed: 0, out, ...run.options });
  const opened = await openRun(out);
  rows.push(row(run, await evaluateRun(opened, { split: "test" })));
  await opened.session.release();
  process.stderr.write(`${rows.at(-1)}\n`);
}

const machine = `${availableParallelism()} cores, ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}`;
const page = `# Acceptance runs

Made by \`npm run acceptance\` on ${new Date().toISOString().slice(0, 10)}; ${machine}. Weights are chosen by the
validation split, numbers are of the test split. The pictures are in \`runs/acceptance/*/samples\`.

| model | data | split | seed | parameters | steps | seconds | results |
|---|---|---|---|---|---|---|---|
${rows.join("\n")}
`;
await writeFile(flags.write ?? "bench/ACCEPTANCE.md", page);
