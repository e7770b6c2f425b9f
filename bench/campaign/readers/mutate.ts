import { extname } from "node:path";
import type { Random } from "../../../src/random.ts";
import {
  type ChangedBytes,
  changeBytes,
  changeNpy,
  changeOnnx,
  changePickle,
  changePng,
  changeSafetensors,
} from "./binary.ts";
import { pick, type Strangers } from "./hostile.ts";
import {
  type Changed,
  changeCsv,
  changeJson,
  changeJsonLines,
  changeLines,
  changeXml,
  changeYaml,
} from "./structured.ts";

/** What stands under a path of an input. */
export type Entry =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "pipe" }
  | { readonly kind: "folder" };

/** The files of an input, by their paths within its folder. */
export type Files = ReadonlyMap<string, Entry>;

/** An input that is no longer what it was. */
export interface Mutation {
  /** What was changed, for a person. */
  readonly name: string;
  readonly files: Files;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const ofText =
  (change: (text: string, random: Random, strangers: Strangers) => Changed | undefined) =>
  (bytes: Uint8Array, random: Random, strangers: Strangers): ChangedBytes | undefined => {
    const changed = change(text(bytes), random, strangers);
    return changed && { name: changed.name, bytes: new TextEncoder().encode(changed.text) };
  };

/** Changes that know a format, by the extensions of its files. */
const BY_FORMAT: Readonly<
  Record<string, (bytes: Uint8Array, random: Random, strangers: Strangers) => ChangedBytes | undefined>
> = {
  ".json": ofText(changeJson),
  ".jsonl": ofText(changeJsonLines),
  ".yaml": ofText(changeYaml),
  ".xml": ofText(changeXml),
  ".csv": ofText(changeCsv),
  ".tsv": ofText(changeCsv),
  ".txt": ofText(changeLines),
  ".safetensors": changeSafetensors,
  ".pth": changePickle,
  ".npy": changeNpy,
  ".png": changePng,
  ".onnx": changeOnnx,
};

/** A change that knows the format; none where an earlier one has left nothing to know. */
function knownChange(
  path: string,
  bytes: Uint8Array,
  random: Random,
  strangers: Strangers,
): ChangedBytes | undefined {
  try {
    return BY_FORMAT[extname(path)]?.(bytes, random, strangers);
  } catch {
    return undefined;
  }
}

/** Changes of what a file is. */
function changeEntry(
  random: Random,
  { picture, table, watched }: Strangers,
): readonly [string, Entry | undefined] {
  const target = pick(random, [
    picture,
    table,
    "/dev/zero",
    "/",
    "../..",
    ".",
    "/nowhere",
    "/etc/passwd",
    watched,
  ]);
  switch (random.integer(8)) {
    case 0:
      return ["is missing", undefined];
    case 1:
      return ["is empty", { kind: "bytes", bytes: new Uint8Array() }];
    case 2:
      return ["is a folder", { kind: "folder" }];
    case 3:
      return ["is a pipe", { kind: "pipe" }];
    default:
      return [`is a link to ${target}`, { kind: "link", target }];
  }
}

/**
 * Changes an input in one to three places.
 * @param files a sound input
 * @param other another sound input of the same reader, whose bytes may come into this one
 * @param wanted the paths that are worth changing
 */
export function mutate(
  files: Files,
  other: Files,
  wanted: (path: string) => boolean,
  random: Random,
  strangers: Strangers,
): Mutation {
  const changed = new Map(files);
  const names: string[] = [];
  const paths = [...files.keys()].filter(wanted);
  const changes = random.integer(4) > 0 ? 1 : 2 + random.integer(2);
  while (names.length < changes) {
    const path = pick(random, paths);
    const entry = changed.get(path);
    if (entry?.kind !== "bytes" || random.integer(60) === 0) {
      const [name, put] = changeEntry(random, strangers);
      if (put === undefined) changed.delete(path);
      else changed.set(path, put);
      names.push(`${path} ${name}`);
      continue;
    }
    // Knowing changes get further into a reader than blind ones.
    const known = random.integer(3) > 0 ? knownChange(path, entry.bytes, random, strangers) : undefined;
    const donor = pick(
      random,
      [...other.values()].filter(({ kind }) => kind === "bytes"),
    );
    const { name, bytes } =
      known ?? changeBytes(entry.bytes, donor?.kind === "bytes" ? donor.bytes : entry.bytes, random);
    changed.set(path, { kind: "bytes", bytes });
    names.push(`${path}: ${name}`);
  }
  // Paths within a document can be as deep as the document.
  return { name: names.map((name) => name.slice(0, 150)).join("; "), files: changed };
}
