import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import type { Strangers } from "./hostile.ts";
import type { Seen } from "./list.ts";

// What must stay as it is while inputs are read, and must not be seen in what comes of them.

/** A word that stands in private files only. */
const MARK = "EIDOSPRIVATEMARK";

/** The color of the private picture, and how much of a picture must be of it to be called that one. */
const COLOR = [201, 3, 177] as const;
const SHARE = 0.25;

/** Makes the private files and the watched folder below a root. */
export async function makeStrangers(root: string): Promise<Strangers> {
  const strangers = strangersOf(root);
  for (const folder of [strangers.private, strangers.watched]) mkdirSync(folder, { recursive: true });
  const [r, g, b] = COLOR;
  await sharp({ create: { width: 32, height: 32, channels: 3, background: { r, g, b } } })
    .png()
    .toFile(strangers.picture);
  writeFileSync(
    strangers.table,
    `${MARK},other\n${Array.from({ length: 50 }, (_, i) => `${i},${MARK}${i % 3}\n`).join("")}`,
  );
  writeFileSync(join(strangers.watched, "old.txt"), "as it was\n");
  return strangers;
}

/** Where the private files and the watched folder are. */
export function strangersOf(root: string): Strangers {
  const folder = join(root, "private");
  return {
    private: folder,
    picture: join(folder, "secret.png"),
    table: join(folder, "secret.csv"),
    watched: join(root, "watched"),
  };
}

/** Where the sound inputs of a reader are. */
export function corpusFolder(root: string, reader: string): string {
  return join(root, "corpus", reader.replaceAll(/\W+/g, "-"));
}

/** Names, sizes and contents of what a folder holds, as one text. */
export function snapshot(folder: string): string {
  const list = (path: string, name: string): string[] => {
    const found = lstatSync(path);
    if (found.isDirectory())
      return [
        `${name}/`,
        ...readdirSync(path)
          .sort()
          .flatMap((entry) => list(join(path, entry), `${name}/${entry}`)),
      ];
    if (!found.isFile()) return [name];
    return [`${name} ${found.size} ${createHash("sha1").update(readFileSync(path)).digest("hex")}`];
  };
  return existsSync(folder) ? list(folder, "").join("\n") : "missing";
}

/** True where a picture shows the private one, its channels together or one after the other. */
function showsPrivate(pixels: ArrayLike<number>): boolean {
  const count = Math.floor(pixels.length / 3);
  let planes = 0;
  let together = 0;
  const near = (index: number, channel: 0 | 1 | 2) => Math.abs((pixels[index] ?? -9) - COLOR[channel]) <= 3;
  for (let i = 0; i < count; i++) {
    if (near(i, 0) && near(count + i, 1) && near(2 * count + i, 2)) planes++;
    if (near(3 * i, 0) && near(3 * i + 1, 1) && near(3 * i + 2, 2)) together++;
  }
  return count > 0 && Math.max(planes, together) >= SHARE * count;
}

/** What of private files is seen in what was read; undefined where nothing is. */
export function leakOf({ texts, pictures }: Seen): string | undefined {
  const text = texts.find((line) => line.includes(MARK));
  if (text !== undefined) return `a private table is in what was read: ${text.slice(0, 200)}`;
  return pictures.some(showsPrivate) ? "a private picture is in what was read" : undefined;
}

/** True where an object that nobody touched has a property of a stranger's. */
export function isPolluted(): boolean {
  const plain: Readonly<Record<string, unknown>> = {};
  const { acted }: { acted?: unknown } = globalThis as object;
  return plain.polluted !== undefined || acted !== undefined;
}
