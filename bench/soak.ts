import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { CDPSession, Page } from "playwright-core";
import { version } from "../src/version.ts";
import { findChromium } from "../test/browser/browser.ts";
import { launch, openStudio } from "../test/browser/studio.ts";
import { start } from "../test/cli/support.ts";
import { table } from "./report.ts";

// A soak of the studio: for an hour, a model is trained in the playground and looked at as paths, while the room of runs follows a fit of a command. Memory of the
// pages and of the server must not grow.
//
//     npm run build && npx tsx bench/soak.ts --minutes 60 --out bench/SOAK.md

const { values: options } = parseArgs({
  options: { minutes: { type: "string", default: "60" }, out: { type: "string" } },
});
const minutes = Number(options.minutes);
/** Minutes between two readings. */
const EVERY = Math.max(0.25, minutes / 60);
/** The share of the time in which caches fill, whose readings do not count. */
const WARM = 0.2;

const MB = 2 ** 20;

interface Reading {
  readonly minute: number;
  readonly playground: number;
  readonly runs: number;
  readonly server: number;
  readonly step: number;
}

/** Bytes that a page holds after a collection: its heap, those of its workers, and memory of WebAssembly. */
async function heldBy(page: Page, debugged: CDPSession): Promise<number> {
  await debugged.send("HeapProfiler.collectGarbage");
  return page.evaluate(async () => {
    const { measureUserAgentSpecificMemory: measure } = performance as unknown as {
      measureUserAgentSpecificMemory(): Promise<{ readonly bytes: number }>;
    };
    return (await measure.call(performance)).bytes;
  });
}

/** Loaded before the server: at a signal it collects, and writes what it holds then. Resident memory tells how lazily Node collects, not what it keeps. */
const preloaded = (file: string): string =>
  `data:text/javascript,${encodeURIComponent(`
  import { renameSync, writeFileSync } from "node:fs";
  process.on("SIGUSR2", () => {
    gc();
    const { heapUsed, external } = process.memoryUsage();
    writeFileSync(${JSON.stringify(`${file}.new`)}, String(heapUsed + external));
    renameSync(${JSON.stringify(`${file}.new`)}, ${JSON.stringify(file)});
  });
`)}`;

/** Bytes that the process of a server holds after a collection: its heap, and what lies outside of it. */
async function heldByServer(command: string, file: string): Promise<number> {
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (!line.includes(command)) continue;
    await rm(file, { force: true });
    process.kill(Number(pid), "SIGUSR2");
    for (let tries = 0; tries < 600; tries++) {
      const text = await readFile(file, "utf8").catch(() => "");
      if (text !== "") return Number(text);
      await sleep(100);
    }
  }
  throw new Error("the server has ended");
}

/** Bytes a minute by which values grow: the slope of the line of least squares. */
function growth(readings: readonly Reading[], of: (reading: Reading) => number): number {
  const mean = (take: (reading: Reading) => number) =>
    readings.reduce((sum, reading) => sum + take(reading), 0) / readings.length;
  const [minute, value] = [mean((reading) => reading.minute), mean(of)];
  const covariance = mean((reading) => (reading.minute - minute) * (of(reading) - value));
  return covariance / mean((reading) => (reading.minute - minute) ** 2);
}

const folder = await mkdtemp(join(tmpdir(), "eidos-soak-"));
const port = String(20_000 + (process.pid % 20_000));
const memory = join(folder, "memory.txt");
const studio = start(["studio", "--port", port, "--no-open"], folder, [
  "--expose-gc",
  "--import",
  preloaded(memory),
]);
const fitted = [
  "two-moons",
  "--count",
  "500",
  "--width",
  "16",
  "--log-every",
  "50",
  "--validate-every",
  "200",
];
const fitting = start(
  ["fit", "real-nvp", ...fitted, "--seconds", "36000", "--out", "runs/long", "--quiet"],
  folder,
);
const browser = await launch(findChromium());
const complaints: string[] = [];
const readings: Reading[] = [];
try {
  const address = await studio.printed(/open (http:\S+)/);
  const open = async (hash: string) => {
    const page = await openStudio(browser, address, hash, { complaints });
    return { page, debugged: await page.context().newCDPSession(page) };
  };
  const play = await open("#/playground?models=rectified-flow&view=path");
  await play.page.locator("[data-model=rectified-flow][data-status=ready]").waitFor({ timeout: 600_000 });
  await play.page.getByRole("button", { name: "Play", exact: true }).click();
  const runs = await open("#/runs?run=long");
  await runs.page.getByRole("img", { name: /^Curves of/ }).waitFor({ timeout: 600_000 });
  const begun = performance.now();
  const minute = (): number => (performance.now() - begun) / 60_000;
  while (minute() < minutes) {
    await sleep(60_000 * EVERY);
    const step = await play.page.locator("[data-model=rectified-flow] [data-figure=step]").textContent();
    const reading = {
      minute: minute(),
      playground: await heldBy(play.page, play.debugged),
      runs: await heldBy(runs.page, runs.debugged),
      server: await heldByServer(`--port\0${port}`, memory),
      step: Number(step?.replaceAll(/\D/g, "")),
    };
    readings.push(reading);
    console.error(
      `minute ${reading.minute.toFixed(1)}: playground ${(reading.playground / MB).toFixed(1)} MB at step ${reading.step}, runs ${(reading.runs / MB).toFixed(1)} MB, server ${(reading.server / MB).toFixed(1)} MB`,
    );
  }
} finally {
  await browser.close();
  for (const running of [fitting, studio]) {
    running.kill("SIGINT");
    await running.outcome;
  }
  await rm(folder, { recursive: true, force: true });
}

const counted = readings.filter((reading) => reading.minute >= WARM * minutes);
const lines = (["playground", "runs", "server"] as const).map((name) => {
  const of = (reading: Reading): number => reading[name];
  const values = counted.map(of);
  return [
    { playground: "page of the playground", runs: "page of runs", server: "server" }[name],
    (of(counted[0] ?? { minute: 0, playground: 0, runs: 0, server: 0, step: 0 }) / MB).toFixed(1),
    (Math.max(...values) / MB).toFixed(1),
    ((values.at(-1) ?? Number.NaN) / MB).toFixed(1),
    ((60 * growth(counted, of)) / MB).toFixed(1),
  ];
});
const last = readings.at(-1);
const text = [
  "# A soak of the studio",
  "",
  `Made by \`npx tsx bench/soak.ts --minutes ${minutes}\` on ${new Date().toISOString().slice(0, 10)} with eidos ${version}, Node ${process.version}, Chromium ${browser.version()}. A rectified flow is trained in the playground and drawn as paths (${last?.step ?? 0} steps); the room of runs follows a fit of RealNVP that a command does. Memory of pages is what \`measureUserAgentSpecificMemory\` counts after a collection, their workers and WebAssembly included; of the server its heap and buffers after a collection. The first fifth of the time, in which caches fill, does not count. ${complaints.length === 0 ? "No page complained." : `Pages complained ${complaints.length} times, first: ${complaints[0]}`}`,
  "",
  table([["", "MB at first", "at most", "at last", "MB an hour, by least squares"], ...lines]),
  "",
].join("\n");
if (options.out !== undefined) await writeFile(options.out, text);
console.error(`\n${text}`);
