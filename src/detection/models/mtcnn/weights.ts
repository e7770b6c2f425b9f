import { WeightsError } from "../../../errors.ts";
import type { State } from "../../../program/program.ts";
import type { NdArray } from "../../../tensor/array.ts";
import { STAGES, type Stage } from "./networks.ts";
import type { MtcnnOptions } from "./options.ts";

/** Weights out of a file. */
export interface WeightsFile {
  /** Named in errors. */
  readonly file: string;
  readonly tensors: ReadonlyMap<string, NdArray>;
}

/** The weights of the three networks by the names of the model, and the options that follow from them. */
export interface CascadeWeights {
  readonly state: State;
  readonly options: Pick<MtcnnOptions, "landmarks" | "earlyLandmarks">;
}

/** The head for scores of each network, which no other has, and its head for landmarks. */
const HEADS = {
  pnet: { scores: "conv4_1", landmarks: "conv4_3" },
  rnet: { scores: "dense5_1", landmarks: "dense5_3" },
  onet: { scores: "dense6_1", landmarks: "dense6_3" },
} as const;

/** What stands before the names of each network of a file: `""`, `module.`, `pnet.`. */
function networksOf(tensors: WeightsFile["tensors"]): ReadonlyMap<Stage, string> {
  const found = new Map<Stage, string>();
  for (const name of tensors.keys()) {
    for (const stage of STAGES) {
      const mark = `${HEADS[stage].scores}.weight`;
      if (name === mark || name.endsWith(`.${mark}`)) found.set(stage, name.slice(0, -mark.length));
    }
  }
  return found;
}

/** Whether a file has the last layer of one of MTCNN's networks. */
export function holdsCascade(tensors: WeightsFile["tensors"]): boolean {
  return networksOf(tensors).size > 0;
}

/**
 * The weights of MTCNN's networks from files that each hold one of them, as facenet-pytorch has them (`conv4_1.weight`), or several with a prefix
 * each (`pnet.conv4_1.weight`). Which network it is, its layers tell.
 * @throws WeightsError where a network is missing, there twice, or a file holds something else
 */
export function readCascadeWeights(files: readonly WeightsFile[]): CascadeWeights {
  const state = new Map<string, NdArray>();
  const sources = new Map<Stage, string>();
  for (const { file, tensors } of files) {
    const networks = networksOf(tensors);
    if (networks.size === 0) {
      const [first = "nothing"] = tensors.keys();
      throw new WeightsError(
        `${file}: holds none of MTCNN's networks (it has ${first}); their last layers are called ${STAGES.map((stage) => HEADS[stage].scores).join(", ")}`,
      );
    }
    const named = STAGES.find((stage) => new RegExp(`(^|[/\\\\])${stage}\\.\\w+$`, "i").test(file));
    if (named !== undefined && !networks.has(named)) {
      throw new WeightsError(
        `${file}: is called ${named} and holds the layers of ${[...networks.keys()].join(", ")}: files may be swapped; give each the name of what it holds`,
      );
    }
    for (const stage of networks.keys()) {
      const other = sources.get(stage);
      if (other !== undefined)
        throw new WeightsError(`${file}: holds ${stage}, which ${other} holds, too; give one of them`);
      sources.set(stage, file);
    }
    const prefixes = [...networks].sort(([, a], [, b]) => b.length - a.length);
    for (const [name, value] of tensors) {
      const own = prefixes.find(([, prefix]) => name.startsWith(prefix));
      if (own === undefined) {
        throw new WeightsError(
          `${file}: ${name} is of none of its networks (${[...networks.keys()].join(", ")})`,
        );
      }
      const [stage, prefix] = own;
      state.set(`${stage}.${name.slice(prefix.length)}`, value);
    }
  }
  const missing = STAGES.filter((stage) => !sources.has(stage));
  if (missing.length > 0) {
    throw new WeightsError(
      `${files.map(({ file }) => file).join(", ")}: ${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing; MTCNN is three networks: ${STAGES.join(", ")}`,
    );
  }
  const heads = STAGES.map((stage) => state.get(`${stage}.${HEADS[stage].landmarks}.weight`)?.shape[0] ?? 0);
  const [proposal = 0, , output = 0] = heads;
  return { state, options: { landmarks: Math.floor(output / 2), earlyLandmarks: proposal > 0 } };
}
