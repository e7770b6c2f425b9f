import { type FileHandle, open, rm, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { DownloadError } from "../../errors.ts";
import { type CachePlace, readJson, sha256Of, sizeOf, writeRecord } from "./cache.node.ts";
import { type FileKind, fileError } from "./files.node.ts";
import type { HubFacts } from "./hub.node.ts";
import {
  type FileAnswer,
  type FileRequest,
  networkFailure,
  PassingError,
  requestFile,
} from "./request.node.ts";

// The bytes of one file, from a server to the cache: what has come is kept when the connection drops, and the next request asks for the rest.

/** How a download stands. */
export interface DownloadProgress {
  /** What is fetched, as it was named. */
  readonly source: string;
  /** Bytes that are there. */
  readonly received: number;
  /** Bytes in all; undefined where the server does not say. */
  readonly total: number | undefined;
  /** Undefined before anything has come. */
  readonly bytesPerSecond: number | undefined;
  readonly secondsLeft: number | undefined;
}

/** How patient a download is. */
export interface Pace {
  /** Seconds without a byte after which a connection counts as dropped. */
  readonly stall: number;
  /** Seconds before the second try; twice as many before each one after it. */
  readonly wait: number;
  /** Tries in a row that bring nothing. */
  readonly tries: number;
}

export const PACE: Pace = { stall: 60, wait: 1, tries: 5 };

/** Bytes that a try must bring so that those before it no longer count: a server that drops each connection must end, too. */
const ADVANCE = 2 ** 20;

/** Seconds between two reports. */
const REPORTS = 0.25;

/** A checksum that a file must have. */
export interface WantedSum {
  readonly sha256: string;
  /** Whose it is, behind `those of`. */
  readonly by: string;
}

/** What is fetched, and where to. */
export interface TransferTask extends Omit<FileRequest, "signal" | "from"> {
  readonly place: CachePlace;
  /** What messages call it. */
  readonly name: string;
  readonly kind: FileKind;
  /** Checksum that the bytes must have beside what the server promises. */
  readonly wanted: WantedSum | undefined;
  readonly pace: Pace;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
  /** Takes what went wrong, where another try is made. */
  readonly onWarning: ((message: string) => void) | undefined;
}

/** A file that has come whole; its bytes are `part` of its place. */
export interface Transferred {
  readonly bytes: number;
  readonly sha256: string;
  readonly etag: string | undefined;
  /** The commit of the hub that it is of. */
  readonly revision: string | undefined;
}

const partSchema = z.object({
  url: z.string().max(4000),
  /** A strong entity tag: without one nothing says that the rest belongs to what is there. */
  etag: z.string().max(1000).optional(),
  sha256: z.string().max(64).optional(),
  bytes: z.int().nonnegative().optional(),
  revision: z.string().max(200).optional(),
});

type PartRecord = Readonly<z.output<typeof partSchema>>;

/** What has come by earlier tries. */
interface Part {
  readonly offset: number;
  readonly record: PartRecord | undefined;
}

const megabytes = (bytes: number): string =>
  `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;

/**
 * Fetches a file into the `part` of its place, which the caller has locked. What an earlier try left there is gone on with, where the file is
 * still the same.
 * @throws DownloadError where the file is refused, too large, stays away, or has other bytes than were promised, which are then removed;
 * FileError where it cannot be written
 */
export async function transfer(task: TransferTask): Promise<Transferred> {
  const { pace, signal, onWarning, place } = task;
  let most = await receivedSoFar(place);
  const begun = most;
  let failures = 0;
  for (;;) {
    let why: string;
    let wait: number;
    try {
      return await attempt(task);
    } catch (error) {
      if (signal?.aborted) throw stopped(task, await receivedSoFar(place));
      if (!isNetwork(error)) throw error;
      const failure = error instanceof PassingError ? undefined : networkFailure(error);
      why = failure === undefined ? (error as Error).message : failure.why;
      const received = await receivedSoFar(place);
      if (failure?.lasting === true && Math.max(most, received) === begun) throw given(task, why, received);
      failures = received >= most + ADVANCE ? 1 : failures + 1;
      most = Math.max(most, received);
      if (failures >= pace.tries) throw given(task, `${why}, ${failures} times in a row`, received);
      const from = received === 0 ? "the beginning" : megabytes(received);
      wait = Math.max(pace.wait * 2 ** (failures - 1), error instanceof PassingError ? error.after : 0);
      const when = wait < 5 ? "" : ` in ${Math.ceil(wait)} s`;
      onWarning?.(
        `${task.name}: ${why}; going on from ${from}${when} (try ${failures + 1} of ${pace.tries})`,
      );
    }
    try {
      await sleep(1000 * wait, undefined, signal ? { signal } : {});
    } catch {
      throw stopped(task, await receivedSoFar(place));
    }
  }
}

/** What `fetch` and the streams of its bodies throw, and what a server did that it may not do the next time. */
const isNetwork = (error: unknown): boolean =>
  error instanceof PassingError ||
  (error instanceof TypeError && error.cause !== undefined) ||
  (error instanceof Error && error.name === "AbortError");

async function receivedSoFar({ part }: CachePlace): Promise<number> {
  return (await sizeOf(part)) ?? 0;
}

function stopped({ name }: TransferTask, received: number): DownloadError {
  return new DownloadError(
    `the download of ${name} was stopped; ${received === 0 ? "nothing had come yet" : `${megabytes(received)} are kept, and the next try goes on from there`}`,
  );
}

/** The end of all tries. */
function given({ name, url }: TransferTask, why: string, received: number): DownloadError {
  const kept = received === 0 ? "" : `; ${megabytes(received)} are kept, and the next try goes on from there`;
  const { origin, pathname } = new URL(url);
  return new DownloadError(
    `${name} cannot be fetched from ${origin}${pathname}: ${why}${kept}. You may fetch the file by hand and give its path in place of the address`,
  );
}

/** One request and its body, after what is there already. */
async function attempt(task: TransferTask): Promise<Transferred> {
  const part = await resumable(task);
  // It was ended after its last byte, before it was checked.
  if (part.record?.bytes !== undefined && part.offset === part.record.bytes) return finish(task, part.record);
  const guard = new Guard(task.pace.stall, task.signal);
  try {
    const { offset, record } = part;
    const etag = record?.etag;
    const from = offset === 0 ? undefined : { offset, ...(etag !== undefined && { etag }) };
    const answer = await requestFile({ ...task, signal: guard.signal, ...(from && { from }) });
    return await receive(task, part, answer, guard);
  } catch (error) {
    if (guard.stalled) throw new PassingError(`the server sent nothing for ${task.pace.stall} seconds`);
    throw error;
  } finally {
    guard.end();
  }
}

/** What is there of the file, if the rest can be asked for. */
async function resumable({ place, url, wanted }: TransferTask): Promise<Part> {
  const offset = await receivedSoFar(place);
  const parsed = partSchema.safeParse(await readJson(place.partRecord));
  const record = parsed.success && parsed.data.url === url ? parsed.data : undefined;
  // With a checksum at the end it does not matter that parts of two files may have met.
  const belongs = record?.etag !== undefined || record?.sha256 !== undefined || wanted !== undefined;
  return offset > 0 && record !== undefined && belongs
    ? { offset, record }
    : { offset: 0, record: undefined };
}

/** Removes what has come of a file. */
export async function removePart({ part, partRecord }: CachePlace): Promise<void> {
  await rm(part, { force: true });
  await rm(partRecord, { force: true });
}

/** Takes the body of an answer. */
async function receive(
  task: TransferTask,
  part: Part,
  { response, facts }: FileAnswer,
  guard: Guard,
): Promise<Transferred> {
  const { place } = task;
  const startOver = async (why: string): Promise<never> => {
    await removePart(place);
    await response.body?.cancel().catch(() => undefined);
    throw new PassingError(why);
  };
  const refuse = async (why: string): Promise<never> => {
    await removePart(place);
    await response.body?.cancel().catch(() => undefined);
    throw new DownloadError(`${task.name}: ${why}`);
  };
  const coding = response.headers.get("content-encoding");
  if (coding !== null && coding !== "identity") {
    return refuse(`the server sends it compressed (${coding.slice(0, 20)}), which it was asked not to do`);
  }
  if (response.status === 416) return startOver("the server has other bytes than before");
  const told = extentOf(response, part.offset);
  if (told === undefined) return startOver("the server sends another part of the file than was asked for");
  const { offset } = told;
  const etag = strongTag(response);
  const { record } = part;
  if (offset > 0 && isOther(record, etag, facts, told.total)) {
    return startOver("the file has changed on the server since its first part came");
  }
  const total = told.total ?? facts.bytes ?? (offset > 0 ? record?.bytes : undefined);
  if (facts.bytes !== undefined && total !== facts.bytes) {
    return refuse(`it should have ${facts.bytes} bytes, and the server sends ${total}`);
  }
  if (total !== undefined && total > task.kind.limit) return refuse(tooLarge(total, task.kind));
  if (total !== undefined) await checkSpace(place, total - offset);
  const now: PartRecord = {
    url: task.url,
    ...(etag !== undefined && { etag }),
    ...(facts.sha256 !== undefined && { sha256: facts.sha256 }),
    ...(total !== undefined && { bytes: total }),
    ...(facts.commit !== undefined && { revision: facts.commit }),
  };
  if (offset === 0) {
    await removePart(place);
    await writeRecord(place.partRecord, now);
  }
  const received = await writeBody(task, response, offset, total, guard);
  if (received.kind === "too-much") {
    return refuse(
      total === undefined
        ? tooLarge(received.bytes, task.kind)
        : `it should have ${total} bytes, and the server sends more`,
    );
  }
  if (total !== undefined && received.bytes < total) {
    throw new PassingError(`the server ended after ${received.bytes} of ${total} bytes`);
  }
  guard.end();
  return finish(task, { ...record, ...now });
}

/** Where the bytes of an answer begin and how many there are in all; undefined where it has not what was asked for. */
function extentOf(
  { status, headers }: Response,
  asked: number,
): { readonly offset: number; readonly total: number | undefined } | undefined {
  if (status === 200) {
    const length = headers.get("content-length");
    const total = length === null ? undefined : Number(length);
    if (total !== undefined && !(Number.isSafeInteger(total) && total >= 0)) return undefined;
    return { offset: 0, total };
  }
  const range = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(headers.get("content-range") ?? "");
  if (range === null || asked === 0 || Number(range[1]) !== asked) return undefined;
  return { offset: asked, total: range[3] === "*" ? undefined : Number(range[3]) };
}

function strongTag({ headers }: Response): string | undefined {
  const tag = headers.get("etag") ?? undefined;
  return tag !== undefined && /^"[\x21\x23-\x7e]{1,500}"$/.test(tag) ? tag : undefined;
}

/** Whether the rest is of another file than what is there. */
function isOther(
  before: PartRecord | undefined,
  etag: string | undefined,
  facts: HubFacts,
  total: number | undefined,
): boolean {
  const differs = <T>(a: T | undefined, b: T | undefined): boolean =>
    a !== undefined && b !== undefined && a !== b;
  return (
    differs(before?.etag, etag) || differs(before?.sha256, facts.sha256) || differs(before?.bytes, total)
  );
}

const tooLarge = (bytes: number, { what, limit }: FileKind): string =>
  `it has ${megabytes(bytes)} or more, where ${what} has ${megabytes(limit)} at most`;

/** @throws DownloadError where the disk has no room for so many bytes more */
async function checkSpace({ part }: CachePlace, bytes: number): Promise<void> {
  const disk = await statfs(dirname(part)).catch(() => undefined);
  if (disk === undefined) return;
  const free = disk.bavail * disk.bsize;
  if (bytes <= free) return;
  throw new DownloadError(
    `${dirname(part)} has ${megabytes(free)} free, and ${megabytes(bytes)} are to come; make room, or choose another folder with EIDOS_CACHE`,
  );
}

/** Writes a body behind what is there. It is never in memory as a whole. */
async function writeBody(
  task: TransferTask,
  response: Response,
  offset: number,
  total: number | undefined,
  guard: Guard,
): Promise<{ readonly kind: "all" | "too-much"; readonly bytes: number }> {
  const most = total ?? task.kind.limit;
  const { part } = task.place;
  const report = reporter(task, offset, total);
  const file = await onDisk(part, () => open(part, offset === 0 ? "w" : "r+"));
  let at = offset;
  try {
    // Beyond what was counted when the request was made there is nothing of use.
    await onDisk(part, () => file.truncate(offset));
    for await (const piece of piecesOf(response.body)) {
      guard.alive();
      if (at + piece.length > most) return { kind: "too-much", bytes: at + piece.length };
      await onDisk(part, () => writeAt(file, piece, at));
      at += piece.length;
      report(at);
    }
    await onDisk(part, () => file.sync());
  } finally {
    await file.close();
  }
  return { kind: "all", bytes: at };
}

/** The pieces of a body; what has not come yet is given up where they are no longer wanted. */
async function* piecesOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** @throws FileError, so that a full disk is not taken for a dropped connection */
async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, "write", path);
  }
}

async function writeAt(file: FileHandle, piece: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < piece.length; ) {
    done += (await file.write(piece, done, piece.length - done, at + done)).bytesWritten;
  }
}

/** Reports progress now and then. */
function reporter(
  { name: source, onProgress }: TransferTask,
  offset: number,
  total: number | undefined,
): (received: number) => void {
  const begun = performance.now();
  let last = Number.NEGATIVE_INFINITY;
  return (received) => {
    const now = performance.now();
    if (onProgress === undefined || (now - last < 1000 * REPORTS && received !== total)) return;
    last = now;
    const seconds = (now - begun) / 1000;
    const rate = seconds > 0 && received > offset ? (received - offset) / seconds : undefined;
    const secondsLeft = rate === undefined || total === undefined ? undefined : (total - received) / rate;
    onProgress({ source, received, total, bytesPerSecond: rate, secondsLeft });
  };
}

/** Compares what has come with what was promised. */
async function finish(task: TransferTask, record: PartRecord): Promise<Transferred> {
  const { place, name } = task;
  const bytes = await receivedSoFar(place);
  const sha256 = await sha256Of(place.part);
  const promised = [
    { by: `of ${task.wanted?.by ?? ""}`, value: task.wanted?.sha256 },
    { by: "that the server promised", value: record.sha256 },
  ];
  for (const { by, value } of promised) {
    if (value === undefined || value === sha256) continue;
    await removePart(place);
    throw new DownloadError(
      `${name}: the bytes that came are not those ${by}: their SHA-256 is ${sha256}, not ${value}; they are removed`,
    );
  }
  return { bytes, sha256, etag: record.etag, revision: record.revision };
}

/** Ends a request that brings nothing for long, or that the user ends. */
class Guard {
  private readonly controller = new AbortController();
  private readonly milliseconds: number;
  private readonly outer: AbortSignal | undefined;
  private readonly onAbort = (): void => this.controller.abort();
  private timer: NodeJS.Timeout;
  stalled = false;

  constructor(seconds: number, outer: AbortSignal | undefined) {
    this.milliseconds = 1000 * seconds;
    this.outer = outer;
    if (outer?.aborted) this.controller.abort();
    outer?.addEventListener("abort", this.onAbort);
    this.timer = this.start();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Something has come. */
  alive(): void {
    clearTimeout(this.timer);
    this.timer = this.start();
  }

  end(): void {
    clearTimeout(this.timer);
    this.outer?.removeEventListener("abort", this.onAbort);
  }

  private start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.stalled = true;
      this.controller.abort();
    }, this.milliseconds);
  }
}
