import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DownloadError } from "../../errors.ts";
import {
  type CachePlace,
  type CacheRecord,
  cacheEntry,
  cacheFolder,
  cachePlace,
  writeRecord,
} from "./cache.node.ts";
import { type FileKind, fileError, makeFolder } from "./files.node.ts";
import { addressesOf, hubEndpoint, hubToken, NoSuchFileError } from "./hub.node.ts";
import { describeHolder, FileLock } from "./lock.node.ts";
import { type RemoteSource, shownSource } from "./source.ts";
import {
  type DownloadProgress,
  PACE,
  type Pace,
  removePart,
  transfer,
  type WantedSum,
} from "./transfer.node.ts";

// A file that is elsewhere: out of the cache without any request, or fetched once into it.

export type { DownloadProgress, Pace } from "./transfer.node.ts";

/** How a file is fetched. */
export interface DownloadOptions {
  /** What it is, and the most bytes that it may have. */
  readonly kind: FileKind;
  /** Why nothing may be asked of a server, as a clause; undefined where it may. */
  readonly forbidden?: string | undefined;
  /** Checksum that the file must have beside the one in its address. */
  readonly expected?: WantedSum | undefined;
  /**
   * Looks at a file that has come before it is kept; what it throws is thrown.
   * @param name what messages are to call it
   */
  readonly check?: (path: string, name: string) => Promise<void>;
  /** Ends the download; what has come is kept. */
  readonly signal?: AbortSignal | undefined;
  /** Called about four times a second. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Takes what went wrong, where another try is made. */
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly pace?: Pace;
  /** Folder of the cache. Default: `cacheFolder()`. */
  readonly folder?: string;
}

/** A file that is in the cache now. */
export interface RemoteFile extends CacheRecord {
  readonly path: string;
  /** Whether it was there before; nothing was then asked of any server. */
  readonly cached: boolean;
}

/** Why no request may be made on this machine; undefined where it may. @param offline as an option gives it */
export function offlineReason(
  offline: boolean | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  if (offline === true) return "--offline forbids to fetch it";
  const isOn = (value: string | undefined): boolean => !/^(0|false|no|off|)$/i.test(value?.trim() ?? "");
  const variable = ["EIDOS_OFFLINE", "HF_HUB_OFFLINE"].find((name) => isOn(env[name]));
  return variable && `${variable} forbids to fetch it`;
}

/**
 * The path of a file that is elsewhere. Where it is in the cache, with the bytes that were fetched, no request is made; otherwise it is fetched
 * there, once even where several processes want it. Its bytes have the checksum that the source, the hub or the caller gives.
 * @throws DownloadError where it cannot be had, or has other bytes; OptionError for settings that are none; FileError
 */
export async function remoteFile(source: RemoteSource, options: DownloadOptions): Promise<RemoteFile> {
  const name = shownSource(source.text);
  const endpoint = hubEndpoint();
  const folder = options.folder ?? cacheFolder();
  const places = addressesOf(source, endpoint).map((url) => ({ url, place: cachePlace(folder, url) }));
  const task = { source, name, endpoint, wanted: wantedSum(source, name, options), options };
  for (const { place } of places) {
    const held = await cachedFile(place, task);
    if (held !== undefined) return held;
  }
  if (options.forbidden !== undefined) {
    throw new DownloadError(
      `${name} is not in the cache (${folder}), and ${options.forbidden}. You may fetch the file by hand and give its path in place of the address`,
    );
  }
  const missing: string[] = [];
  for (const { url, place } of places) {
    try {
      return await fetched({ ...task, url, place });
    } catch (error) {
      if (!(error instanceof NoSuchFileError)) throw error;
      missing.push(`${shownSource(url)}: ${error.message}`);
    }
  }
  throw new DownloadError(`${name} is not there; tried ${missing.join("; ")}; check its spelling`);
}

interface Task {
  readonly source: RemoteSource;
  readonly name: string;
  readonly endpoint: URL;
  readonly wanted: WantedSum | undefined;
  readonly options: DownloadOptions;
}

/** The checksum that is asked for. @throws DownloadError where two are, and they differ */
function wantedSum(
  { sha256 }: RemoteSource,
  name: string,
  { expected }: DownloadOptions,
): WantedSum | undefined {
  if (sha256 === undefined) return expected;
  if (expected === undefined) return { sha256, by: "the checksum you gave" };
  if (expected.sha256 === sha256) return expected;
  throw new DownloadError(
    `${name} names the SHA-256 ${sha256}, and ${expected.by} has ${expected.sha256}; they cannot both be right`,
  );
}

/** A file of the cache; undefined where there is none that will do, which is then told. @throws FileError, DataError */
async function cachedFile(
  place: CachePlace,
  { name, wanted, options }: Task,
): Promise<RemoteFile | undefined> {
  const entry = await cacheEntry(place);
  if (entry.kind === "none") return undefined;
  if (entry.kind === "changed") {
    options.onWarning?.(`${place.file} is not as it was fetched; it is not used`);
    return undefined;
  }
  if (wanted !== undefined && entry.record.sha256 !== wanted.sha256) {
    options.onWarning?.(
      `${name}: the file in the cache has the SHA-256 ${entry.record.sha256}, not ${wanted.sha256} of ${wanted.by}; it is not used`,
    );
    return undefined;
  }
  return { ...entry.record, path: place.file, cached: true };
}

/** Milliseconds between two looks at a file that another process fetches. */
const LOOKS = 250;

/** Fetches a file into the cache, or waits until another process has. */
async function fetched(
  task: Task & { readonly url: string; readonly place: CachePlace },
): Promise<RemoteFile> {
  const { place, options } = task;
  const lock = await lockOf(task);
  try {
    // Another process may have fetched it since.
    return (await cachedFile(place, { ...task, options: quiet(options) })) ?? (await fetchNow(task));
  } finally {
    await lock.release();
  }
}

const quiet = ({ onWarning: _, ...others }: DownloadOptions): DownloadOptions => others;

async function lockOf({ place, name, options }: Task & { readonly place: CachePlace }): Promise<FileLock> {
  const { signal, onWarning } = options;
  await folderOf(place);
  for (let told = false; ; told = true) {
    const taking = await FileLock.take(place.lock);
    if (taking.kind === "taken") return taking.lock;
    if (!told) onWarning?.(`${name} is being fetched by ${describeHolder(taking.holder)}; waiting for it`);
    try {
      await sleep(LOOKS, undefined, signal ? { signal } : {});
    } catch {
      throw new DownloadError(`the download of ${name} was stopped before it began`);
    }
  }
}

async function folderOf({ lock }: CachePlace): Promise<void> {
  const folder = dirname(lock);
  try {
    await makeFolder(folder);
  } catch (error) {
    throw fileError(error, "make the cache (EIDOS_CACHE sets another folder)", folder);
  }
}

async function fetchNow({
  url,
  place,
  options,
  ...task
}: Task & { readonly url: string; readonly place: CachePlace }): Promise<RemoteFile> {
  const { kind, check, pace = PACE, signal, onProgress, onWarning } = options;
  const token = hubToken();
  const got = await transfer({
    ...task,
    ...{ url, place, kind, token, pace, signal, onProgress, onWarning },
  });
  try {
    await check?.(place.part, task.name);
  } catch (error) {
    // A page in place of a file, or a file that the next commit of the hub may mend, is not kept.
    await removePart(place);
    throw error;
  }
  const record: CacheRecord = {
    url: shownSource(url),
    sha256: got.sha256,
    bytes: got.bytes,
    fetched: new Date().toISOString(),
    ...(got.etag !== undefined && { etag: got.etag }),
    ...(got.revision !== undefined && { revision: got.revision }),
  };
  await writeRecord(place.record, record);
  try {
    await rename(place.part, place.file);
  } catch (error) {
    throw fileError(error, "write", place.file);
  }
  await rm(place.partRecord, { force: true });
  return { ...record, path: place.file, cached: false };
}
