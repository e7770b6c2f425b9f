import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { version } from "../src/version.ts";
import { avx2Environment } from "./avx2.ts";
import { buildTimes } from "./build-times.ts";
import { Contender, type ContenderCommand } from "./contender.ts";
import { writeYoloWeights } from "./detection-works.ts";
import { writeDdpmWeights } from "./diffusion-works.ts";
import { unetShape } from "./eidos-works.ts";
import { GLOW_SHAPE } from "./flow-works.ts";
import { freshRun, measure, type WorkResults } from "./measure.ts";
import { operationShares } from "./profile.ts";
import { writeFasterRcnnWeights } from "./region-works.ts";
import { bestRatio, failures, milliseconds, shareTable, table, timeTable } from "./report.ts";
import { writeSuppressionBoxes } from "./suppression-works.ts";
import { WORKS } from "./works.ts";

// The bench: the same work by eidos and by its peers, side by side. See README.md beside this file.

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    peers: { type: "string" },
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    minutes: { type: "string" },
    compile: { type: "boolean", default: false },
    /** AVX2 alone, where the machine has AVX-512. */
    avx2: { type: "boolean", default: false },
    threads: { type: "string" },
    out: { type: "string" },
  },
});
const wanted = options.only?.split(",");
const works = WORKS.filter(({ name }) => wanted === undefined || wanted.some((part) => name.includes(part)));
if (works.length === 0) {
  console.error(
    `--only: no work has a name like ${options.only}; there are ${WORKS.map(({ name }) => name).join(", ")}`,
  );
  process.exit(1);
}
const threads = Number(options.threads ?? Math.min(2, availableParallelism()));
const roundsOf = (rounds: number): number =>
  options.rounds !== undefined ? Number(options.rounds) : options.quick ? Math.min(3, rounds) : rounds;
const minutes = options.minutes === undefined ? Number.POSITIVE_INFINITY : Number(options.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes: ${options.minutes} is not a positive number`);
  process.exit(1);
}
const begun = performance.now();
/** Seconds that are left, when so many works are still to be done, for the next of them. */
const shareOf = (left: number): number =>
  Math.max(0, (60 * minutes - (performance.now() - begun) / 1000) / left);

const place = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const node = (name: string, file: string, ...rest: string[]): ContenderCommand => ({
  name,
  command: process.execPath,
  arguments: ["--import", "tsx", place(file), ...rest],
});

const ONE = "eidos";
const REPLICAS = "eidos, replicas";
const TORCH = "PyTorch";
const COMPILED = "PyTorch, compiled";
const FLOW_LIBRARIES = "zuko, nflows";
const eidos = node(ONE, "eidos.ts", "--threads", String(threads));
const python = (name: string, file: string, ...rest: string[]): ContenderCommand => ({
  name,
  command: process.env.EIDOS_PYTHON ?? "python3",
  arguments: [place(`peers/${file}`), "--threads", String(threads), ...rest],
  // Threads that wait awake would slow down whoever has the next turn, and count as work.
  environment: { OMP_WAIT_POLICY: "passive", GOMP_SPINCOUNT: "0" },
});
const commands: readonly ContenderCommand[] = [
  eidos,
  ...(threads > 1 ? [node(REPLICAS, "eidos.ts", "--replicas", String(threads))] : []),
  python(TORCH, "torch_peer.py"),
  ...(options.compile ? [python(COMPILED, "torch_peer.py", "--compile")] : []),
  python(FLOW_LIBRARIES, "flow_peer.py"),
  node("jax-js", "peers/jax.mjs"),
  node("TensorFlow.js", "peers/tfjs.mjs"),
];

// Peers build the networks that eidos builds.
process.env.EIDOS_BENCH_UNET = JSON.stringify(unetShape());
process.env.EIDOS_BENCH_GLOW = JSON.stringify(GLOW_SHAPE);
const folder = await mkdtemp(join(tmpdir(), "eidos-bench-"));
if (options.avx2) Object.assign(process.env, await avx2Environment(folder));
process.env.EIDOS_BENCH_DDPM = join(folder, "ddpm.safetensors");
process.env.EIDOS_BENCH_YOLO = join(folder, "yolo.safetensors");
process.env.EIDOS_BENCH_FASTER_RCNN = join(folder, "faster-rcnn.safetensors");
process.env.EIDOS_BENCH_SUPPRESSION = join(folder, "suppression.safetensors");
if (works.some(({ name }) => name === "ddim-50")) await writeDdpmWeights(process.env.EIDOS_BENCH_DDPM);
if (works.some(({ name }) => name.startsWith("yolo"))) await writeYoloWeights(process.env.EIDOS_BENCH_YOLO);
if (works.some(({ name }) => name.startsWith("faster-rcnn"))) {
  await writeFasterRcnnWeights(process.env.EIDOS_BENCH_FASTER_RCNN);
}
if (works.some(({ name }) => name.startsWith("suppression"))) {
  await writeSuppressionBoxes(process.env.EIDOS_BENCH_SUPPRESSION);
}

const peers = options.peers?.toLowerCase().split(",");
const contenders: Contender[] = [];
const notes: string[] = [];
for (const command of commands) {
  const ours = command.name === ONE || command.name === REPLICAS;
  if (!ours && peers !== undefined && !peers.some((part) => command.name.toLowerCase().includes(part)))
    continue;
  try {
    contenders.push(await Contender.start(command));
  } catch (error) {
    // Without the folder of this machine that Node names with a module that is missing.
    const reason = (error instanceof Error ? error.message : String(error)).replace(
      / imported from \S+$/,
      "",
    );
    notes.push(`${command.name} was left out: ${reason}`);
    console.log(notes.at(-1));
  }
}

const versions = contenders
  .filter(({ name }) => name !== REPLICAS && name !== COMPILED)
  .map((contender) => `${contender.name} ${contender.version}`);
const present = new Set(contenders.map(({ name }) => name));
const ours = [ONE, REPLICAS].filter((name) => present.has(name));
const load = loadavg()[2]?.toFixed(1);
const all: WorkResults[] = [];
const profiles: string[] = [];
const others: string[] = [];

/** The report of what has been measured so far. */
function report(): string {
  const frozen = shareTable(all, "resnet-step", "resnet-frozen-step");
  const disturbed = all.filter(({ disturbed: share }) => share >= 0.1);
  const left = works.length - all.length;
  return [
    "# Bench",
    `${new Date().toISOString().slice(0, 10)}, eidos ${version}, Node ${process.version}, ${process.platform} ${process.arch}, ` +
      `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown processor"}, load before ${load}. ` +
      `${options.avx2 ? "AVX2 without AVX-512, by --avx2. " : ""}${threads} threads each; “${REPLICAS}”: ${threads} replicas of one thread. ${versions.slice(1).join(", ")}. float32. ` +
      "Medians over rounds, taken in turns, of so many repetitions; a speed is the median over rounds of the other's time divided by ours, so above 1× eidos is faster. " +
      "Processor time is what all threads computed.",
    ...(left > 0 ? [`The bench has not come to its end: ${left} works are missing.`] : []),
    ...notes,
    ...failures(all),
    ...disturbed.map(
      ({ work, disturbed: share }) =>
        `Other programs were busy in ${(100 * share).toFixed(0)} % of the rounds of “${work.title}”: its numbers are not to be trusted.`,
    ),
    timeTable(all, [...present], ours),
    ...(frozen === undefined ? [] : [frozen]),
    ...others,
    ...profiles,
    "",
  ].join("\n\n");
}

const partial = wanted !== undefined || peers !== undefined || options.minutes !== undefined || options.quick;
const file = options.out ?? (partial ? undefined : place("RESULTS.md"));

/** What was measured so far is not lost where a section fails. */
async function section(to: string[], make: () => Promise<string>): Promise<void> {
  try {
    to.push(await make());
  } catch (error) {
    to.push(`Not measured: ${error instanceof Error ? error.message : error}`);
  }
}

for (const [i, work] of works.entries()) {
  console.log(`${work.title}, ${work.batch} samples …`);
  const seconds = shareOf(works.length - i);
  const result = await measure(work, contenders, { rounds: roundsOf(work.rounds), seconds });
  all.push(result);
  const ratio = bestRatio(result, ours, TORCH) ?? bestRatio(result, ours, FLOW_LIBRARIES);
  if (ratio !== undefined && ratio < 1) await section(profiles, () => shares(result, ratio));
  console.log(`${timeTable([result], [...present], ours)}\n`);
  if (file !== undefined) await writeFile(file, report());
}
for (const contender of contenders) await contender.stop();
await rm(folder, { recursive: true });

const has = (work: string): boolean => works.some(({ name }) => name === work);
if (wanted === undefined) await section(others, () => buildTimes(threads));
if (has("unet-step")) await section(others, memoryOfTraining);
if (has("mlp-step")) await section(others, growth);

console.log(`\n${report()}`);
if (file === undefined) {
  console.log(
    "RESULTS.md is left as it is, since this was not the whole bench (--out FILE writes it anyway).",
  );
} else {
  await writeFile(file, report());
}
console.log(`${((performance.now() - begun) / 1000).toFixed(0)} s`);

/** Creation time and peak memory of training the U-Net, each contender in a process of its own. */
async function memoryOfTraining(): Promise<string> {
  const steps = options.quick ? 5 : 20;
  const rows = [["training the U-Net, a fresh process", "peak memory, MB", "building the step, s"]];
  const measured = commands.filter(
    ({ name }) => (name === ONE || name === REPLICAS || name === TORCH) && present.has(name),
  );
  for (const command of measured) {
    const { seconds, after } = await freshRun(command, "unet-step", 2, steps);
    // Eager PyTorch compiles nothing.
    rows.push([
      command.name,
      (after.peak / 1e6).toFixed(0),
      command.name === TORCH ? "" : seconds.toFixed(2),
    ]);
  }
  return table(rows);
}

/** Memory of eidos before and after a thousand steps. */
async function growth(): Promise<string> {
  const steps = options.quick ? 200 : 1000;
  const { before, after } = await freshRun(eidos, "mlp-step", 500, steps);
  const mega = (bytes: number): string => (bytes / 1e6).toFixed(1);
  return table([
    ["memory of training the MLP", "before, MB", `after ${steps} more steps, MB`],
    [ONE, mega(before.now), mega(after.now)],
  ]);
}

/** Where eidos spends its time in a work at which it falls short. */
async function shares({ work }: WorkResults, ratio: number): Promise<string> {
  const kinds = (await operationShares(work.name, work.name === "mlp-step" ? 200 : 10)).slice(0, 12);
  const rows = kinds.map(({ operation, nodes, milliseconds: time, share }) => [
    operation,
    String(nodes),
    milliseconds(time),
    `${(100 * share).toFixed(1)} %`,
  ]);
  const title = `${work.title} (${ratio.toFixed(2)}× ${TORCH}): where the time goes, one thread`;
  return table([[title, "nodes", "ms", "share"], ...rows]);
}
