import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { EidosError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";
import { built, lineOf } from "../kind.ts";
import { READERS, type Reader, type Seen } from "./list.ts";
import { type Files, type Mutation, mutate } from "./mutate.ts";
import { corpusFolder, isPolluted, leakOf, snapshot, strangersOf } from "./watch.ts";

// The process in which inputs are read: one after the other, each with word to the parent, which sees from silence that one hangs
// and from an end that one took the process with it.

/** Inputs first … first + count − 1 of a reader; those with a change that is known to hang are left out. */
export interface Work {
  readonly reader: string;
  readonly seed: number;
  readonly first: number;
  readonly count: number;
  readonly avoid: readonly string[];
  /** Milliseconds after which no further input is begun. */
  readonly milliseconds: number;
  /** A folder that is read as it is, instead of changed inputs. */
  readonly kept?: string;
}

export type Message =
  | { readonly kind: "begin"; readonly index: number; readonly name: string; readonly folder: string }
  | { readonly kind: "end"; readonly index: number; readonly outcome: "read" | "refused" }
  | {
      readonly kind: "fault";
      readonly index: number;
      readonly fault: "untyped" | "act";
      readonly message: string;
      readonly name: string;
      readonly folder: string;
    }
  | { readonly kind: "done"; readonly next: number };

const [root = "", number = "0"] = process.argv.slice(2);
const strangers = strangersOf(root);
const here = join(root, `cwd-${number}`);
mkdirSync(here, { recursive: true });
process.chdir(here);
process.env.CAMPAIGN_WATCHED = strangers.watched;

const { EidosError: Typed }: { EidosError: typeof EidosError } = await import(built("errors.js"));
const send = (message: Message): void => {
  process.send?.(message);
};

/** All files below a folder, in memory. */
function load(folder: string): Files {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    statSync(join(folder, path)).isFile(),
  );
  return new Map(
    files.sort().map((path) => [path, { kind: "bytes", bytes: readFileSync(join(folder, path)) }]),
  );
}

const corpora = new Map<string, readonly Files[]>();

/** The sound inputs of a reader. */
async function corpusOf(reader: Reader): Promise<readonly Files[]> {
  const { name } = reader;
  const folder = corpusFolder(root, name);
  const held = corpora.get(name);
  if (held !== undefined) return held;
  const inputs = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const made: Files[] = [];
  for (const { name: input } of inputs) {
    // A campaign that begins with inputs that are refused would prove nothing.
    await reader.read(join(folder, input)).catch((cause: unknown) => {
      if (input.startsWith("stranger")) return;
      throw new Error(`the sound input ${input} of ${name} is refused: ${lineOf(cause)}`, { cause });
    });
    made.push(load(join(folder, input)));
  }
  corpora.set(name, made);
  return made;
}

/** The input of that number: the same for the same seed. */
async function inputOf(reader: Reader, seed: number, index: number): Promise<Mutation> {
  const random = new Random(seed).split(reader.name).split(index);
  const corpus = await corpusOf(reader);
  const pick = (): Files => corpus[random.integer(corpus.length)] ?? new Map();
  return mutate(pick(), pick(), (path) => reader.changes?.test(path) ?? true, random, strangers);
}

function write(folder: string, files: Files): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, entry] of files) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    switch (entry.kind) {
      case "bytes":
        writeFileSync(path, entry.bytes);
        break;
      case "link":
        symlinkSync(entry.target, path);
        break;
      case "pipe":
        execFileSync("mkfifo", [path]);
        break;
      case "folder":
        mkdirSync(path);
    }
  }
}

const watched = (folder: string): string =>
  [strangers.private, strangers.watched, here, folder].map(snapshot).join("\n");

let stray: unknown;
for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error) => {
    stray = error;
  });
}

/** Reads an input, and sends what was wrong. Returns whether nothing was; what was wrong is kept for the parent. */
async function tryInput(
  reader: Reader,
  index: number,
  { name, files }: Mutation,
  folder: string,
): Promise<boolean> {
  send({ kind: "begin", index, name, folder });
  rmSync(folder, { recursive: true, force: true });
  write(folder, files);
  return look(
    reader,
    index,
    name,
    folder,
    [...files.values()].some(({ kind }) => kind === "link"),
  );
}

async function look(
  reader: Reader,
  index: number,
  name: string,
  folder: string,
  linked: boolean,
): Promise<boolean> {
  let sound = true;
  const fault = (fault: "untyped" | "act", message: string): void => {
    sound = false;
    send({ kind: "fault", index, fault, message, name, folder });
  };
  const before = watched(folder);
  stray = undefined;
  let outcome: "read" | "refused" = "refused";
  let seen: Seen | undefined;
  try {
    seen = await reader.read(folder);
    outcome = "read";
  } catch (error) {
    if (!(error instanceof Typed)) fault("untyped", untyped(error));
    else seen = { texts: [error.message], pictures: [] };
  }
  const leak = seen === undefined ? undefined : leakOf(seen);
  // Where a user names a file, it is the user who follows the link that it is.
  if (leak !== undefined && !(linked && reader.named === true)) fault("act", leak);
  if (stray !== undefined) fault("untyped", `beside the call: ${untyped(stray)}`);
  if (isPolluted()) fault("act", "objects have a property of a stranger's");
  const after = watched(folder);
  if (after !== before) {
    fault("act", `files have changed: ${differences(before, after)}`);
    restore(before, after);
  }
  send({ kind: "end", index, outcome });
  return sound;
}

/** An error with the line of eidos from which it came. */
function untyped(error: unknown): string {
  const frame =
    error instanceof Error
      ? /\(?(?:file:\/\/)?([^\s()]*\/dist\/[^\s()]*):\d+\)?/.exec(error.stack ?? "")?.[1]
      : undefined;
  return `${lineOf(error)}${frame === undefined ? "" : ` (${frame.replace(/^.*\/dist\//, "dist/")})`}`;
}

function differences(before: string, after: string): string {
  const [a, b] = [before, after].map((text) => new Set(text.split("\n")));
  const changed = [...(b ?? [])].filter((line) => a?.has(line) !== true).map((line) => `+${line}`);
  return [...changed, ...[...(a ?? [])].filter((line) => b?.has(line) !== true).map((line) => `-${line}`)]
    .join(", ")
    .slice(0, 300);
}

/** Removes what was written, so that the next input is judged by itself. */
function restore(before: string, after: string): void {
  const old = new Set(before.split("\n"));
  for (const line of after.split("\n")) {
    if (old.has(line)) continue;
    const name = line.split(" ")[0] ?? "";
    for (const folder of [strangers.watched, here])
      if (name.length > 1) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

async function work({ reader: name, seed, first, count, avoid, milliseconds, kept }: Work): Promise<void> {
  const reader = READERS.find((entry) => entry.name === name);
  if (reader === undefined) throw new Error(`there is no reader ${name}`);
  if (kept !== undefined) {
    send({ kind: "begin", index: first, name: relative(root, kept), folder: kept });
    await look(reader, first, relative(root, kept), kept, false);
    return send({ kind: "done", next: first + 1 });
  }
  const until = performance.now() + milliseconds;
  let index = first;
  for (; index < first + count && performance.now() < until; index++) {
    const input = await inputOf(reader, seed, index);
    if ([...avoid, ...(reader.without ?? [])].some((part) => input.name.includes(part))) continue;
    // A path of its own each time: nothing that remembers paths may help or hinder.
    const folder = join(root, `inputs-${number}`, reader.name.replaceAll(/\W+/g, "-"), String(index));
    if (await tryInput(reader, index, input, folder)) rmSync(folder, { recursive: true, force: true });
  }
  send({ kind: "done", next: index });
}

process.on("message", (message: Work) => {
  work(message).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    process.exit(70);
  });
});
process.on("disconnect", () => process.exit(0));
