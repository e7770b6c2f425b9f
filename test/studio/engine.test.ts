import { drawnPoints } from "eidos/data";
import { energyDistance } from "eidos/metrics";
import { readSafetensors } from "eidos/nn";
import { Random } from "eidos/program";
import { nodeRuntime } from "eidos/program/node";
import { float32 } from "eidos/tensor";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import type { DataSpec } from "../../studio/playground/data.ts";
import {
  densityOf,
  Engine,
  type LookRequest,
  pointsOf,
  trueDensity,
} from "../../studio/playground/engine.ts";
import { LossHistory } from "../../studio/playground/losses.ts";
import { initialSettings, MODEL_KEYS, MODELS, type ModelKey } from "../../studio/playground/models.ts";

const MOONS: DataSpec = { kind: "plane", name: "two-moons" };

const request = (
  key: ModelKey,
  view: LookRequest["view"],
  others: Partial<LookRequest> = {},
): LookRequest => ({
  view,
  count: 60,
  settings: initialSettings(key),
  time: 0.5,
  seed: 1,
  figures: false,
  patient: false,
  ...others,
});

describe("the engine of the playground", () => {
  const runtime = nodeRuntime({ threads: 1 });

  it.each(MODEL_KEYS)("builds and trains %s, and shows what there is of it", async (key) => {
    const engine = new Engine(key, MOONS, 0, await runtime);
    const { density, path, field, losses } = MODELS[key];
    const progress = await engine.advance({ steps: 3, milliseconds: 60_000 });
    expect(progress.steps).toEqual([1, 2, 3]);
    expect(progress.losses.map((column) => column.length)).toEqual(losses.map(() => 3));
    expect(progress.losses.flat().every(Number.isFinite)).toBe(true);
    const look = await engine.look(request(key, "samples", { figures: true }));
    expect(look.picture.kind === "samples" && look.picture.points.length).toBe(120);
    expect(Number.isFinite(look.figures?.energyDistance)).toBe(true);
    expect(look.figures?.logLikelihood !== undefined).toBe(density === "live");
    const { picture } = await engine.look(request(key, "field"));
    expect(picture.kind).toBe(field ? "field" : "none");
    expect((await engine.look(request(key, "density"))).picture.kind).toBe(
      density === "live" ? "density" : "none",
    );
    const way = (await engine.look(request(key, "path"))).picture;
    expect(way.kind).toBe(path ? "path" : "none");
    if (way.kind === "path")
      expect(way.states.every((state) => state.length === 120 && state.every(Number.isFinite))).toBe(true);
    await engine.release();
  });

  it("begins paths of flows and of diffusion models at the same noise, but for its scale", async () => {
    const starts: Float32Array[] = [];
    for (const key of ["rectified-flow", "nice"] as const) {
      const engine = new Engine(key, MOONS, 0, await runtime);
      const { picture } = await engine.look(request(key, "path"));
      if (picture.kind === "path" && picture.states[0] !== undefined) starts.push(picture.states[0]);
      await engine.release();
    }
    expect(starts).toHaveLength(2);
    // Diffusion models work in half the units of points.
    expect(starts[0]).toEqual(starts[1]?.map((value) => 2 * value));
  });

  it("ends a path at the samples that are shown, and measures with the measure of eidos", async () => {
    const engine = new Engine("rectified-flow", MOONS, 0, await runtime);
    await engine.advance({ steps: 2, milliseconds: 60_000 });
    const samples = (await engine.look(request("rectified-flow", "samples"))).picture;
    const way = (await engine.look(request("rectified-flow", "path"))).picture;
    if (samples.kind !== "samples" || way.kind !== "path") throw new Error("no picture");
    expect(way.states.at(-1)).toEqual(samples.points);
    const many = await engine.look(request("rectified-flow", "samples", { count: 500, figures: true }));
    if (many.picture.kind !== "samples") throw new Error("no picture");
    // Held-out points are the first of the test split, which is drawn after the training points.
    const test = drawnPoints(densityOf(MOONS), { seed: 0, count: 20_000 }).splits.test;
    const heldOut = test.batch(Uint32Array.from({ length: 500 }, (_, i) => i)).x.data as Float32Array;
    const expected = energyDistance(float32(many.picture.points, [500, 2]), float32(heldOut, [500, 2]));
    expect(many.figures?.energyDistance).toBe(expected);
    await engine.release();
  });

  it("has the velocities that particles of its path have", async () => {
    const engine = new Engine("rectified-flow", MOONS, 0, await runtime);
    await engine.advance({ steps: 30, milliseconds: 60_000 });
    const field = (await engine.look(request("rectified-flow", "field", { time: 1 }))).picture;
    const way = (await engine.look(request("rectified-flow", "path", { count: 400 }))).picture;
    if (field.kind !== "field" || way.kind !== "path") throw new Error("no picture");
    const [before = new Float32Array(0), after = new Float32Array(0)] = way.states;
    const { side, velocities } = field;
    const cell = 8.8 / side;
    let compared = 0;
    for (let i = 0; i < before.length; i += 2) {
      const [x = 0, y = 0] = before.subarray(i, i + 2);
      const [column, row] = [Math.floor((x + 4.4) / cell), Math.floor((4.4 - y) / cell)];
      const [centerX, centerY] = [(column + 0.5) * cell - 4.4, 4.4 - (row + 0.5) * cell];
      // Particles beside an arrow move as it points: against time, by Euler's method in steps of 1/20.
      if (Math.max(Math.abs(centerX), Math.abs(centerY)) > 4.4) continue;
      if (Math.hypot(x - centerX, y - centerY) > 0.1) continue;
      compared++;
      const arrow = 2 * (row * side + column);
      for (const k of [0, 1]) {
        const velocity = -20 * ((after[i + k] ?? 0) - (before[i + k] ?? 0));
        expect(Math.abs(velocity - (velocities[arrow + k] ?? 0))).toBeLessThan(0.4);
      }
    }
    expect(compared).toBeGreaterThan(10);
    await engine.release();
  });

  it("offers its weights as a file, those of the newest step", async () => {
    const engine = new Engine("nice", MOONS, 0, await runtime);
    await engine.look(request("nice", "samples"));
    await engine.advance({ steps: 2, milliseconds: 60_000 });
    const { tensors, metadata } = readSafetensors(await engine.file(), "weights");
    expect(metadata).toEqual({ model: "nice", step: "2" });
    const count = [...tensors.values()].reduce((sum, { data }) => sum + data.length, 0);
    expect(count).toBeGreaterThanOrEqual(engine.prepared.parameters);
    await engine.release();
  });

  it.each(MODEL_KEYS)("writes the sampler of %s as an ONNX file that runs without eidos", async (key) => {
    const engine = new Engine(key, MOONS, 0, await runtime);
    await engine.advance({ steps: 2, milliseconds: 60_000 });
    const few = MODELS[key].controls.some(({ option }) => option === "steps") ? { steps: 6 } : {};
    const settings = { ...initialSettings(key), ...few };
    const count = 20;
    const session = await InferenceSession.create(await engine.onnx(settings));
    // The noise that the model itself begins with for this seed.
    const noise = new Float32Array(2 * count);
    const random = new Random(1).split("sample");
    for (let i = 0; i < count; i++) {
      const row = random.split(i);
      const own = MODELS[key].family === "flow" ? row : row.split("noise");
      own.fillNormal(noise.subarray(2 * i, 2 * i + 2));
    }
    const feeds = session.inputMetadata.map(({ name, ...input }) => {
      const shape =
        "shape" in input ? input.shape.map((side) => (typeof side === "number" ? side : count)) : [];
      const size = shape.reduce((product, side) => product * side, 1);
      const isFirst = shape.join() === [count, 2].join();
      const values = isFirst ? noise : Float32Array.from({ length: size }, () => 0.5);
      return [name, new Tensor("float32", values, shape)] as const;
    });
    const { samples } = await session.run(Object.fromEntries(feeds));
    expect(samples?.dims).toEqual([count, 2]);
    const drawn = samples?.data as Float32Array;
    expect(drawn.every(Number.isFinite)).toBe(true);
    // Without other noise the samples are those that the page shows.
    if (feeds.length === 1 && key !== "gan") {
      const { picture } = await engine.look(request(key, "samples", { count, settings }));
      if (picture.kind !== "samples") throw new Error("no samples");
      const apart = drawn.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - (picture.points[i] ?? 0))),
        0,
      );
      expect(apart).toBeLessThan(1e-3);
    }
    await engine.release();
  });

  it("draws points and the true density of what is chosen or drawn", () => {
    const drawing: DataSpec = { kind: "drawing", strokes: [{ points: [1, 2], deviation: 0.1 }] };
    const points = pointsOf(drawing, 200, 0);
    expect(points.reduce((sum, value) => sum + value, 0) / 200).toBeCloseTo(3, 1);
    const picture = trueDensity(drawing);
    if (picture.kind !== "density") throw new Error("no density");
    const { side, logDensities } = picture;
    const brightest = logDensities.indexOf(Math.max(...logDensities));
    const at = (i: number): number => 4.4 * ((2 * (i + 0.5)) / side - 1);
    expect(at(brightest % side)).toBeCloseTo(1, 0);
    expect(-at(Math.floor(brightest / side))).toBeCloseTo(2, 0);
  });
});

describe("losses", () => {
  it("are thinned out when they are many, and the running mean sees all", () => {
    const history = new LossHistory(1);
    for (let step = 1; step <= 5000; step++) history.add({ steps: [step], losses: [[step % 2]] });
    expect(history.steps.length).toBeLessThanOrEqual(1200);
    expect(history.steps.at(-1)).toBeGreaterThan(4980);
    expect(history.losses[0]?.length).toBe(history.steps.length);
    expect(history.smooth.at(-1)).toBeCloseTo(0.5, 1);
  });
});
