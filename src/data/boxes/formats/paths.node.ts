import { sep } from "node:path";
import { type SplitName, splitOfFolder } from "../../sources/data-set.ts";
import { splitOfName } from "../check.ts";

// Paths of files as annotations give them, and what they tell.

const IMAGE = /\.(png|jpe?g|webp|gif|tiff?|avif|bmp)$/i;

/** Whether a path ends as one of an image. */
export const isImagePath = (path: string): boolean => IMAGE.test(path);

/** A path of this system with `/` between folders. */
export function withSlashes(path: string): string {
  return sep === "/" ? path : path.replaceAll(sep, "/");
}

/** A path without its extension. */
export function stemOf(path: string): string {
  return path.replace(/\.[^./]*$/, "");
}

/** The last part of a path of any system. */
export function fileNameOf(path: string): string {
  return path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
}

/** The folder of a path below a root, ending in `/`; empty for the root itself. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** The split that a folder above a file is named after. */
export function splitOfFolders(path: string): SplitName | undefined {
  const folders = path.split("/").slice(0, -1);
  return folders.map(splitOfFolder).find((split) => split !== undefined);
}

/** The split that a file of annotations is for: that of its folders, or else one that its name contains. */
export function splitOfPath(path: string): SplitName | undefined {
  return splitOfFolders(path) ?? splitOfName(stemOf(fileNameOf(path)));
}
