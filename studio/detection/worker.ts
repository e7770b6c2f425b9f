import { expose } from "comlink";
import { webRuntime } from "eidos/program/web";
import { type Assigned, AssignmentEngine, type AssignRequest } from "./engine.ts";
import { atScales, onMaps, type Pyramids } from "./pyramids.ts";
import type { RuleSettings } from "./rules.ts";
import type { SceneObject } from "./scene.ts";
import { type Suppressed, type SuppressionRequest, suppress } from "./suppression.ts";

// The worker of the room: what is computed with a detector's own code is computed here.

export interface PyramidRequest {
  readonly objects: readonly SceneObject[];
  readonly chosen: number;
  /** Sizes that count at each scale, in pixels as seen there. */
  readonly range: { readonly from: number; readonly to: number };
  /** Of FCOS, whose maps are the feature pyramid. */
  readonly settings: RuleSettings;
}

let engine: Promise<AssignmentEngine> | undefined;

function made(): Promise<AssignmentEngine> {
  if (engine === undefined) throw new Error("the worker is not prepared");
  return engine;
}

const api = {
  /** @param runtimeFolder where the files of ONNX Runtime are */
  prepare(runtimeFolder: string): void {
    engine = webRuntime({ provider: "wasm", threads: 1, wasmPaths: runtimeFolder }).then(
      (runtime) => new AssignmentEngine(runtime),
    );
  },
  async assign(request: AssignRequest): Promise<Assigned> {
    return (await made()).assign(request);
  },
  suppress(request: SuppressionRequest): Suppressed {
    return suppress(request);
  },
  async pyramids({ objects, chosen, range, settings }: PyramidRequest): Promise<Pyramids> {
    const { levels, counts } = await (await made()).assign({ rule: "fcos", settings, objects, chosen });
    const box = objects[chosen]?.box ?? [0, 0, 0, 0];
    return {
      image: atScales(box, range),
      feature: onMaps(
        box,
        levels.map(({ stride }) => stride),
        counts[chosen]?.positives ?? [],
      ),
    };
  },
};

export type WorkerApi = typeof api;

expose(api);
