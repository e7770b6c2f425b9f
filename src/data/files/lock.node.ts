import { createHash, randomUUID } from "node:crypto";
import { link, lstat, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import { threadId } from "node:worker_threads";
import { z } from "zod";
import { FileError } from "../../errors.ts";
import {
  errorCode,
  FILE_KINDS,
  fileError,
  isMissing,
  readRegularFile,
  temporaryBeside,
  UnreadFileError,
  writeFileAtomic,
} from "./files.node.ts";

// What one process at a time may write has a lock beside it: a file that says who writes. Readers need none, since files are replaced whole.

const holderSchema = z.object({
  pid: z.int().positive(),
  /** Of the process; one that ends takes its threads with it. */
  thread: z.int().nonnegative(),
  host: z.string().max(1000),
  /** When the process began, as its system counts; a later process may have the same number. */
  born: z.string().max(1000),
  since: z.string().max(100),
  token: z.string().max(100),
});

/** Who holds a lock. */
export type LockHolder = Readonly<z.output<typeof holderSchema>>;

/** The file in a run folder that says who fits it: two fits would mix the configuration of one with the weights of the other. */
export const RUN_LOCK = "run.lock";

/** Seconds between two signs of life of a holder. */
const BEAT = 15;

/** Seconds without a sign of life after which a holder on another machine, which cannot be asked, counts as gone. */
const SILENCE = 600;

/** Seconds in which a holder may write who it is, after it has made the file; only where a file system has no hard links it takes any time. */
const WRITING = 10;

/** When a process began, by its system: its number may be another's later. Empty where the system does not tell. */
async function birthOf(pid: number): Promise<string> {
  try {
    const [boot, text] = await Promise.all([
      readFile("/proc/sys/kernel/random/boot_id", "utf8"),
      readFile(`/proc/${pid}/stat`, "utf8"),
    ]);
    // The second field is the command in parentheses, which may hold anything; the 22nd is the time.
    return `${boot.trim()} ${text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? ""}`;
  } catch {
    return "";
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // A process of another user is there, and may not be signalled.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** What stands in a lock file. */
type Found =
  | { readonly kind: "none" }
  | { readonly kind: "held"; readonly holder: LockHolder }
  /** Its holder is gone, or has not said who it is. */
  | { readonly kind: "stale"; readonly text: string };

/** @throws FileError where it is no regular file: one waits for ever on a pipe, and a link that leads nowhere is there and is not */
async function look(path: string): Promise<Found> {
  let text: string;
  let silence: number;
  try {
    const held = await lstat(path);
    if (!held.isFile()) {
      throw new FileError(`${path} is a link, folder, pipe or device, and a lock is a file; remove it`);
    }
    text = new TextDecoder().decode(await readRegularFile(path, FILE_KINDS.text));
    silence = (Date.now() - held.mtimeMs) / 1000;
  } catch (error) {
    if (isMissing(error)) return { kind: "none" };
    if (error instanceof UnreadFileError && error.reason === "missing") return { kind: "none" };
    throw fileError(error, "read", path);
  }
  const parsed = holderSchema.safeParse(jsonOf(text));
  if (!parsed.success) {
    // The clock of another machine may be ahead.
    if (Math.abs(silence) > WRITING) return { kind: "stale", text };
    const unknown = { pid: 0, thread: 0, host: "", born: "", since: "now", token: "" };
    return { kind: "held", holder: unknown };
  }
  const holder = parsed.data;
  const gone =
    holder.host === hostname()
      ? !isAlive(holder.pid) || (holder.born !== "" && (await birthOf(holder.pid)) !== holder.born)
      : silence > SILENCE;
  return gone ? { kind: "stale", text } : { kind: "held", holder };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Who holds a lock now; undefined where nobody does. @param path of its file */
export async function lockHolder(path: string): Promise<LockHolder | undefined> {
  const found = await look(path);
  return found.kind === "held" ? found.holder : undefined;
}

/** A holder for a person: `process 4711 since 2026-11-28T10:00:00Z`. */
export function describeHolder({ pid, host, since }: LockHolder): string {
  if (pid === 0) return "another process";
  return `process ${pid}${host === hostname() ? "" : ` on ${host}`} since ${since}`;
}

/** What came of taking a lock. */
export type Taking =
  | { readonly kind: "taken"; readonly lock: FileLock }
  | { readonly kind: "held"; readonly holder: LockHolder };

/** A lock that is held. */
export class FileLock {
  private readonly path: string;
  private readonly token: string;
  private readonly beat: NodeJS.Timeout;

  private constructor(path: string, token: string) {
    this.path = path;
    this.token = token;
    this.beat = setInterval(() => {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
    }, 1000 * BEAT);
    this.beat.unref();
  }

  /**
   * Takes a lock; one whose holder is gone is replaced.
   * @returns the lock, or who holds it
   * @throws FileError where it cannot be written
   */
  static async take(path: string): Promise<Taking> {
    const token = randomUUID();
    const holder: LockHolder = {
      pid: process.pid,
      thread: threadId,
      host: hostname(),
      born: await birthOf(process.pid),
      since: new Date().toISOString(),
      token,
    };
    return (
      (await acquire(path, `${JSON.stringify(holder)}\n`)) ?? {
        kind: "taken",
        lock: new FileLock(path, token),
      }
    );
  }

  /** What became of the file, where it is no longer this holder's: `removed`, `taken by process 4711 …`. @throws FileError */
  async lost(): Promise<string | undefined> {
    const found = await look(this.path);
    if (found.kind === "held" && found.holder.token === this.token) return undefined;
    return found.kind === "held" ? `taken by ${describeHolder(found.holder)}` : "removed";
  }

  async release(): Promise<void> {
    clearInterval(this.beat);
    const found = await look(this.path);
    if (found.kind === "held" && found.holder.token === this.token) await rm(this.path, { force: true });
  }
}

/** Gives back a lock that a thread of this process has left behind when it died. @param path of its file */
export async function releaseThread(path: string, thread: number): Promise<void> {
  const found = await look(path);
  if (found.kind !== "held") return;
  const { pid, host, thread: holder } = found.holder;
  if (pid === process.pid && host === hostname() && holder === thread) await rm(path, { force: true });
}

/** What a file system answers that has no hard links. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

/**
 * Makes a file with this text, unless there is one. It is there with its text or not at all: one that is killed meanwhile leaves no lock behind
 * of which nobody can tell whose it is.
 */
async function writeNew(path: string, text: string): Promise<boolean> {
  const temporary = temporaryBeside(path);
  try {
    await writeFile(temporary, text, { flag: "wx" });
    try {
      await link(temporary, path);
    } catch (error) {
      // Who holds the lock clears away what is unfinished in the folder, and that may be this.
      if (errorCode(error) === "ENOENT") return false;
      if (!NO_LINKS.has(errorCode(error) ?? "")) throw error;
      await writeFile(path, text, { flag: "wx" });
    }
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw fileError(error, "write", path);
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/** Milliseconds until a lock is looked at again that another one takes over. */
const TAKEOVER = 20;

/**
 * Puts a text in place of a lock that nobody holds.
 *
 * What is stale may be replaced by one process alone: the holder of a second lock, named after the stale text. Without it, two could find the
 * same stale lock, and the slower one would take away what the faster one has just put there. The holder of that second lock may die as
 * well; then it is stale, and is taken over in the same way.
 * @returns who holds the lock; undefined where the text is in its place now
 */
async function acquire(path: string, text: string): Promise<Extract<Taking, { kind: "held" }> | undefined> {
  for (;;) {
    if (await writeNew(path, text)) return undefined;
    const found = await look(path);
    if (found.kind === "held" && found.holder.pid === 0) {
      // Its holder is about to say who it is, or has been killed before it could.
      await setTimeout(TAKEOVER);
      continue;
    }
    if (found.kind === "held") return found;
    if (found.kind === "none") continue;
    const second = `${path}.${createHash("sha256").update(found.text).digest("hex").slice(0, 16)}`;
    if ((await acquire(second, text)) !== undefined) {
      await setTimeout(TAKEOVER);
      continue;
    }
    try {
      const now = await look(path);
      if (now.kind === "stale" && now.text === found.text) {
        await writeFileAtomic(path, text);
        return undefined;
      }
    } finally {
      await rm(second, { force: true });
    }
  }
}
