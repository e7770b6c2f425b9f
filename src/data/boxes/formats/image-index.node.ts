import { isAbsolute, join, relative } from "node:path";
import { append } from "../../../append.ts";
import { fileNameOf, splitOfFolders, stemOf, withSlashes } from "./paths.node.ts";

/** A path so that spellings of one name are the same: in any case, with letters and their marks joined, `%20` a space, and `/`. */
function looseKey(path: string): string {
  let plain = path;
  try {
    plain = decodeURIComponent(path);
  } catch {
    // A % that is no code stands for itself.
  }
  return plain.normalize("NFC").replaceAll("\\", "/").toLowerCase();
}

/** The folders of two paths that are the same, in their order from the root on and from the file upwards. */
function sharedFolders(a: readonly string[], b: readonly string[]): number {
  let shared = 0;
  let from = 0;
  for (const folder of a) {
    const at = b.indexOf(folder, from);
    if (at < 0) continue;
    shared++;
    from = at + 1;
  }
  return shared;
}

const foldersOf = (path: string): readonly string[] => path.split("/").slice(0, -1);

/** Paths by each of the folders that they are in. */
function byFolderOf(paths: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const lists = new Map<string, string[]>();
  for (const path of paths) for (const folder of new Set(foldersOf(path))) append(lists, folder, path);
  return lists;
}

/** Images of one name that are all looked at. */
const FEW = 32;

/** The highest score among some paths, and the path that has it where it is the only one. */
interface Best {
  readonly score: number;
  readonly only: string | undefined;
}

function best(paths: readonly string[], scoreOf: (path: string) => number): Best {
  let [score, only]: [number, string | undefined] = [Number.NEGATIVE_INFINITY, undefined];
  for (const path of paths) {
    const own = scoreOf(path);
    if (own > score) [score, only] = [own, path];
    else if (own === score) only = undefined;
  }
  return { score, only };
}

/**
 * Of many images of one name, those that have one of the folders which few have, or else the one that fewest have; and how many folders
 * the others can share at the most.
 * @param lists the images of that name in each folder
 */
function withFolder(
  folders: readonly string[],
  lists: ReadonlyMap<string, readonly string[]>,
): { readonly near: readonly string[]; readonly others: number } {
  const near = new Set<string>();
  let others = 0;
  let shortest: readonly string[] = [];
  for (const folder of folders) {
    const list = lists.get(folder) ?? [];
    if (list.length <= FEW) {
      for (const path of list) near.add(path);
      continue;
    }
    others++;
    if (shortest.length === 0 || list.length < shortest.length) shortest = list;
  }
  if (near.size > 0) return { near: [...near], others };
  const times = folders.filter((folder) => lists.get(folder) === shortest).length;
  return { near: shortest, others: others - times };
}

/** The images below a root: finds one by what annotations call it. */
export class ImageIndex {
  readonly paths: ReadonlySet<string>;
  /** Images that were found by another spelling of their name, and what they were called. */
  readonly respelled = new Map<string, string>();
  private readonly root: string;
  /** Parts of the path of the deepest image. */
  private readonly deepest: number;
  private readonly byName = new Map<string, string[]>();
  private readonly byStem = new Map<string, string>();
  private readonly byNameStem = new Map<string, string[]>();
  /** Of images of one name, those in each folder. */
  private readonly byFolder = new Map<readonly string[], ReadonlyMap<string, readonly string[]>>();
  /** The best of many images of a name, by what of a path decides it. */
  private readonly bestOfMany = new Map<string, Best>();
  private loose: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(root: string, paths: readonly string[]) {
    this.root = root;
    this.paths = new Set(paths);
    this.deepest = paths.reduce((most, path) => Math.max(most, path.split("/").length), 0);
    for (const path of paths) {
      append(this.byName, fileNameOf(path), path);
      append(this.byNameStem, stemOf(fileNameOf(path)), path);
      if (!this.byStem.has(stemOf(path))) this.byStem.set(stemOf(path), path);
    }
  }

  /**
   * The path below the root of an image that annotations call `name`: in one of the folders, in order; or else the path that ends as it does,
   * or the only image of that file name; as a last resort the only one by another spelling of the name, which is noted in `respelled`. Where
   * there is none it is the path in the first folder, of a file that is not there.
   * @param folders each ending in `/`, or empty for the root
   */
  find(name: string, folders: readonly string[]): string {
    if (isAbsolute(name)) {
      const below = withSlashes(relative(this.root, name));
      if (this.paths.has(below)) return below;
    }
    const plain = name.replaceAll("\\", "/").replace(/^(\.\/)+/, "");
    const file = fileNameOf(plain);
    const own = isAbsolute(name) ? file : plain;
    for (const folder of folders) {
      const path = withSlashes(join(folder, own));
      if (this.paths.has(path)) return path;
    }
    const parts = plain.split("/");
    // No image is below more folders than the deepest; a name may have any number.
    for (let first = Math.max(1, parts.length - this.deepest); first < parts.length - 1; first++) {
      const path = parts.slice(first).join("/");
      if (this.paths.has(path)) return path;
    }
    const same = this.byName.get(file) ?? [];
    if (same.length === 1 && same[0] !== undefined) return same[0];
    const missing = withSlashes(join(folders[0] ?? "", own));
    // One of several of that name is not guessed.
    if (same.length > 1) return missing;
    const found = this.spelledOtherwise(own, folders);
    if (found === undefined) return missing;
    this.respelled.set(found, name);
    return found;
  }

  private spelledOtherwise(name: string, folders: readonly string[]): string | undefined {
    const keys = this.looseKeys();
    const only = (key: string) => {
      const same = keys.get(key) ?? [];
      return same.length === 1 ? same[0] : undefined;
    };
    for (const ending of ["", "*"]) {
      const key = ending === "" ? looseKey(name) : `${looseKey(stemOf(name))}.*`;
      for (const folder of folders) {
        const found = only(withSlashes(join(looseKey(folder), key)));
        if (found !== undefined) return found;
      }
      const found = only(`*/${fileNameOf(key)}`);
      if (found !== undefined) return found;
    }
    // A name without an extension, as some tools write it.
    const whole = `${looseKey(name)}.*`;
    for (const folder of folders) {
      const found = only(withSlashes(join(looseKey(folder), whole)));
      if (found !== undefined) return found;
    }
    return only(`*/${fileNameOf(whole)}`);
  }

  /** Images by their spellings: the whole path or the file name alone (`*` + `/name`), with their extension or with any (`.*`). */
  private looseKeys(): ReadonlyMap<string, readonly string[]> {
    if (this.loose !== undefined) return this.loose;
    const keys = new Map<string, string[]>();
    for (const path of this.paths) {
      const key = looseKey(path);
      const name = fileNameOf(key);
      for (const each of [key, `${stemOf(key)}.*`, `*/${name}`, `*/${stemOf(name)}.*`]) {
        append(keys, each, path);
      }
    }
    this.loose = keys;
    return keys;
  }

  /** The image of that path, whatever its extension. */
  withStem(stem: string): string | undefined {
    return this.byStem.get(stem);
  }

  /**
   * The image that a file of annotations belongs to by its name: one of the same name beside it, or else in another folder, of several the one
   * that shares most folders with it. Undefined where there is none, or nothing tells which.
   */
  partnerOf(annotations: string): string | undefined {
    const beside = this.byStem.get(stemOf(annotations));
    if (beside !== undefined) return beside;
    const stem = stemOf(fileNameOf(annotations));
    const same = this.byNameStem.get(stem) ?? [];
    if (same.length <= 1) return same[0];
    const own = foldersOf(annotations);
    const splitOwn = splitOfFolders(annotations);
    const scoreOf = (path: string): number =>
      sharedFolders(own, foldersOf(path)) +
      (splitOwn !== undefined && splitOfFolders(path) === splitOwn ? 0.5 : 0);
    if (same.length <= FEW) return best(same, scoreOf).only;
    const lists = this.byFolder.get(same) ?? byFolderOf(same);
    this.byFolder.set(same, lists);
    // Folders that no image is in, such as one of labels for each photo, decide nothing.
    const deciding = own.filter((folder) => lists.has(folder));
    const key = [stem, splitOwn, ...deciding].join("/");
    const known = this.bestOfMany.get(key);
    if (known !== undefined) return known.only;
    // Where every photo has a folder of its own, most images share the outer folders alone, and one the innermost, too.
    const { near, others } = withFolder(deciding, lists);
    const nearest = best(near, scoreOf);
    const found = nearest.score > others + 0.5 ? nearest : best(same, scoreOf);
    this.bestOfMany.set(key, found);
    return found.only;
  }
}
