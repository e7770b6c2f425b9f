import { expose, transfer } from "comlink";
import { webRuntime } from "eidos/program/web";
import type { Compute } from "./compute.ts";
import type { DataSpec } from "./data.ts";
import {
  Engine,
  type Look,
  type LookRequest,
  type Picture,
  type Prepared,
  type Progress,
  pointsOf,
  trueDensity,
} from "./engine.ts";
import type { ModelKey, Settings } from "./models.ts";

// The worker of one model. Everything is computed here, so that the page stays free to draw.

let engine: Engine | undefined;

function made(): Engine {
  if (engine === undefined) throw new Error("no model is prepared");
  return engine;
}

function buffersOf(picture: Picture): Transferable[] {
  switch (picture.kind) {
    case "samples":
      return [picture.points.buffer];
    case "density":
      return [picture.logDensities.buffer];
    case "path":
      return picture.states.map(({ buffer }) => buffer);
    case "field":
      return [picture.velocities.buffer];
    case "none":
      return [];
  }
}

const api = {
  /** Points of a distribution, as a model is given them. */
  points(data: DataSpec, count: number, seed: number): Float32Array {
    const points = pointsOf(data, count, seed);
    return transfer(points, [points.buffer]);
  },
  trueDensity(data: DataSpec): Picture {
    const picture = trueDensity(data);
    return transfer(picture, buffersOf(picture));
  },
  /** Builds a model and its training. Small networks gain nothing by threads: each model has a worker of its own instead. */
  async prepare(
    key: ModelKey,
    data: DataSpec,
    seed: number,
    { provider, wasmPaths }: { readonly provider: Compute; readonly wasmPaths: string },
  ): Promise<Prepared> {
    const runtime = await webRuntime({ provider, threads: 1, wasmPaths });
    engine = new Engine(key, data, seed, runtime);
    return engine.prepared;
  },
  advance(limit: { readonly steps: number; readonly milliseconds: number }): Promise<Progress> {
    return made().advance(limit);
  },
  async look(request: LookRequest): Promise<Look> {
    const look = await made().look(request);
    return transfer(look, buffersOf(look.picture));
  },
  async file(): Promise<Uint8Array> {
    const bytes = await made().file();
    return transfer(bytes, [bytes.buffer]);
  },
  async onnx(settings: Settings): Promise<Uint8Array> {
    const bytes = await made().onnx(settings);
    return transfer(bytes, [bytes.buffer]);
  },
};

export type WorkerApi = typeof api;

expose(api);
