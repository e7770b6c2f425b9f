import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FileError } from "../../../src/errors.ts";
import { type Checkpoint, RunFolder } from "../../../src/train/run-folder.node.ts";
import { lineOf } from "../kind.ts";

// Whether a run folder can be read, and whether it holds the same numbers as another, bit for bit.

/** What the clock decides is not compared. */
const CLOCK = new Set(["seconds", "samplesPerSecond"]);

/** The picture at the end follows from the weights. When others are drawn, and how fine figures are, depends on the clock. */
const isDrawnAtEnd = (name: string): boolean => name === "samples.png";

/** A thing that cannot be read of a run folder, or the step of its checkpoint. What was not written yet is no damage. */
export async function damageOf(
  path: string,
): Promise<{ readonly step: number; readonly damage: string | undefined }> {
  if (!existsSync(join(path, "config.json"))) return { step: 0, damage: undefined };
  const folder = new RunFolder(path);
  try {
    await folder.readConfig();
    await folder.readMetrics();
    const checkpoint = await folder.readCheckpoint();
    await folder.readWeights().catch((error: unknown) => {
      if (!(error instanceof FileError)) throw error;
    });
    return { step: checkpoint?.progress.step ?? 0, damage: undefined };
  } catch (error) {
    return { step: 0, damage: lineOf(error) };
  }
}

/** Names of what differs between two finished runs. */
export async function differences(one: string, other: string): Promise<readonly string[]> {
  const found: string[] = [];
  const bytes = ["weights/best.safetensors", "weights/last.safetensors", "model.onnx"];
  const samples = [one, other].map((folder) =>
    readdirSync(join(folder, "samples")).filter(isDrawnAtEnd).sort(),
  );
  if (String(samples[0]) !== String(samples[1])) found.push("names of samples");
  for (const file of [...bytes, ...(samples[0] ?? []).map((name) => join("samples", name))]) {
    const [a, b] = [one, other].map((folder) =>
      existsSync(join(folder, file)) ? readFileSync(join(folder, file)) : undefined,
    );
    if (a === undefined ? b !== undefined : b === undefined || !a.equals(b)) found.push(file);
  }
  const folders = [one, other].map((path) => new RunFolder(path));
  const [metrics, otherMetrics] = await Promise.all(
    folders.map(async (folder) => timeless(await folder.readMetrics())),
  );
  if (metrics !== otherMetrics) found.push("metrics.csv");
  const [state, otherState] = await Promise.all(folders.map((folder) => folder.readCheckpoint()));
  found.push(...stateDifferences(state, otherState));
  const left = readdirSync(other, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.includes(".tmp"),
  );
  return [...found, ...left.map((name) => `${name} is left`)];
}

function timeless(rows: readonly Readonly<Record<string, number | undefined>>[]): string {
  return JSON.stringify(rows.map((row) => Object.entries(row).filter(([name]) => !CLOCK.has(name))));
}

function stateDifferences(one: Checkpoint | undefined, other: Checkpoint | undefined): readonly string[] {
  if (one === undefined || other === undefined) return one === other ? [] : ["state.safetensors is missing"];
  const progress = [one, other].map(({ progress: { seconds: _, ...rest } }) => JSON.stringify(rest));
  const names = new Set([...one.vectors.keys(), ...other.vectors.keys()]);
  const vectors = [...names].filter((name) => {
    const [a, b] = [one, other].map(({ vectors }) => vectors.get(name)?.data);
    if (a === undefined || b === undefined) return true;
    const [x, y] = [a, b].map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength),
    );
    return x === undefined || y === undefined || !x.equals(y);
  });
  return [
    ...(progress[0] === progress[1] ? [] : [`progress ${progress.join(" and ")}`]),
    ...vectors.map((name) => `state: ${name}`),
  ];
}
