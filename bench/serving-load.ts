import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

// Servers of the bench of serving as processes, and load on them by autocannon, which is a process of its own as well.

export const place = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export interface Server {
  readonly name: string;
  readonly url: string;
  /** Seconds of processor time of all its processes so far; undefined where the system does not tell. */
  cpu(): Promise<number | undefined>;
  stop(): Promise<void>;
}

/** Clock ticks of a second, as Linux counts the time of processes. */
const TICKS = 100;

/** Processor time of a process and of those that it has started, by Linux's /proc. */
async function cpuSeconds(root: number | undefined): Promise<number | undefined> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      // The second field is the command in parentheses, which may hold anything.
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS;
      return { pid: Number(pid), parent: Number(fields[1]), seconds };
    }),
  );
  const family = new Set([root]);
  for (let before = 0; before < family.size; ) {
    before = family.size;
    for (const { pid, parent } of found) if (family.has(parent)) family.add(pid);
  }
  const own = found.filter(({ pid }) => family.has(pid));
  return own.length === 0 ? undefined : own.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** A process with what it printed. @throws Error when awaited, where it ends before it should */
function started(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv },
) {
  const child: ChildProcess = spawn(command, args, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  let text = "";
  let ended: string | undefined;
  child.stderr?.on("data", (part: Buffer) => {
    text = `${text}${part}`.slice(-20_000);
  });
  const over = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      ended = error.message;
      resolve();
    });
    child.on("close", (code) => {
      ended ??= `it ended with code ${code}`;
      resolve();
    });
  });
  const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await holds())) {
      if (ended !== undefined) throw new Error(`${command} ${args.join(" ")}: ${ended}\n${text}`);
      await sleep(50);
    }
  };
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await over;
  };
  return { text: () => text, until, stop, cpu: () => cpuSeconds(child.pid) };
}

/** `eidos serve` of the build. */
export async function eidosServer(runs: readonly string[], workers: number): Promise<Server> {
  const args = [place("../dist/cli/main.js"), "serve", ...runs, "--port", "0", "--log", "silent"];
  const child = started(process.execPath, [...args, "--workers", String(workers), "--threads", "1"], {});
  const url = (): string | undefined => /^listening on (\S+)$/m.exec(child.text())?.[1];
  await child.until(() => url() !== undefined);
  const address = url() ?? "";
  await child.until(async () => {
    const metrics = await (await fetch(`${address}/metrics`)).text();
    return metrics.includes(`eidos_workers{state="idle"} ${workers}\n`);
  });
  return { name: "eidos", url: address, cpu: child.cpu, stop: child.stop };
}

/** A port of the loopback address that nothing listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("there is no port");
  return address.port;
}

/** FastAPI, ONNX Runtime and uvicorn on the same files: peers/serving_peer.py. */
export async function peerServer(python: string, env: NodeJS.ProcessEnv, workers: number): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const args = ["-m", "uvicorn", "serving_peer:app", "--port", String(port), "--workers", String(workers)];
  const child = started(python, [...args, "--log-level", "warning", "--no-access-log"], {
    cwd: place("peers"),
    env: { ...process.env, ...env, OMP_NUM_THREADS: "1" },
  });
  await child.until(async () => (await fetch(`${url}/health`).catch(() => undefined))?.ok === true);
  return { name: "FastAPI", url, cpu: child.cpu, stop: child.stop };
}

/** One request of a bench. */
export interface Work {
  readonly name: string;
  readonly path: string;
  readonly type: string;
  /** File that holds its body. */
  readonly file: string;
}

export interface Load {
  readonly connections: number;
  readonly seconds: number;
  /** Requests a second, whatever the answers: an open loop. Without, a connection asks again when it is answered. */
  readonly rate?: number;
}

/** What came of a load. Milliseconds of an open loop are counted from the moment at which a request was to be sent. */
export interface Outcome {
  /** Answers of status 200 a second. */
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  /** Milliseconds of processor time of an answer; undefined where the system does not tell. */
  readonly cpu: number | undefined;
  readonly statuses: Readonly<Record<string, number>>;
  /** Connections that broke, and requests that nobody answered. */
  readonly broken: number;
}

interface Report {
  readonly latency: { readonly p50: number; readonly p99: number };
  readonly duration: number;
  readonly errors: number;
  readonly timeouts: number;
  readonly statusCodeStats: Readonly<Record<string, { readonly count: number }>>;
}

const execute = promisify(execFile);

export async function load(
  server: Server,
  work: Work,
  { connections, seconds, rate }: Load,
): Promise<Outcome> {
  const options = {
    url: server.url + work.path,
    method: "POST",
    headers: { "content-type": work.type },
    file: work.file,
    connections,
    duration: seconds,
    timeout: 60,
    ...(rate !== undefined && { overallRate: Math.max(1, Math.round(rate)) }),
  };
  const before = await server.cpu();
  const { stdout } = await execute(process.execPath, [place("peers/cannon.mjs"), JSON.stringify(options)]);
  const report: Report = JSON.parse(stdout);
  const after = await server.cpu();
  const statuses = Object.fromEntries(
    Object.entries(report.statusCodeStats).map(([status, { count }]) => [status, count]),
  );
  return {
    rate: (statuses[200] ?? 0) / report.duration,
    cpu:
      before === undefined || after === undefined
        ? undefined
        : (1000 * (after - before)) / (statuses[200] ?? Number.NaN),
    p50: report.latency.p50,
    p99: report.latency.p99,
    statuses,
    broken: report.errors + report.timeouts,
  };
}

/** Milliseconds of routes that compute nothing, each asked every tenth of a second while work is done. */
export async function whileAsking<T>(
  { url }: Server,
  routes: readonly string[],
  work: Promise<T>,
): Promise<{ readonly result: T; readonly milliseconds: ReadonlyMap<string, readonly number[]> }> {
  let over = false;
  const result = work.finally(() => {
    over = true;
  });
  const milliseconds = new Map(routes.map((route) => [route, [] as number[]]));
  while (!over) {
    for (const [route, own] of milliseconds) {
      const begun = performance.now();
      await (await fetch(url + route)).text();
      own.push(performance.now() - begun);
    }
    await sleep(100);
  }
  return { result: await result, milliseconds };
}
