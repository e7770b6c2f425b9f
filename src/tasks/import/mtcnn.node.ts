import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { listFolder, readBytes } from "../../data/files/files.node.ts";
import { STAGES } from "../../detection/models/mtcnn/networks.ts";
import { type CascadeWeights, readCascadeWeights } from "../../detection/models/mtcnn/weights.ts";
import { OptionError } from "../../errors.ts";
import { readWeights } from "../../nn/weights.ts";

/** What weights are kept in. */
const EXTENSIONS: readonly string[] = [".pt", ".pth", ".safetensors"];

/** Weights of MTCNN, and the files that they are from. */
export interface ReadCascade extends CascadeWeights {
  readonly files: readonly string[];
  /** SHA-256 of the files, one after the other. */
  readonly sha256: string;
  readonly notes: readonly string[];
}

/** The files of a folder that hold the networks: those that are named after one, or its only file of weights. @throws OptionError */
async function filesOf(folder: string): Promise<readonly string[]> {
  const names = (await listFolder(folder))
    .map(({ name }) => name)
    .filter((name) => EXTENSIONS.includes(extname(name).toLowerCase()));
  const stem = (name: string): string => name.slice(0, -extname(name).length).toLowerCase();
  const named = STAGES.flatMap((stage) => names.filter((name) => stem(name) === stage));
  const chosen = named.length > 0 ? named : names.length === 1 ? names : [];
  if (chosen.length === 0) {
    throw new OptionError(
      `${folder}: has neither pnet, rnet and onet (${EXTENSIONS.join(", ")}) nor one file of weights; name the files`,
    );
  }
  return chosen.map((name) => join(folder, name));
}

/**
 * Reads MTCNN's three networks: of a folder with pnet.pt, rnet.pt and onet.pt, of these files, or of one with all of them, whose names begin
 * with `pnet.`, `rnet.` and `onet.`.
 * @throws OptionError where a folder has no such files; DataError; WeightsError where a network is missing, or a file is damaged
 */
export async function readMtcnn(paths: readonly string[]): Promise<ReadCascade> {
  const files: string[] = [];
  for (const path of paths) {
    const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
    files.push(...(isFolder ? await filesOf(path) : [path]));
  }
  const hash = createHash("sha256");
  const notes: string[] = [];
  const read: { file: string; tensors: ReturnType<typeof readWeights>["tensors"] }[] = [];
  for (const file of files) {
    const bytes = await readBytes(file);
    hash.update(bytes);
    const weights = readWeights(bytes, file);
    notes.push(...weights.notes);
    read.push({ file, tensors: weights.tensors });
  }
  return { ...readCascadeWeights(read), files, sha256: hash.digest("hex"), notes };
}
