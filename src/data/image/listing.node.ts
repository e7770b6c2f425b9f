import { createHash } from "node:crypto";
import { extname, join } from "node:path";
import { DataError } from "../../errors.ts";
import { DataFolder, type FolderOptions, listBelow } from "../files/data-folder.node.ts";
import { FILE_KINDS } from "../files/files.node.ts";
import { isGuessedTest, type SplitName, splitOfFolder } from "../sources/data-set.ts";

// Which images a folder holds, and which class and split each belongs to. No image is opened for that.

/** Extensions of the files that are taken for images. */
export const IMAGE_EXTENSIONS = new Set([".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".avif"]);

/** An image file of a folder and where it belongs, as far as its folders show. */
export interface ImageFile {
  /** Path below the folder. */
  readonly name: string;
  readonly className: string | undefined;
  readonly split: SplitName | undefined;
  /** The bytes of the file. @throws DataError where it cannot be read */
  read(): Promise<Uint8Array>;
}

/** The images of a folder. */
export interface FolderImages {
  /** In order of names. */
  readonly images: readonly ImageFile[];
  /** Links to images that lead out of the folder, and folders that are not looked into; with the reason. */
  readonly leftOut: readonly { readonly name: string; readonly detail: string }[];
  /** What was decided about folders and images beside them, a line each. */
  readonly notes: readonly string[];
}

/** True for the entry of a folder that has the extension of an image. */
export const isImage = (entry: { readonly name: string; isDirectory(): boolean }): boolean =>
  !entry.isDirectory() && IMAGE_EXTENSIONS.has(extname(entry.name).toLowerCase());

const hasImageName = (path: string): boolean => IMAGE_EXTENSIONS.has(extname(path).toLowerCase());

/**
 * Every image below a folder: directly in it, or one class a subfolder (images deeper down belong to that class too), within folders
 * of splits where there is one `train`. Links are followed; one to an image that leads out of the folder is left out unless
 * `followLinks`.
 * @throws DataError where there is no such folder, or a link to a folder leads out: classes and splits are folders
 */
export async function findAllImages(path: string, options: FolderOptions = {}): Promise<FolderImages> {
  const folder = await DataFolder.open(path, options);
  const { files, folders, leftOut } = await listBelow(folder);
  const away = leftOut.find(({ kind, isFolder }) => kind === "outside" && isFolder);
  if (away !== undefined) throw new DataError(`${join(path, away.path)}: ${away.detail}`);
  const held = files.filter(hasImageName);
  const parts = splitFolders(folders, held);
  const unused = new Map<string, number>();
  const images = held.flatMap((name): ImageFile[] => {
    const [first = "", ...rest] = name.split("/").slice(0, -1);
    const split = parts.get(first);
    if (parts.size > 0 && split === undefined) {
      unused.set(first, (unused.get(first) ?? 0) + 1);
      return [];
    }
    const className = parts.size > 0 ? rest[0] : first === "" ? undefined : first;
    return [{ name, className, split, read: () => folder.read(name, FILE_KINDS.image) }];
  });
  const guessed = [...parts.keys()].filter(isGuessedTest);
  return {
    images,
    leftOut: leftOut
      .filter(({ path, isFolder }) => isFolder || hasImageName(path))
      .map(({ path: name, detail }) => ({ name, detail })),
    notes: [
      ...guessed.map((name) => `the folder ${name} is taken for the test split`),
      ...[...unused].map(([name, count]) =>
        name === ""
          ? `left out ${count} images beside the folders of splits: ${held.find((each) => !each.includes("/"))}`
          : `left out the folder ${name} with ${count} images: it is no split, as ${[...parts.keys()].join(", ")} are`,
      ),
    ],
  };
}

/**
 * The folders that are splits: none, or `train` and others. A folder `train` without folders of its own among others that are no splits is a
 * class.
 */
function splitFolders(folders: readonly string[], images: readonly string[]): ReadonlyMap<string, SplitName> {
  const top = folders.filter((name) => !name.includes("/"));
  const named = top.flatMap((name) => {
    const split = splitOfFolder(name);
    return split === undefined ? [] : [[name, split] as const];
  });
  const [training, ...others] = named;
  const isClass =
    training !== undefined &&
    others.length === 0 &&
    images.some((name) => name.includes("/") && !name.startsWith(`${training[0]}/`)) &&
    !folders.some((name) => name.startsWith(`${training[0]}/`));
  return named.some(([, split]) => split === "train") && !isClass ? new Map(named) : new Map();
}

/**
 * Images beside the folders of classes have no class: where they are fewer than those that have one they are left out, otherwise there are no
 * classes. Either is noted.
 */
function withoutStrays(images: readonly ImageFile[]): {
  readonly kept: readonly ImageFile[];
  readonly notes: readonly string[];
} {
  const strays = images.filter(({ className }) => className === undefined);
  const [first] = strays;
  const classed = images.length - strays.length;
  if (first === undefined || classed === 0) return { kept: images, notes: [] };
  if (strays.length < classed) {
    const note = `left out ${strays.length} beside the folders of classes: ${first.name}${strays.length > 1 ? ", …" : ""}`;
    return { kept: images.filter(({ className }) => className !== undefined), notes: [note] };
  }
  const note = `no classes are read: ${strays.length} images are beside the folders of classes (${first.name}, …), ${classed} in them`;
  return { kept: images.map((image) => ({ ...image, className: undefined })), notes: [note] };
}

/** The images of a folder that data is made of: those of `findAllImages`, but for those beside the folders of classes. @throws as it */
export async function imagesToRead(folder: string, options: FolderOptions): Promise<FolderImages> {
  const { images, leftOut, notes } = await findAllImages(folder, options);
  const { kept, notes: strays } = withoutStrays(images);
  return { images: kept, leftOut, notes: [...notes, ...strays] };
}

/** What tells lists of files apart, with the classes and splits that these belong to. */
export function digestOfFiles(images: readonly Omit<ImageFile, "read">[]): string {
  const list = images.map(({ name, className, split }) => [name, className ?? null, split ?? null]);
  return createHash("sha256").update(JSON.stringify(list)).digest("hex").slice(0, 16);
}
