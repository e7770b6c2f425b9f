import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import onnxProto from "onnx-proto";
import * as ort from "onnxruntime-node";
import { afterEach, describe, expect, it, vi } from "vitest";
import { MissingPackageError, OptionError, RuntimeError } from "../../src/errors.ts";
import { findBlock } from "../../src/program/block-probe.ts";
import { lowerToOnnx } from "../../src/program/lower.ts";
import {
  availableProviders,
  blockOfThisMachine,
  evaluate,
  listedProviders,
  nodeRuntime,
} from "../../src/program/node.ts";
import { graphOf, Program } from "../../src/program/program.ts";
import type { OrtModule } from "../../src/program/runtime.ts";
import { webRuntime } from "../../src/program/web.ts";
import { Random } from "../../src/random.ts";
import { float32 } from "../../src/tensor/array.ts";
import type { Target } from "../../src/tensor/graph.ts";
import { concat, conv2d, grad, input, normal, split } from "../../src/tensor/index.ts";

const library = ort as unknown as OrtModule;

describe("nodeRuntime", () => {
  it("runs on the CPU by default", async () => {
    expect((await nodeRuntime()).provider).toBe("cpu");
    expect(await availableProviders()).toContain("cpu");
  });

  it("refuses a provider that it does not know, and lists those of this machine", async () => {
    const failure = nodeRuntime({ provider: "abacus" });
    await expect(failure).rejects.toThrow(OptionError);
    await expect(failure).rejects.toThrow(/abacus .*this machine has: .*cpu/);
  });

  it("says why a provider that ONNX Runtime lists does not start, and lists those that do", async () => {
    const available = await availableProviders();
    const broken = listedProviders().filter((provider) => !available.includes(provider));
    for (const provider of broken) {
      const failure = nodeRuntime({ provider });
      await expect(failure).rejects.toThrow(RuntimeError);
      await expect(failure).rejects.toThrow(`this machine has: ${available.join(", ")}`);
    }
    // Where everything starts there is nothing to see; the CUDA libraries are hardly ever all there.
    expect(broken.length + available.length).toBe(listedProviders().length);
  });

  it("refuses a number of threads that is none", async () => {
    for (const threads of [0, -1, 1.5, Number.NaN]) {
      await expect(nodeRuntime({ threads })).rejects.toThrow(/threads.*positive integer/);
    }
  });

  it("refuses a time to spin that is none, and computes the same whatever the time", async () => {
    for (const spinMicroseconds of [-1, 1.5, Number.NaN]) {
      await expect(nodeRuntime({ spinMicroseconds })).rejects.toThrow(/spinMicroseconds.*whole number/);
    }
    const x = input("x", [3]);
    const feeds = new Map([[x, float32([1, 2, 3], [3])]]);
    for (const spinMicroseconds of [0, 50]) {
      const [y] = await evaluate([x.mul(x)], feeds, { spinMicroseconds, threads: 2 });
      expect([...(y?.data ?? [])]).toEqual([1, 4, 9]);
    }
  });

  it("turns denormals into 0, whichever session was the first", async () => {
    const x = input("x", [1]);
    const [y] = await evaluate([x.mul(x)], new Map([[x, float32([1e-20], [1])]]));
    expect(y?.data[0]).toBe(0);
  });

  it("writes a profile when a program is released", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eidos-profile-"));
    try {
      const x = input("x", [3]);
      const feeds = new Map([[x, float32([1, 2, 3], [3])]]);
      await evaluate([x.exp()], feeds, { profile: join(folder, "run") });
      const files = readdirSync(folder);
      expect(files).toHaveLength(1);
      expect(files[0]).toMatch(/^run/);
      const events: readonly { readonly name: string }[] = JSON.parse(
        readFileSync(join(folder, files[0] ?? ""), "utf8"),
      );
      expect(events.some(({ name }) => name.startsWith("Exp_"))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("refuses values of another runtime and bytes that are no model", async () => {
    const runtime = await nodeRuntime();
    await expect(runtime.load(new Uint8Array([1, 2, 3]))).rejects.toThrow(/cpu cannot load the program/);
    const program = await Program.build({ y: input("x", [1]).add(1) }, runtime);
    const foreign = {
      kind: "runtime",
      dtype: "float32",
      shape: [1],
      read: async () => float32([1], [1]),
      view: () => float32([1], [1]),
      dispose: () => {},
    } as const;
    await expect(program.run({ x: foreign })).rejects.toThrow(/input x is a value of another runtime/);
    await program.release();
  });

  it("gives memory back when a value is disposed of, unless somebody has read it", async () => {
    const size = 1 << 20;
    const program = await Program.build({ y: input("x", [size]).add(1) }, await nodeRuntime());
    const x = float32(new Float32Array(size), [size]);
    const memory = (): number => process.memoryUsage().arrayBuffers;
    const before = memory();
    // Far less than the garbage collector would wait for: nothing else frees anything here.
    for (let i = 0; i < 4; i++) (await program.runValues({ x })).y?.dispose();
    expect(memory() - before).toBeLessThan(4 * size);
    const { y } = await program.runValues({ x });
    const read = await y?.read();
    y?.dispose();
    expect(read?.data.length).toBe(size);
    expect(read?.data.every((value) => value === 1)).toBe(true);
    expect(x.data.length).toBe(size);
    await program.release();
  });
});

describe("the block of blocked convolutions", () => {
  it("is found once, quickly, and used on the CPU only where nothing else is asked for", async () => {
    const block = await blockOfThisMachine();
    expect([0, 8, 16]).toContain(block);
    expect((await nodeRuntime()).target.block).toBe(block);
    expect((await nodeRuntime({ target: { block: 0 } })).target.block).toBe(0);
    const times: number[] = [];
    for (let i = 0; i < 10; i++) {
      const started = performance.now();
      expect(await findBlock(library)).toBe(block);
      times.push(performance.now() - started);
    }
    expect(Math.min(...times)).toBeLessThan(30);
  });

  it("makes blocked convolutions right", async () => {
    const random = new Random(0);
    const array = (shape: readonly number[]) => {
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      random.fillNormal(data);
      return float32(data, shape);
    };
    const [x, weight] = [input("x", [2, 32, 6, 6]), input("w", [48, 32, 3, 3])];
    const feeds = new Map([
      [x, array([2, 32, 6, 6])],
      [weight, array([48, 32, 3, 3])],
    ]);
    const y = conv2d(x, weight, { padding: 1 });
    const [blocked] = await evaluate([y], feeds);
    const [plain] = await evaluate([y], feeds, { target: { block: 0 } });
    expect(plain?.data.length).toBe(2 * 48 * 36);
    Array.from(plain?.data ?? [], Number).forEach((value, i) => {
      expect(Math.abs(Number(blocked?.data[i]) - value)).toBeLessThan(1e-4);
    });
  });

  it("is 0 where the library has no such kernels", async () => {
    const refusing: OrtModule = {
      Tensor: library.Tensor,
      InferenceSession: { create: () => Promise.reject(new Error("unknown domain")) },
    };
    expect(await findBlock(refusing)).toBe(0);
  });
});

describe("a target that joins few tensors at once", () => {
  it("joins and cuts many in several nodes, to the same numbers", async () => {
    const x = input("x", [50, 2]);
    const data = float32(
      Float32Array.from({ length: 100 }, (_, i) => Math.sin(i)),
      [50, 2],
    );
    const sizes = Array.from({ length: 20 }, (_, i) => (i % 4) + 1);
    const pieces = split(x, 0, sizes);
    const y = concat([...pieces].reverse(), 0).mul(2);
    const [gradient] = grad(y.square().sum(), [x]);
    const feeds = new Map([[x, data]]);
    const all = await evaluate([y, gradient], feeds);
    for (const mostJoined of [2, 3, 8, 19]) {
      const few = await evaluate([y, gradient], feeds, { target: { mostJoined } });
      expect(few).toEqual(all);
    }
    const lowered = (target: Target) => {
      const { graph: traced } = graphOf(new Map([["y", y]]), new Map());
      const { graph } = onnxProto.onnx.ModelProto.decode(lowerToOnnx(traced, target));
      return (graph?.node ?? []).map(({ input: read, output }) =>
        Math.max(read?.length ?? 0, output?.length ?? 0),
      );
    };
    expect(Math.max(...lowered({ contrib: false, block: 0 }))).toBe(20);
    expect(Math.max(...lowered({ contrib: false, block: 0, mostJoined: 8 }))).toBeLessThanOrEqual(8);
  });
});

describe("worker threads", () => {
  it("run programs at the same time, with the numbers of the main thread", async () => {
    const data = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
    const start = (seed: number): Promise<Float32Array> =>
      new Promise((resolve, reject) => {
        const entry = new URL("worker.ts", import.meta.url);
        const code = `import("tsx/esm/api").then(({ register }) => { register(); return import("${entry}"); })`;
        const worker = new Worker(code, { eval: true, workerData: { seed, data } });
        worker.once("message", resolve);
        worker.once("error", reject);
      });
    const results = await Promise.all([start(1), start(2), start(1)]);
    const x = input("x", [8, 8]);
    const program = await Program.build(
      { y: x.add(normal([8, 8])).matmul(x) },
      await nodeRuntime({ threads: 1 }),
    );
    for (const [i, seed] of [1, 2, 1].entries()) {
      const { y } = await program.run({ x: float32(data, [8, 8]) }, { random: new Random(seed) });
      expect([...(results[i] ?? [])]).toEqual(Array.from(y?.data ?? [], Number));
    }
    await program.release();
  });
});

describe("webRuntime", () => {
  afterEach(() => {
    vi.doUnmock("onnxruntime-web/wasm");
    vi.unstubAllGlobals();
  });

  it("runs the fused kernels of the CPU under WebAssembly", async () => {
    const runtime = await webRuntime({ threads: 1 });
    expect([runtime.provider, runtime.target]).toEqual(["wasm", { contrib: true, block: 0 }]);
    const [x, w] = [input("x", [2, 2]), input("w", [3, 2])];
    const program = await Program.build({ y: x.silu().matmul(w, { transposeB: true }).gelu() }, runtime);
    const feeds = { x: float32([1, -2, 0.5, 3], [2, 2]), w: float32([1, 0, 0, 1, 1, 1], [3, 2]) };
    const { y } = await program.run(feeds);
    await program.release();
    const inNode = await Program.build(
      { y: x.silu().matmul(w, { transposeB: true }).gelu() },
      await nodeRuntime(),
    );
    const { y: expected } = await inNode.run(feeds);
    await inNode.release();
    expect(y?.shape).toEqual([2, 3]);
    Array.from(expected?.data ?? [], Number).forEach((value, i) => {
      expect(Number(y?.data[i])).toBeCloseTo(value, 5);
    });
  });

  it("says what to install where onnxruntime-web is missing", async () => {
    vi.doMock("onnxruntime-web/wasm", () => {
      throw new Error("Cannot find package");
    });
    const failure = webRuntime();
    await expect(failure).rejects.toThrow(MissingPackageError);
    await expect(failure).rejects.toThrow(/npm install onnxruntime-web/);
  });

  it("says so where there is no WebGPU, no adapter or no such provider", async () => {
    vi.stubGlobal("navigator", {});
    await expect(webRuntime({ provider: "webgpu" })).rejects.toThrow(/no WebGPU .*use wasm/);
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => null } });
    await expect(webRuntime({ provider: "webgpu" })).rejects.toThrow(/no WebGPU adapter/);
    await expect(webRuntime({ provider: "cpu" as "wasm" })).rejects.toThrow(/cpu is unknown.*wasm, webgpu/);
    await expect(webRuntime({ threads: 0 })).rejects.toThrow(/positive integer/);
  });
});
