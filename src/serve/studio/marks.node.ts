import { readdir, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { convertDetections } from "../../data/boxes/convert.node.ts";
import { openDetectionFolder } from "../../data/boxes/folder.node.ts";
import { isImagePath } from "../../data/boxes/formats/paths.node.ts";
import { MarkedFolder, type PhotoToMark, type Saving } from "../../data/boxes/marking.node.ts";
import { detectionStatistics } from "../../data/boxes/statistics.ts";
import { importSharp, MOST_PIXELS, refuseDrawing } from "../../data/image/sharp.node.ts";
import { openDetection } from "../../data/open.node.ts";
import { DIGIT_SCENES } from "../../data/scenes/digit-scenes.ts";
import { DataError, ServiceError } from "../../errors.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import { isNoData, placeOf } from "./form.node.ts";
import type { AskedMarks, MarkFolder, MarkFolders, MarkStatistics } from "./mark-answers.node.ts";

// Photos that the page marks. Nothing outside of the folder of data is read or written.

/** Folders whose list of photos is in memory at once. */
const MOST_OPEN = 4;

/** Entries that are looked at to see whether a folder has photos, and how deep. */
const LOOKED_AT = 3000;
const DEEPEST = 4;

/** The longer side of a small picture, in pixels, and the bytes of all that are kept. */
const SMALL = 256;
const SMALL_BYTES = 48e6;

/** Small pictures that are made at once: decoding takes memory. */
const AT_ONCE = 2;

/** Formats that every browser shows, by what sharp calls them. */
const SHOWN: Readonly<Record<string, string>> = {
  jpeg: "image/jpeg",
  png: "image/png",
  webp: "image/webp",
  gif: "image/gif",
};

/** Pictures as the page shows them. */
export interface ShownPicture {
  readonly type: string;
  readonly bytes: Uint8Array;
}

/** Small pictures that were made last. */
class SmallPictures {
  private readonly held = new Map<string, Promise<Uint8Array>>();
  private readonly sizes = new Map<string, number>();
  private bytes = 0;
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  /** The picture of that key, made where it is not held. */
  get(key: string, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const known = this.held.get(key) ?? this.made(key, make);
    this.held.delete(key);
    this.held.set(key, known);
    return known;
  }

  private made(key: string, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const picture = this.inTurn(make);
    picture.then(
      ({ length }) => this.grow(key, length),
      () => this.held.delete(key),
    );
    return picture;
  }

  private grow(key: string, length: number): void {
    this.sizes.set(key, length);
    this.bytes += length;
    for (const oldest of this.held.keys()) {
      if (this.bytes <= SMALL_BYTES) break;
      this.bytes -= this.sizes.get(oldest) ?? 0;
      this.sizes.delete(oldest);
      this.held.delete(oldest);
    }
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.running >= AT_ONCE) await new Promise<void>((go) => this.waiting.push(go));
    this.running++;
    try {
      return await work();
    } finally {
      this.running--;
      this.waiting.shift()?.();
    }
  }
}

/** Whether there is a photo in a folder or a few folders below. */
async function hasPhotos(folder: string): Promise<boolean> {
  let looked = 0;
  let level: readonly string[] = [folder];
  for (let depth = 0; depth <= DEEPEST && level.length > 0; depth++) {
    const next: string[] = [];
    for (const path of level) {
      const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
      for (const entry of entries) {
        if (looked++ > LOOKED_AT) return false;
        if (isNoData(entry.name)) continue;
        if (entry.isFile() && isImagePath(entry.name)) return true;
        if (entry.isDirectory()) next.push(join(path, entry.name));
      }
    }
    level = next;
  }
  return false;
}

/** The folders of photos in the folder of data. */
export class StudioMarks {
  private readonly data: string;
  private readonly open = new Map<string, Promise<MarkedFolder>>();
  private readonly small = new SmallPictures();

  /** @param data folder below which photos are */
  constructor(data: string) {
    this.data = data;
  }

  /** Folders directly in the folder of data that hold photos, and itself where photos are directly in it. */
  async folders(): Promise<MarkFolders> {
    const entries = await readdir(this.data, { withFileTypes: true }).catch(() => []);
    const isOwn =
      entries.some((entry) => entry.isFile() && isImagePath(entry.name)) &&
      !entries.some(({ name }) => name === "node_modules");
    const folders = isOwn ? ["./"] : [];
    for (const entry of entries) {
      if (!entry.isDirectory() || isNoData(entry.name)) continue;
      if (await hasPhotos(join(this.data, entry.name))) folders.push(`./${entry.name}`);
    }
    return { folder: this.data, folders };
  }

  private async folder(name: string, isAgain = false): Promise<MarkedFolder> {
    const path = await placeOf(name, this.data);
    if ((await stat(path)).isDirectory() !== true) {
      throw new ServiceError(`${name} is no folder`, { status: 404 });
    }
    const held = isAgain ? undefined : this.open.get(path);
    const opened = held ?? MarkedFolder.open(path);
    this.open.delete(path);
    this.open.set(path, opened);
    opened.catch(() => this.open.delete(path));
    for (const oldest of this.open.keys()) {
      if (this.open.size <= MOST_OPEN) break;
      this.open.delete(oldest);
    }
    return opened;
  }

  private async photoIn(folder: string, photo: string): Promise<MarkedFolder> {
    const found = await this.folder(folder);
    if (!found.has(photo)) {
      throw new ServiceError(`there is no photo ${photo} in ${folder}`, { status: 404 });
    }
    return found;
  }

  /** The photos of a folder, as it is now. @throws ServiceError, DataError */
  async list(name: string): Promise<MarkFolder> {
    const folder = await this.folder(name, true);
    const { format, fault, classes } = folder;
    return {
      ...(format !== undefined && { format }),
      ...(fault !== undefined && { fault }),
      classes,
      photos: folder.photos(),
    };
  }

  /** A photo's size and marks. @throws ServiceError where there is none, DataError where it cannot be read */
  async read(folder: string, photo: string): Promise<PhotoToMark> {
    return (await this.photoIn(folder, photo)).read(photo);
  }

  /** Saves the marks of a photo. @throws ServiceError, DataError, OptionError, FileError */
  async save(folder: string, photo: string, marks: AskedMarks): Promise<Saving> {
    return (await this.photoIn(folder, photo)).save(photo, marks);
  }

  /** A photo as a browser shows it: its own bytes, or PNG in place of a format that browsers lack. @throws ServiceError, DataError */
  async image(folder: string, photo: string): Promise<ShownPicture> {
    const bytes = await (await this.photoIn(folder, photo)).bytes(photo);
    const { sharp, format } = await looked(bytes, photo);
    const type = format === undefined ? undefined : SHOWN[format];
    if (type !== undefined) return { type, bytes };
    const png = await readable(photo, () => nativeCall(() => sharp.autoOrient().png().toBuffer()));
    return { type: "image/png", bytes: png };
  }

  /** A photo made small. @throws ServiceError, DataError */
  async thumbnail(folder: string, photo: string): Promise<ShownPicture> {
    const found = await this.photoIn(folder, photo);
    const key = `${found.path} ${photo} ${await found.stamp(photo)}`;
    const bytes = await this.small.get(key, async () => {
      const { sharp } = await looked(await found.bytes(photo), photo);
      const made = sharp
        .autoOrient()
        .resize(SMALL, SMALL, { fit: "inside", withoutEnlargement: true })
        .flatten({ background: "white" })
        .webp({ quality: 75, effort: 1 });
      return readable(photo, () => nativeCall(() => made.toBuffer()));
    });
    return { type: "image/webp", bytes };
  }

  /** What `eidos inspect` counts in a folder. @throws DataError where it holds no annotations that can be used */
  async statistics(name: string): Promise<MarkStatistics> {
    const set = await openDetectionFolder(await placeOf(name, this.data), { verify: false });
    return { lines: set.describe(), counts: detectionStatistics(set) };
  }

  /**
   * Makes a folder of drawn pictures in the folder of data: most of them are marked, some are not.
   * @returns its name, as `folders` has it
   */
  async example(seed: number): Promise<string> {
    const set = await openDetection(DIGIT_SCENES, { ...EXAMPLE, splitSeed: seed });
    const name = await this.freeName("example-photos");
    const out = resolve(this.data, name);
    await convertDetections(set, out, "coco");
    // Pictures that no file of annotations lists are not marked yet.
    await rm(join(out, "annotations", "instances_test.json"));
    return `./${name}`;
  }

  private async freeName(wanted: string): Promise<string> {
    for (let number = 1; ; number++) {
      const name = number === 1 ? wanted : `${wanted}-${number}`;
      if ((await stat(join(this.data, name)).catch(() => undefined)) === undefined) return name;
    }
  }
}

/** How the pictures of the example are drawn: a few large digits, so that a detector learns them within minutes. */
const EXAMPLE = {
  scenes: 40,
  canvas: 128,
  objects: 3,
  smallest: 24,
  largest: 56,
  smallShare: 0,
  clutter: 3,
  oneClass: "digit",
} as const;

async function readable<T>(photo: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof DataError) throw new DataError(`${photo}: ${cause.message}`, { cause });
    const [reason = ""] = cause instanceof Error ? cause.message.split("\n") : [];
    throw new DataError(`${photo}: no image that can be read (${reason})`, { cause });
  }
}

/** Opens the bytes of a photo, and says what it is. @throws DataError where it is no image of pixels, or has too many */
function looked(bytes: Uint8Array, photo: string) {
  return readable(photo, async () => {
    const sharp = await importSharp();
    const { format, width, height } = await nativeCall(() =>
      sharp(bytes, { limitInputPixels: false }).metadata(),
    );
    refuseDrawing(format);
    if (width * height > MOST_PIXELS)
      throw new DataError(`${width} × ${height} pixels are too many to be shown`);
    return { sharp: sharp(bytes, { limitInputPixels: MOST_PIXELS }), format };
  });
}
