import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import sharp from "sharp";
import { openRun } from "../src/index.ts";
import { version } from "../src/version.ts";
import {
  eidosServer,
  load,
  type Outcome,
  peerServer,
  place,
  type Server,
  type Work,
  whileAsking,
} from "./serving-load.ts";
import { median } from "./statistics.ts";

// The bench of serving: `eidos serve` and a service of FastAPI, uvicorn and ONNX Runtime with the same ONNX files, on this machine, in turns.
//
//     npm run build && npx tsx bench/serving.ts --python venv/bin/python        writes SERVING.md
//
// Both have as many processes that compute as there are cores, one thread each. Requests come over loopback.

const { values: options } = parseArgs({
  options: {
    /** Seconds of each load. */
    seconds: { type: "string", default: "6" },
    rounds: { type: "string", default: "3" },
    /** A run of a detector. */
    detector: { type: "string", default: place("../test/fixtures/runs/fcos-digit-scenes") },
    workers: { type: "string", default: String(availableParallelism()) },
    python: { type: "string", default: process.env.EIDOS_PYTHON ?? "python3" },
    out: { type: "string" },
  },
});
const seconds = Number(options.seconds);
const rounds = Number(options.rounds);
const workers = Number(options.workers);
const CLIENTS = [1, 8, 64];
/** Routes that the main process answers by itself, which are to stay quick at full load. */
const PROBES = ["/v2/health/live", "/metrics"];
/** Requests of an overload for each that can be answered. */
const OVERLOAD = 10;
/** Connections of an open loop: more than the server lets wait. */
const MANY = 1000;
/** Objects that are found in the image: the confidence is such that there are so many, as in a photo. */
const OBJECTS = 10;

const begun = performance.now();
const folder = await mkdtemp(join(tmpdir(), "eidos-serving-"));
const execute = promisify(execFile);
const moons = place("../test/fixtures/runs/nice-two-moons");

/** A picture as a camera has it, of noise that a JPEG can hold. */
async function photo(): Promise<Buffer> {
  const [width, height] = [640, 480];
  let state = 1;
  const noise = Buffer.from(
    Array.from({ length: (width * height * 3) / 64 }, () => {
      state = (1_103_515_245 * state + 12_345) % 2 ** 31;
      return state >> 23;
    }),
  );
  const small = sharp(noise, { raw: { width: width / 8, height: height / 8, channels: 3 } });
  return sharp(await small.png().toBuffer())
    .resize(width, height)
    .jpeg({ quality: 90 })
    .toBuffer();
}

/** The confidence at which a detector finds so many objects in an image. */
async function confidenceOf(image: string): Promise<number> {
  const run = await openRun(options.detector, { threads: 1 });
  const { objects } = await run.detect(image, { confidence: 0.001, maximum: OBJECTS + 1 });
  await run.release();
  const [last, next] = objects.slice(-2);
  if (objects.length <= OBJECTS || last === undefined || next === undefined) {
    throw new Error(
      `the detector finds fewer than ${OBJECTS} objects in noise; choose another with --detector`,
    );
  }
  return Number(((last.score + next.score) / 2).toPrecision(6));
}

async function prepare(): Promise<{ readonly works: readonly Work[]; readonly env: NodeJS.ProcessEnv }> {
  const image = join(folder, "photo.jpg");
  const rows = join(folder, "rows.json");
  await writeFile(image, await photo());
  await writeFile(rows, JSON.stringify([{ x: 0.5, y: 0.25 }]));
  const [found, scores] = [join(folder, "detections.onnx"), join(folder, "model.onnx")];
  const main = place("../dist/cli/main.js");
  const confidence = await confidenceOf(image);
  const suppression = ["--raw-tensor", "--suppression", "--confidence", String(confidence), "--out", found];
  await execute(process.execPath, [main, "export", options.detector, ...suppression]);
  await execute(process.execPath, [main, "export", moons, "--raw-tensor", "--out", scores]);
  const { dataInfo } = JSON.parse(await readFile(join(options.detector, "config.json"), "utf8"));
  return {
    works: [
      {
        name: "detect, a JPEG of 640 × 480",
        path: `/detect?model=detector&confidence=${confidence}`,
        type: "image/jpeg",
        file: image,
      },
      { name: "score, one row", path: "/score?model=rows", type: "application/json", file: rows },
    ],
    env: {
      SERVING_DETECTOR: found,
      SERVING_SCORES: scores,
      SERVING_CLASSES: dataInfo.classNames.join(","),
    },
  };
}

interface Found {
  readonly objects?: readonly {
    readonly label: string;
    readonly score: number;
    readonly box: readonly number[];
  }[];
  readonly logLikelihood?: readonly number[];
}

/** Asks again until a server that was overloaded answers. @throws Error where it does not within half a minute */
async function untilAnswered(server: Server, work: Work): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await answer(server, work);
      return;
    } catch (error) {
      if (tries === 30) throw error;
      await sleep(1000);
    }
  }
}

async function answer({ url }: Server, { path, type, file }: Work): Promise<Found> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": type },
    body: await readFile(file),
  });
  if (!response.ok) throw new Error(`${url}${path} answers ${response.status}: ${await response.text()}`);
  return response.json();
}

/** Both servers have to find the same. Images are made smaller by different libraries, which differ by a pixel value here and there. */
async function compare(mine: Server, theirs: Server, work: Work): Promise<string> {
  const [a, b] = [await answer(mine, work), await answer(theirs, work)];
  const likelihoods = (a.logLikelihood ?? []).map((value, i) =>
    Math.abs(value - (b.logLikelihood?.[i] ?? Number.NaN)),
  );
  const wrong = likelihoods.find((difference) => !(difference < 1e-3));
  if (wrong !== undefined) throw new Error(`${work.name}: log-likelihoods differ by ${wrong}`);
  if (a.objects === undefined || b.objects === undefined) return "equal to 0.001 nats";
  const most = a.objects.length;
  const near = a.objects.filter(({ label, box }) =>
    b.objects?.some(
      (other) => other.label === label && box.every((value, i) => Math.abs(value - (other.box[i] ?? 0)) < 16),
    ),
  );
  if (most === 0 || near.length < 0.8 * most) {
    throw new Error(
      `${work.name}: ${near.length} of ${most} objects are found by both, ${b.objects.length} by the peer`,
    );
  }
  return `${near.length} of ${most} objects are found by both, to 16 pixels of 640`;
}

type Results = ReadonlyMap<string, readonly Outcome[]>;

/** Loads of both servers in turns, so that what else the machine does meets both. */
async function inTurns(
  servers: readonly Server[],
  measure: (server: Server) => Promise<Outcome>,
): Promise<Results> {
  const results = new Map<string, Outcome[]>(servers.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? servers : [...servers].reverse();
    for (const server of order) results.get(server.name)?.push(await measure(server));
  }
  return results;
}

const number = (value: number): string => value.toFixed(value < 10 ? 1 : 0);

function cells(outcomes: readonly Outcome[]): string {
  const of = (key: "rate" | "p50" | "p99"): string => number(median(outcomes.map((outcome) => outcome[key])));
  return `${of("rate")} | ${of("p50")} | ${of("p99")}`;
}

/** The ratio of throughputs, round by round: the median. */
function ratio(results: Results): number {
  const [mine = [], theirs = []] = [...results.values()];
  return median(mine.map(({ rate }, i) => rate / (theirs[i]?.rate ?? Number.NaN)));
}

const say = (text: string): void =>
  console.error(`${((performance.now() - begun) / 1000).toFixed(0)} s  ${text}`);

/** Answers that are none of the wanted statuses, and connections that broke. */
function faults(outcomes: readonly Outcome[], wanted: readonly string[]): number {
  return outcomes.reduce(
    (sum, { statuses, broken }) =>
      sum +
      broken +
      Object.entries(statuses).reduce((count, [status, n]) => count + (wanted.includes(status) ? 0 : n), 0),
    0,
  );
}

const lines: string[] = [];
const { works, env } = await prepare();
const mine = await eidosServer([`detector=${options.detector}`, `rows=${moons}`], workers);
let theirs: Server | undefined;
try {
  theirs = await peerServer(options.python, env, workers);
  const servers = [mine, theirs];
  for (const work of works) {
    const agreement = await compare(mine, theirs, work);
    say(`${work.name}: ${agreement}`);
    // Programs are compiled and connections are made.
    for (const server of servers) await load(server, work, { connections: 4, seconds: 1 });
    lines.push(`## ${work.name}`, "", `Answers: ${agreement}.`, "");
    lines.push(
      "| load | eidos, requests/s | p50, ms | p99, ms | FastAPI, requests/s | p50, ms | p99, ms | throughput |",
    );
    lines.push("|---|---:|---:|---:|---:|---:|---:|---:|");
    let [capacity, least] = [0, Number.POSITIVE_INFINITY];
    const probes = new Map<string, number[]>(PROBES.map((route) => [route, []]));
    let busiest: Results = new Map();
    const row = (name: string, results: Results, isOpen = false): void => {
      const [ours = [], peers = []] = [...results.values()];
      const times = isOpen ? "" : `${ratio(results).toFixed(2)}×`;
      const lost = faults([...ours, ...peers], ["200"]);
      const noted = lost === 0 ? "" : ` (${lost} not answered with 200)`;
      lines.push(`| ${name}${noted} | ${cells(ours)} | ${cells(peers)} | ${times} |`);
      say(lines.at(-1) ?? "");
    };
    for (const connections of CLIENTS) {
      const results = await inTurns(servers, async (server) => {
        const loaded = load(server, work, { connections, seconds });
        if (server !== mine || connections < 64) return loaded;
        const { result, milliseconds } = await whileAsking(server, PROBES, loaded);
        for (const [route, own] of milliseconds) probes.get(route)?.push(...own);
        return result;
      });
      busiest = results;
      row(`${connections} ${connections === 1 ? "client" : "clients"}, closed loop`, results);
      const rates = [...results.values()].map((outcomes) => median(outcomes.map(({ rate }) => rate)));
      capacity = Math.max(capacity, rates[0] ?? 0);
      least = connections === 8 ? Math.min(...rates) : least;
    }
    const rate = 0.7 * least;
    row(
      `${number(rate)} requests/s, open loop`,
      await inTurns(servers, (server) => load(server, work, { connections: 64, seconds, rate })),
      true,
    );
    lines.push("", "| eidos at 64 clients, meanwhile | asked | median, ms | p99, ms | most, ms |");
    lines.push("|---|---:|---:|---:|---:|");
    for (const [route, milliseconds] of probes) {
      const sorted = [...milliseconds].sort((a, b) => a - b);
      const at = (share: number): string =>
        number(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
      lines.push(`| \`${route}\` | ${sorted.length} | ${number(median(sorted))} | ${at(0.99)} | ${at(1)} |`);
      say(lines.at(-1) ?? "");
    }
    const cpu = [...busiest.values()].map((outcomes) => median(outcomes.map((one) => one.cpu ?? Number.NaN)));
    lines.push(
      "",
      `Processor time of an answer at 64 clients, all processes of a server together: eidos ${number(cpu[0] ?? Number.NaN)} ms, FastAPI ${number(cpu[1] ?? Number.NaN)} ms.`,
    );
    say(lines.at(-1) ?? "");
    const flood = await load(mine, work, { connections: MANY, seconds, rate: OVERLOAD * capacity });
    const { 200: answered = 0, 503: shed = 0 } = flood.statuses;
    const other = faults([flood], ["200", "503"]);
    lines.push(
      "",
      `${OVERLOAD} times as many requests as that (${number(OVERLOAD * capacity)} requests/s over ${MANY} connections, open loop): ${answered} answered, ${shed} refused with 503, ${other} lost; ${number(flood.rate)} answers/s.`,
      "",
    );
    say(lines.at(-2) ?? "");
    // It takes work again as soon as what waits is done.
    await untilAnswered(mine, work);
  }
} finally {
  await mine.stop();
  await theirs?.stop();
  await rm(folder, { recursive: true, force: true });
}
const [cpu] = cpus();
const text = [
  "# Serving",
  "",
  `Made by \`npx tsx bench/serving.ts\` on ${new Date().toISOString().slice(0, 10)} with eidos ${version}, in ${((performance.now() - begun) / 60_000).toFixed(1)} minutes; ${cpus().length} cores, ${cpu?.model.trim()}, Node ${process.version}; load of the machine at the end ${loadavg().map(number).join(", ")}.`,
  "",
  `\`eidos serve\` and a service of FastAPI, uvicorn and ONNX Runtime ([peers/serving_peer.py](peers/serving_peer.py)) with the ONNX files that eidos exports, both with ${workers} processes that compute, one thread each, on the same machine in turns, over loopback; medians of ${rounds} rounds of ${seconds} seconds. The load comes from autocannon, which takes a core while it runs. Throughput is eidos over FastAPI, the median over rounds.`,
  "",
  ...lines,
].join("\n");
const out = options.out ?? place("SERVING.md");
await writeFile(out, `${text.trimEnd()}\n`);
console.error(`${out}\n\n${text}`);
