import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataError, EidosError } from "../../../errors.ts";
import { fileError } from "../../files/files.node.ts";

// In which encoding a file of text is, and a copy of it in UTF-8, which DuckDB reads.

/** Other names of encodings, in lower case. */
const NAMES: Readonly<Record<string, string>> = {
  utf8: "utf-8",
  utf16: "utf-16le",
  "utf-16": "utf-16le",
  gbk: "gb18030",
  gb2312: "gb18030",
  cp936: "gb18030",
  latin1: "windows-1252",
  "latin-1": "windows-1252",
  "iso-8859-1": "windows-1252",
  cp1252: "windows-1252",
};

/** What was found of a file's bytes. */
interface FileText {
  readonly encoding: string;
  /** Whether the encoding follows from the bytes, or is the likeliest of several. */
  readonly isGuess: boolean;
}

const CHUNK = 1 << 20;

/** Bytes that are looked at to tell encodings of one byte and of two apart. */
const LOOKED_AT = 1 << 24;

/** @throws DataError for a name that is none of an encoding that can be read */
export function namedEncoding(name: string): string {
  const key = name.trim().toLowerCase();
  const known = Object.hasOwn(NAMES, key) ? (NAMES[key] ?? key) : key;
  try {
    return new TextDecoder(known).encoding;
  } catch {
    throw new DataError(
      `option encoding: ${JSON.stringify(name)} is no known encoding; usual ones are utf-8, utf-16, gb18030, windows-1252, shift_jis, windows-1251`,
    );
  }
}

/**
 * Finds the encoding of a file: by its mark, by zeros in every other byte, UTF-8 where all of it is, else GB18030 or Windows-1252, whichever its
 * letters beyond ASCII are likelier in.
 * @throws FileError
 */
export async function findEncoding(path: string): Promise<FileText> {
  let bytes = 0;
  let held: Buffer = Buffer.alloc(0);
  let isUnicode = true;
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
      if (bytes === 0) {
        const marked = byMark(chunk);
        if (marked !== undefined) return { encoding: marked, isGuess: false };
        const wide = byZeros(chunk);
        if (wide !== undefined) return { encoding: wide, isGuess: true };
      }
      bytes += chunk.length;
      if (isUnicode) {
        const whole = Buffer.concat([rest, chunk]);
        const end = endOfCharacters(whole);
        isUnicode = isUtf8(whole.subarray(0, end));
        rest = whole.subarray(end);
      }
      if (!isUnicode && held.length < LOOKED_AT) held = Buffer.concat([held, rest, chunk]);
      if (!isUnicode && held.length >= LOOKED_AT) break;
    }
  } catch (error) {
    throw fileError(error, "read", path);
  }
  if (isUnicode && isUtf8(rest)) return { encoding: "utf-8", isGuess: false };
  return { encoding: isChinese(held.length === 0 ? rest : held) ? "gb18030" : "windows-1252", isGuess: true };
}

function byMark(bytes: Buffer): string | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return "utf-8";
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  return undefined;
}

/** UTF-16 without a mark: of the ASCII in it, every other byte is zero. */
function byZeros(bytes: Buffer): string | undefined {
  const pairs = Math.floor(Math.min(bytes.length, 4096) / 2);
  let [even, odd] = [0, 0];
  for (let i = 0; i < 2 * pairs; i += 2) {
    if (bytes[i] === 0) even++;
    if (bytes[i + 1] === 0) odd++;
  }
  if (pairs < 2) return undefined;
  if (odd > 0.4 * pairs && even === 0) return "utf-16le";
  return even > 0.4 * pairs && odd === 0 ? "utf-16be" : undefined;
}

/** Where the last whole character of UTF-8 ends. */
function endOfCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return bytes.length - back + 1;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length <= back ? bytes.length - back + length : bytes.length - back;
    }
  }
  return bytes.length;
}

/**
 * Whether bytes that are no UTF-8 are GB18030 rather than an encoding of single bytes: they decode, and the letters beyond ASCII are pairs
 * of high bytes, as Chinese characters are and accented letters between plain ones are not.
 */
function isChinese(bytes: Buffer): boolean {
  let [runs, even] = [0, 0];
  for (let i = 0; i < bytes.length; i++) {
    if ((bytes[i] ?? 0) < 0x80) continue;
    const start = i;
    while (i + 1 < bytes.length && (bytes[i + 1] ?? 0) >= 0x80) i++;
    runs++;
    if ((i + 1 - start) % 2 === 0) even++;
  }
  // The last character may be cut.
  const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1 || bytes.length);
  try {
    new TextDecoder("gb18030", { fatal: true }).decode(whole);
  } catch {
    return false;
  }
  return even > 0.8 * runs;
}

/** The first bytes of a file as text; characters that are cut at its end are left out. */
export async function firstText(
  path: string,
  encoding: string,
): Promise<{ readonly text: string; readonly whole: boolean }> {
  const file = await open(path).catch((error: unknown) => {
    throw fileError(error, "read", path);
  });
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, 0);
    return {
      text: new TextDecoder(encoding).decode(buffer.subarray(0, bytesRead), { stream: true }),
      whole: bytesRead < CHUNK,
    };
  } finally {
    await file.close();
  }
}

/** A copy of a file in UTF-8, without lines that are left out. */
export interface Copy {
  readonly path: string;
  /** Lines that were left out, and the first of them. */
  readonly leftOut: number;
  readonly example: string | undefined;
  remove(): Promise<void>;
}

/** Characters after which a line without an end is refused where comments are looked for. */
const LONGEST_LINE = 8 * CHUNK;

/**
 * Writes a copy of a file in UTF-8.
 * @param isComment lines to leave out
 * @param skip lines at the head that stay
 * @throws DataError where the bytes are none of the encoding; FileError
 */
export async function copyAsUtf8(
  path: string,
  encoding: string,
  isComment: ((line: string) => boolean) | undefined,
  skip: number,
): Promise<Copy> {
  const folder = await mkdtemp(join(tmpdir(), "eidos-text-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  const target = join(folder, "table.csv");
  let leftOut = 0;
  let example: string | undefined;
  let line = 0;
  const kept = (lines: string): string => {
    if (isComment === undefined) return lines;
    return lines
      .split(/(?<=\n)/)
      .filter((text) => {
        if (line++ < skip || !isComment(text)) return true;
        leftOut++;
        example ??= text.trim();
        return false;
      })
      .join("");
  };
  try {
    const decoder = new TextDecoder(encoding, { fatal: true });
    const out = await open(target, "wx");
    try {
      let held = "";
      for await (const chunk of createReadStream(path, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
        const text = decoder.decode(chunk, { stream: true });
        if (isComment === undefined) {
          await out.write(text);
          continue;
        }
        const end = text.lastIndexOf("\n") + 1;
        if (end === 0) {
          held += text;
          if (held.length > LONGEST_LINE)
            throw new DataError(`${path}: a line has more than ${LONGEST_LINE} characters`);
          continue;
        }
        await out.write(kept(held + text.slice(0, end)));
        held = text.slice(end);
      }
      await out.write(kept(held + decoder.decode()));
    } finally {
      await out.close();
    }
  } catch (error) {
    await remove();
    if (error instanceof EidosError) throw error;
    if (error instanceof TypeError) {
      throw new DataError(`${path}: not all of its bytes are ${encoding}; name its encoding with --encoding`);
    }
    throw fileError(error, "read", path);
  }
  return { path: target, leftOut, example, remove };
}
