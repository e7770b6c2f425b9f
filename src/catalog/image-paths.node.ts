import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { isImagePath, listTree } from "../data/boxes/formats/files.node.ts";
import { DataError } from "../errors.ts";

/** An image file: where it is, and what it is called in results, with `/` between folders. */
export interface ImagePath {
  readonly path: string;
  readonly name: string;
}

/** A pattern of paths as a regular expression: `*` and `?` within a name, `**` over any number of folders. */
export function patternOf(glob: string): RegExp {
  const parts = glob.split("/").map((part, i, all) => {
    const last = i === all.length - 1;
    if (part === "**") return last ? ".*" : "(?:[^/]+/)*";
    const plain = part
      .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", "[^/]*")
      .replaceAll("?", "[^/]");
    return last ? plain : `${plain}/`;
  });
  return new RegExp(`^${parts.join("")}$`);
}

const isGlob = (place: string): boolean => /[*?]/.test(place);

/** Images below a folder, in order of names, those whose paths below it match. */
async function imagesBelow(
  folder: string,
  matches: (name: string) => boolean,
): Promise<readonly ImagePath[]> {
  const { all } = await listTree(folder);
  return all
    .filter((name) => isImagePath(name) && matches(name))
    .map((name) => ({ path: join(folder, name), name }));
}

/**
 * The images of places: files, folders with all that is below them, or patterns such as `photos/**` + `/*.jpg` in quotes.
 * No file comes twice.
 * @throws DataError where a place does not exist or holds no image
 */
export async function findImages(places: readonly string[]): Promise<readonly ImagePath[]> {
  const found = new Map<string, ImagePath>();
  for (const place of places) {
    for (const image of await imagesOf(place)) if (!found.has(image.path)) found.set(image.path, image);
  }
  return [...found.values()];
}

async function imagesOf(place: string): Promise<readonly ImagePath[]> {
  const held = await stat(place).catch(() => undefined);
  if (held?.isFile()) return [{ path: place, name: basename(place) }];
  if (held === undefined && !isGlob(place)) {
    throw new DataError(`there is no file or folder ${place}; give a photo, a folder or a pattern in quotes`);
  }
  const parts = place.replaceAll("\\", "/").split("/");
  const first = held === undefined ? parts.findIndex(isGlob) : parts.length;
  const root = parts.slice(0, first).join("/") || (place.startsWith("/") ? "/" : ".");
  const pattern = held === undefined ? patternOf(parts.slice(first).join("/")) : /./;
  const images = await imagesBelow(root, (name) => pattern.test(name));
  if (images.length === 0) {
    throw new DataError(`${place}: no image ${held === undefined ? "matches" : "in this folder"}`);
  }
  return images;
}
