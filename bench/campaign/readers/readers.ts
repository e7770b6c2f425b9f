import { type ChildProcess, fork } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Random } from "../../../src/random.ts";
import { type Budget, copyFolder, type Kind, type Report } from "../kind.ts";
import { READERS, type Reader } from "./list.ts";
import type { Message, Work } from "./process.ts";
import { corpusFolder, makeStrangers } from "./watch.ts";

// Changed inputs to every reader. Children read them; this process counts, and ends a child that is silent for too long.

/** Longer than this for one input is a hang where it takes longer than `AGAIN` when it is read once more. */
const LIMIT = 5_000;

/** A slow machine, or one with other work, takes its time for what is long: a hang is longer still. */
const AGAIN = 30_000;

/** The code with which a child reports that the campaign itself is wrong. */
const BROKEN = 70;

/** Until a fresh process has begun with its first input. */
const START = 60_000;

/** Inputs that a child gets at a time, and the time after which it comes back for another reader's. */
const CHUNK = { count: 200, milliseconds: 4_000 };

/** Of cheap readers no more than this: their time is worth more to others. */
const MOST = 5_000;

/** How one input ended that ended a child, or all of a chunk. */
type Ending =
  | { readonly kind: "done"; readonly next: number }
  | {
      readonly kind: "hang" | "crash";
      readonly index: number;
      readonly name: string;
      readonly folder: string;
      readonly how: string;
    };

/** A process that reads inputs; a fresh one where the last has died. */
class Child {
  private process: ChildProcess | undefined;
  private isOver = false;
  private readonly root: string;
  private readonly number: number;

  constructor(root: string, number: number) {
    this.root = root;
    this.number = number;
  }

  private start(): ChildProcess {
    const entry = fileURLToPath(new URL("process.ts", import.meta.url));
    const options = {
      // Columns of very many categories are refused, rather than given the memory that they take.
      env: { ...process.env, EIDOS_MEMORY: "1GB" },
      execArgv: ["--import", "tsx", "--max-old-space-size=2048"],
      stdio: ["ignore", "ignore", "pipe", "ipc"] as const,
    };
    const child = fork(entry, [this.root, String(this.number)], { ...options, stdio: [...options.stdio] });
    child.once("exit", () => {
      if (this.process === child) this.process = undefined;
    });
    return child;
  }

  /** Has inputs read. Resolves when all are, or one has ended the process. */
  run(work: Work, onMessage: (message: Message) => void, limit = LIMIT): Promise<Ending> {
    this.process ??= this.start();
    const child = this.process;
    return new Promise((resolve, reject) => {
      let current: Extract<Message, { kind: "begin" }> | undefined;
      let timer: NodeJS.Timeout | undefined;
      let hung = false;
      let words = "";
      const settle = (ending: Ending): void => {
        clearTimeout(timer);
        child.off("message", listen).off("exit", exited);
        child.stderr?.off("data", hear);
        resolve(ending);
      };
      const hear = (data: Buffer): void => {
        words = (words + data).slice(-2_000);
      };
      const listen = (message: Message): void => {
        clearTimeout(timer);
        if (message.kind === "done") {
          settle(message);
          return;
        }
        if (message.kind === "begin") current = message;
        if (message.kind !== "end") {
          timer = setTimeout(() => {
            hung = true;
            child.kill("SIGKILL");
          }, limit);
        } else current = undefined;
        onMessage(message);
      };
      const exited = (code: number | null, signal: string | null): void => {
        if (code === BROKEN) {
          reject(new Error(words.trim()));
          return;
        }
        if (this.isOver) {
          settle({ kind: "done", next: work.first });
          return;
        }
        const { index = work.first, name = "between inputs", folder = "" } = current ?? {};
        const how = hung
          ? `no end after ${limit / 1000} s`
          : `the process ended with ${signal ?? `code ${code}`}: ${words.trim().split("\n")[0] ?? ""}`;
        settle({ kind: hung ? "hang" : "crash", index, name, folder, how });
      };
      child.on("message", listen);
      child.once("exit", exited);
      child.stderr?.on("data", hear);
      timer = setTimeout(() => child.kill("SIGKILL"), START);
      child.send(work);
    });
  }

  end(): void {
    this.isOver = true;
    this.process?.kill("SIGKILL");
  }
}

/** How far a reader is. */
interface Progress {
  readonly reader: Reader;
  next: number;
  seconds: number;
  read: number;
  /** Changes that hang: tried once, then no more, since each takes the time of hundreds. */
  readonly hangs: Map<string, number>;
}

/** What an input's change is about, so that like ones are told as one: names without numbers and paths. */
const changeOf = (name: string): string =>
  name
    .split("; ")
    .at(-1)
    ?.replace(/^\S+:? /, "") ?? name;

async function makeCorpora(root: string, report: Report): Promise<void> {
  for (const [i, reader] of READERS.entries()) {
    report.progress(`sound inputs ${i + 1} of ${READERS.length}: ${reader.name}`);
    await reader.make(corpusFolder(root, reader.name));
  }
}

/** Reads an input that seemed to hang once more, with more time. */
async function hasAnEnd(
  child: Child,
  { reader, seed, index }: { readonly reader: string; readonly seed: number; readonly index: number },
): Promise<boolean> {
  const work = { reader, seed, first: index, count: 1, avoid: [], milliseconds: AGAIN };
  return (await child.run(work, () => undefined, AGAIN)).kind === "done";
}

/** Reads one chunk of a reader's inputs. */
async function turn(
  child: Child,
  progress: Progress,
  seed: number,
  milliseconds: number,
  report: Report,
): Promise<void> {
  const { reader, hangs } = progress;
  const row = `reader: ${reader.name}`;
  const avoid = [...hangs].flatMap(([change, times]) => (times >= 1 ? [change] : []));
  const begun = performance.now();
  const count = Math.min(CHUNK.count, MOST - progress.next);
  const waiting: Promise<void>[] = [];
  const faulty = new Set<string>();
  const details = (index: number, name: string) => ({ reader: reader.name, seed, index, change: name });
  const ending = await child.run(
    { reader: reader.name, seed, first: progress.next, count, avoid, milliseconds },
    (message) => {
      if (message.kind === "end") {
        report.count(row, "inputs");
        if (message.outcome === "read") progress.read++;
      } else if (message.kind === "fault") {
        const { fault, index, name, folder } = message;
        faulty.add(folder);
        waiting.push(
          report.fault(row, {
            fault,
            message: `${name}: ${message.message}`,
            details: details(index, name),
            folder,
          }),
        );
      }
    },
  );
  await Promise.all(waiting);
  if (ending.kind === "done") progress.next = ending.next;
  else {
    const { kind: fault, index, name, folder, how } = ending;
    report.count(row, "inputs");
    faulty.add(folder);
    progress.next = index + 1;
    const again = fault === "hang" && (await hasAnEnd(child, { reader: reader.name, seed, index }));
    if (again)
      report.note(
        row,
        `an input took more than ${LIMIT / 1000} s once, and had an end when it was read again`,
      );
    else if (fault === "hang") hangs.set(changeOf(name), (hangs.get(changeOf(name)) ?? 0) + 1);
    if (!again)
      await report.fault(row, {
        fault,
        message: `${name}: ${how}${fault === "hang" ? `, nor after ${AGAIN / 1000} s` : ""}`,
        details: details(index, name),
        folder,
      });
  }
  for (const folder of faulty) if (folder !== "") await rm(folder, { recursive: true, force: true });
  const seconds = (performance.now() - begun) / 1000;
  progress.seconds += seconds;
  report.count(row, "inputs", 0, seconds);
}

export const readers: Kind = {
  name: "readers",
  share: 9,

  async run(budget: Budget, random: Random, report: Report): Promise<void> {
    const root = report.folder;
    await makeStrangers(root);
    await makeCorpora(root, report);
    const seed = random.integer(2 ** 31);
    const all: readonly Progress[] = READERS.map((reader) => ({
      reader,
      next: 0,
      seconds: 0,
      read: 0,
      hangs: new Map(),
    }));
    const busy = new Set<Progress>();
    const children = Array.from(
      { length: Math.min(2, availableParallelism()) },
      (_, number) => new Child(root, number),
    );
    const total = (): number => all.reduce((sum, { next }) => sum + next, 0);
    try {
      await Promise.all(
        children.map(async (child) => {
          while (budget.left > 0) {
            // Whoever has had the least time is next; cheap readers come to their end early and leave the rest of it.
            const [next] = all
              .filter((one) => one.next < MOST && !busy.has(one))
              .sort((a, b) => a.seconds - b.seconds);
            if (next === undefined) return;
            busy.add(next);
            await turn(child, next, seed, Math.min(CHUNK.milliseconds, 1000 * budget.left), report);
            busy.delete(next);
            report.progress(`${total()} inputs`);
          }
        }),
      );
    } finally {
      for (const child of children) child.end();
    }
    for (const { reader, next, read, hangs } of all) {
      const row = `reader: ${reader.name}`;
      report.note(row, `${read} read, the others refused`);
      if (next === 0) report.note(row, "no time was left");
      for (const [change, times] of hangs)
        if (times >= 1) report.note(row, `"${change}" hangs and was left out later`);
    }
  },

  async replay(details, kept, report): Promise<void> {
    const root = report.folder;
    await makeStrangers(root);
    const { reader, seed, index } = details;
    const folder = join(root, "inputs-0", "kept", String(index));
    await mkdir(join(root, "inputs-0", "kept"), { recursive: true });
    copyFolder(kept, folder);
    const child = new Child(root, 0);
    const work = {
      reader: String(reader),
      seed: Number(seed),
      first: Number(index),
      count: 1,
      avoid: [],
      milliseconds: AGAIN,
      kept: folder,
    };
    const row = `reader: ${reader}`;
    const waiting: Promise<void>[] = [];
    const listen = (message: Message): void => {
      if (message.kind === "end") report.count(row, "inputs");
      if (message.kind === "fault") waiting.push(report.fault(row, { ...message, details }));
    };
    const ending = await child.run(work, listen, AGAIN);
    await Promise.all(waiting);
    if (ending.kind !== "done") await report.fault(row, { fault: ending.kind, message: ending.how, details });
    child.end();
  },
};
