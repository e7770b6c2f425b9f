import { crc32 } from "../crc32.ts";
import { shortened } from "../printable.ts";

// Zip archives whose entries are stored as they are, as PyTorch writes them, with the fields of 64 bits of large ones. The central directory
// is the list that holds; https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT has the format.

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;

const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
const END_64_BYTES = 56;
const LOCATOR_BYTES = 20;
const LONGEST_COMMENT = 0xffff;

/** Stands where the number is in a field of 64 bits. */
const ELSEWHERE = 0xffffffff;

interface Entry {
  readonly name: string;
  /** 0: stored as it is. */
  readonly method: number;
  readonly encrypted: boolean;
  /** Of the local header before it. */
  readonly begin: number;
  readonly stored: number;
  readonly size: number;
  /** CRC-32; 0 where the writer left it out. */
  readonly sum: number;
}

/** The entries of an archive, by name. */
export interface Archive {
  readonly names: readonly string[];
  /** The bytes of an entry, which are part of the file's; undefined where there is none of that name. */
  read(name: string): Uint8Array | undefined;
}

/**
 * Opens an archive. Entries must lie in the file, apart from each other; nothing is copied. Sums (CRC-32) are compared as entries
 * are read, where they are not 0, as PyTorch may leave them out.
 * @param fail throws the error that says what is wrong
 */
export function openZip(bytes: Uint8Array, fail: (why: string) => never): Archive {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const directory = findDirectory(view, fail);
  const entries = readDirectory(bytes, view, directory, fail);
  const places = new Map<string, readonly [Entry, number]>();
  let free = 0;
  for (const entry of [...entries].sort((a, b) => a.begin - b.begin)) {
    const { name } = entry;
    if (places.has(name)) fail(`its archive has ${shortened(name)} twice`);
    if (entry.begin < free) fail(`its archive: ${shortened(name)} overlaps another entry`);
    const begin = dataBegin(view, entry, directory.begin, fail);
    free = begin + entry.stored;
    if (free > directory.begin)
      fail(`its archive: ${shortened(name)} ends beyond the file; it is truncated or damaged`);
    places.set(name, [entry, begin]);
  }
  return {
    names: entries.map(({ name }) => name),
    read(name) {
      const found = places.get(name);
      if (found === undefined) return undefined;
      const [{ method, encrypted, stored, size, sum }, begin] = found;
      if (encrypted) fail(`its archive: ${shortened(name)} is encrypted`);
      if (method !== 0 || stored !== size) {
        fail(
          `its archive: ${shortened(name)} is compressed, as torch.save never does; save the file anew in Python`,
        );
      }
      const data = bytes.subarray(begin, begin + size);
      if (sum !== 0 && crc32(data) !== sum) {
        fail(
          `its archive: the checksum of ${shortened(name)} is another; the file is damaged; fetch or save it again`,
        );
      }
      return data;
    },
  };
}

interface Directory {
  readonly begin: number;
  readonly end: number;
  readonly count: number;
}

/** A number of 64 bits; beyond 2^53 it is only known to be too large. */
const wide = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

/** Where the central directory stands, by the record at the end of the file. */
function findDirectory(view: DataView, fail: (why: string) => never): Directory {
  const length = view.byteLength;
  let at = length - END_BYTES;
  const first = Math.max(0, at - LONGEST_COMMENT);
  while (
    at >= first &&
    !(view.getUint32(at, true) === END && at + END_BYTES + view.getUint16(at + 20, true) === length)
  )
    at--;
  if (at < first) return fail("its archive has no directory at its end; the file is truncated");
  let found: Directory = {
    count: view.getUint16(at + 10, true),
    begin: view.getUint32(at + 16, true),
    end: view.getUint32(at + 16, true) + view.getUint32(at + 12, true),
  };
  let limit = at;
  const locator = at - LOCATOR_BYTES;
  if (locator >= 0 && view.getUint32(locator, true) === LOCATOR_64) {
    limit = wide(view, locator + 8);
    if (limit > locator - END_64_BYTES || view.getUint32(limit, true) !== END_64) {
      return fail("its archive has a damaged directory");
    }
    const begin = wide(view, limit + 48);
    found = { count: wide(view, limit + 32), begin, end: begin + wide(view, limit + 40) };
  }
  if (found.end > limit || found.count * CENTRAL_BYTES > found.end - found.begin) {
    return fail("its archive has a directory that cannot be; the file is truncated or damaged");
  }
  return found;
}

function readDirectory(
  bytes: Uint8Array,
  view: DataView,
  { begin, end, count }: Directory,
  fail: (why: string) => never,
): readonly Entry[] {
  const text = new TextDecoder();
  const entries: Entry[] = [];
  let at = begin;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > end || view.getUint32(at, true) !== CENTRAL) {
      return fail("its archive has a damaged directory");
    }
    const nameEnd = at + CENTRAL_BYTES + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > end) return fail("its archive has a damaged directory");
    const name = text.decode(bytes.subarray(at + CENTRAL_BYTES, nameEnd));
    // In this order they stand in the extra field, those that are elsewhere.
    const narrow = [24, 20, 42].map((field) => view.getUint32(at + field, true));
    const [size = 0, stored = 0, offset = 0] = widened(view, narrow, nameEnd, extraEnd);
    entries.push({
      name,
      method: view.getUint16(at + 10, true),
      encrypted: (view.getUint16(at + 8, true) & 1) === 1,
      begin: offset,
      stored,
      size,
      sum: view.getUint32(at + 16, true),
    });
    at = next;
  }
  return entries;
}

/** Numbers of 32 bits, or those of the extra field of 64 bits (number 1) where they are elsewhere. */
function widened(view: DataView, narrow: readonly number[], begin: number, end: number): readonly number[] {
  for (let at = begin; at + 4 <= end; ) {
    const id = view.getUint16(at, true);
    const next = at + 4 + view.getUint16(at + 2, true);
    if (next > end) break;
    if (id === 1) {
      let from = at + 4;
      return narrow.map((value) => {
        if (value !== ELSEWHERE || from + 8 > next) return value;
        from += 8;
        return wide(view, from - 8);
      });
    }
    at = next;
  }
  return narrow;
}

/** Where the bytes of an entry begin, after its local header. */
function dataBegin(
  view: DataView,
  { name, begin }: Entry,
  limit: number,
  fail: (why: string) => never,
): number {
  if (begin + LOCAL_BYTES > limit || view.getUint32(begin, true) !== LOCAL) {
    return fail(
      `its archive: ${shortened(name)} does not begin where the directory says; the file is damaged`,
    );
  }
  return begin + LOCAL_BYTES + view.getUint16(begin + 26, true) + view.getUint16(begin + 28, true);
}
