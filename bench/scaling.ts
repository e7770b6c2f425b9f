import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { version } from "../src/version.ts";
import {
  compressionFor,
  efficiency,
  exchangeSeconds,
  fitLink,
  type Link,
  localStepsFor,
  ringSeconds,
  type StepWork,
  through,
} from "./scaling-model.ts";

// How training goes on with more ranks: one and two are measured here, the others are predicted by a model that is fitted to what was measured.
//
//     npx tsx bench/scaling.ts --out bench/SCALING.md      # minutes on an idle machine
//     npx tsx bench/scaling.ts --works made-step --seconds 1 --largest 1000000

const { values: options } = parseArgs({
  options: {
    works: { type: "string", default: "made-step,unet-step,yolo-step,resnet50-step" },
    seconds: { type: "string", default: "12" },
    largest: { type: "string", default: "100000000" },
    out: { type: "string" },
  },
});

const TITLES: Readonly<Record<string, string>> = {
  "made-step": "MADE, 784 variables",
  "unet-step": "U-Net for digits, 28×28",
  "yolo-step": "YOLO, 320×320",
  "resnet50-step": "ResNet-50, 160×160",
};

/** Bytes whose exchange is measured. */
const SIZES = [4, 4000, 40_000, 400_000, 4_000_000, 20_000_000, 100_000_000];
/** Below this an exchange is nothing but latency, of which libraries have algorithms of their own. */
const LEAST_FITTED = 4;

/** Networks that are predicted: the bandwidth is that of the wire, the latency that of a message between two processes. These are assumptions. */
const NETWORKS: readonly (Link & { readonly name: string; readonly what: string })[] = [
  { name: "1 Gbit/s", what: "TCP", bandwidth: 1e9 / 8, latency: 50e-6 },
  { name: "10 Gbit/s", what: "TCP", bandwidth: 10e9 / 8, latency: 30e-6 },
  { name: "100 Gbit/s", what: "RDMA", bandwidth: 100e9 / 8, latency: 3e-6 },
];
const RANKS = [2, 4, 8, 16, 32, 64, 128, 256];
/** How many times as fast as the core that was measured a rank is. */
const SPEEDS = [1, 16];
const WANTED = 0.8;

const line = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("exchange"),
    bytes: z.number(),
    ranks: z.number(),
    seconds: z.number(),
    times: z.number(),
  }),
  z.object({
    kind: z.literal("step"),
    work: z.string(),
    ranks: z.number(),
    batch: z.number(),
    parameters: z.number(),
    bytes: z.number(),
    steps: z.number(),
    seconds: z.number(),
    gradients: z.number(),
    others: z.number(),
  }),
]);
type Line = z.output<typeof line>;

/** What so many ranks measure. */
async function measured(ranks: number, args: readonly string[]): Promise<readonly Line[]> {
  const script = fileURLToPath(new URL("scaling-rank.ts", import.meta.url));
  const node = [process.execPath, "--import", "tsx", script, ...args];
  // Not bound: two threads of one core are as good as the machine has.
  const command =
    ranks === 1 ? node : ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", String(ranks), ...node];
  const child = spawn(command[0] ?? "", command.slice(1), {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" },
  });
  let text = "";
  child.stdout.on("data", (data: Buffer) => {
    text += data;
    process.stderr.write(data);
  });
  const code = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`${ranks} ranks: ${command.join(" ")} ended with ${code}`);
  return text
    .trim()
    .split("\n")
    .map((json) => line.parse(JSON.parse(json)));
}

const time = (seconds: number): string =>
  seconds < 1e-3
    ? `${(1e6 * seconds).toFixed(0)} µs`
    : seconds < 1
      ? `${(1e3 * seconds).toFixed(1)} ms`
      : `${seconds.toFixed(2)} s`;
const size = (bytes: number): string =>
  bytes < 1e3
    ? `${bytes} B`
    : bytes < 1e6
      ? `${(bytes / 1e3).toFixed(0)} kB`
      : `${(bytes / 1e6).toFixed(1)} MB`;
const percent = (share: number): string => `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)} %`;
const signed = (share: number): string => `${share > 0 ? "+" : ""}${(100 * share).toFixed(0)} %`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map((_, i) => (i === 0 ? ":--" : "--:")), ...rows]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
}

const load = loadavg()[0] ?? 0;
const begun = performance.now();
const common = ["--works", options.works, "--seconds", options.seconds];
const sizes = SIZES.filter((bytes) => bytes <= Number(options.largest));
const alone = await measured(1, common);
const paired = await measured(2, [...common, "--sizes", sizes.join()]);
const minutes = (performance.now() - begun) / 60_000;

const exchanges = paired.flatMap((item) => (item.kind === "exchange" ? [item] : []));
const machine = fitLink(exchanges.filter(({ bytes }) => bytes >= LEAST_FITTED));
const steps = alone.flatMap((one) => {
  if (one.kind !== "step") return [];
  const two = paired.find((item) => item.kind === "step" && item.work === one.work);
  return two?.kind === "step" ? [{ one, two }] : [];
});
const works = steps.map(({ one }) => ({
  title: TITLES[one.work] ?? one.work,
  step: { compute: one.seconds, bytes: one.bytes } satisfies StepWork,
}));
const faster = ({ compute, bytes }: StepWork, speed: number): StepWork => ({
  compute: compute / speed,
  bytes,
});

const needs = (step: StepWork, link: Link): string => {
  const ranks = RANKS.at(-1) ?? 1;
  if (efficiency(step, ranks, link) >= WANTED) return "none";
  const factor = compressionFor(step, ranks, link, WANTED);
  const local = localStepsFor(step, ranks, link, WANTED);
  return `${Number.isFinite(factor) ? `${factor < 10 ? factor.toFixed(1) : Math.ceil(factor)}×` : "not enough"}, or ${local} steps`;
};

const report = `# Scaling

Training over ranks of MPI (\`docs/guide/clusters.md\`): what one and two ranks do on this machine, and what a model makes of it for 2 to 256 ranks.

    npx tsx bench/scaling.ts --out bench/SCALING.md

eidos ${version}, Node ${process.version}, ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; one thread a rank. Load of the machine before: ${load.toFixed(1)}${
  load > 0.5
    ? ": **others were computing, so that times are too long and two ranks too slow; to be measured again on an idle machine**"
    : ""
}. ${minutes.toFixed(1)} minutes. Times of steps are medians, those of exchanges what one in ten is below, since a rank that has lost its core to another process says nothing of the exchange.

## The exchange, two ranks in one machine

\`MPI_Allreduce\` of float32, over shared memory. **Measured**: the time. **Fitted**: the ring's formula with latency ${time(machine.latency)} and ${(machine.bandwidth / 1e9).toFixed(2)} GB/s.

${table(
  ["bytes", "measured", "fitted", "fitted to measured"],
  exchanges.map(({ bytes, seconds }) => {
    const fitted = ringSeconds(bytes, 2, machine);
    return [size(bytes), time(seconds), time(fitted), signed(fitted / seconds - 1)];
  }),
)}

## The step, one and two ranks

Each rank has the batch that one has alone, so that two ranks see twice as many samples in a step. **Measured**: one rank; two ranks; of these, adding up gradients, and all other messages, in which a
rank also waits for a slower one. **Predicted**: two ranks, by one rank's time and the fitted exchange; what is missing is that two ranks share the memory and the cores of one machine.

${table(
  [
    "work",
    "batch of a rank",
    "parameters",
    "gradient",
    "one rank (measured)",
    "two ranks (measured)",
    "gradients (measured)",
    "share of the step",
    "other messages and waiting (measured)",
    "two ranks (predicted)",
    "predicted to measured",
  ],
  steps.map(({ one, two }) => {
    const predicted = one.seconds + exchangeSeconds(one.bytes, 2, machine);
    return [
      TITLES[one.work] ?? one.work,
      String(one.batch),
      one.parameters.toLocaleString("en"),
      size(one.bytes),
      time(one.seconds),
      time(two.seconds),
      time(two.gradients),
      percent(two.gradients / two.seconds),
      time(two.others),
      time(predicted),
      signed(predicted / two.seconds - 1),
    ];
  }),
)}

Gradients are not added up while the backward pass runs: ONNX Runtime gives all outputs of a program when the program has ended. The column "share of the step" is the most that an overlap could save.

## The model

A step of n ranks, each with its own batch, takes

t(n) = compute + 2(n−1)/n · bytes / bandwidth + 2(n−1) · latency + ${"4"} ⌈log₂ n⌉ · latency:

the ring of the gradients, and four small messages (order, agreement, losses, buffers). The efficiency is compute / t(n): n ranks do n times that as many samples a second as one. A byte takes the time of the wire and
that of this machine's memory, ${(machine.bandwidth / 1e9).toFixed(2)} GB/s, one after the other. **Measured** is compute, on one core; **assumed** are bandwidth and latency of networks: ${NETWORKS.map(({ name, what, latency }) => `${name} ${what} ${time(latency)}`).join(", ")}. **Predicted** is
all that follows. Large gradients are added up in pieces of 4 MB a rank, each a ring: that is a latency more for each 2 MB, 2 ms for ResNet-50 at 50 µs, which is left out. Libraries take other algorithms than the ring for few bytes over many ranks, so that the latency of 256 ranks is an upper bound. Ranks that wait for slower ones, and switches that are shared, are in no formula.

Ranks of several cores or with an accelerator compute faster than the core that was measured here, and the exchange then weighs more: tables are for ranks as fast as this core and 16 times as fast.

${SPEEDS.map(
  (
    speed,
  ) => `## Predicted efficiency: ranks ${speed === 1 ? "as fast as the measured core" : `${speed} times as fast`}

${table(
  [
    "work",
    "network",
    ...RANKS.map((n) => `${n} ranks`),
    `for ${percent(WANTED)} at ${RANKS.at(-1)}: compression of gradients, or local steps`,
  ],
  works.flatMap(({ title, step }) =>
    NETWORKS.map((network) => {
      const link = through(network, machine);
      const own = faster(step, speed);
      return [title, network.name, ...RANKS.map((n) => percent(efficiency(own, n, link))), needs(own, link)];
    }),
  ),
)}`,
).join("\n\n")}

eidos neither compresses gradients nor makes local steps: where the last column asks for one of them, larger batches on each rank do the same (twice the batch, half the exchange a sample), and fewer, faster links.
`;

if (options.out === undefined) process.stdout.write(report);
else await writeFile(options.out, report);
