import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/program/node.ts";
import { openSharedModule } from "../../src/program/shared-module.node.ts";
import { SHARED_UPDATE_CODE } from "../../src/train/update-code.ts";

const BYTES = 1 << 16;

describe("a module on several threads", () => {
  it("does every task once, and hands out what each call returned", async () => {
    const module = await openSharedModule(SHARED_UPDATE_CODE, BYTES, 2);
    const numbers = new Float32Array(module.memory.buffer);
    numbers.set([3, 4, 12], 0);
    const counts = new Int32Array(100);
    let handed = 0;
    for (let task = 0; task < 100; task++) {
      const at = 4 * (64 + task);
      const calls = [
        { name: "squareSum", args: [0, 2 + (task % 2)] },
        // x ← x + y, twice.
        { name: "add", args: [at, 0, 1] },
        { name: "add", args: [at, 4, 1] },
      ];
      const took = module.hand(calls, (results) => {
        counts[task] = (counts[task] ?? 0) + 1;
        expect(results).toEqual([task % 2 === 0 ? 25 : 169, 0, 0]);
      });
      if (took) handed += 1;
      else counts[task] = -1;
    }
    module.finish();
    expect(handed).toBeGreaterThan(0);
    counts.forEach((count, task) => {
      expect(count === 1 || count === -1, `task ${task}`).toBe(true);
      expect(numbers[64 + task]).toBe(count === 1 ? 7 : 0);
    });
    await module.close();
  });

  it("leaves tasks to its caller where every thread has as many as it takes", async () => {
    const module = await openSharedModule(SHARED_UPDATE_CODE, 1 << 24, 1);
    const long = [{ name: "squareSum", args: [0, 1 << 22] }];
    let handed = 0;
    while (handed < 1000 && module.hand(long)) handed += 1;
    expect(handed).toBeLessThan(1000);
    module.finish();
    expect(module.hand(long)).toBe(true);
    module.finish();
    await module.close();
  });

  it("says that a call failed, and refuses calls that there are not", async () => {
    const module = await openSharedModule(SHARED_UPDATE_CODE, BYTES, 1);
    expect(module.hand([{ name: "squareSum", args: [2 * BYTES, 4] }])).toBe(true);
    expect(() => module.finish()).toThrow(
      /a thread that shares .* could not call squareSum; with one thread/,
    );
    expect(() => module.hand([{ name: "multiply", args: [1] }])).toThrow(/multiply\(1\)/);
    await module.close();
    await expect(openSharedModule(Uint8Array.of(1, 2, 3), BYTES, 1)).rejects.toThrow();
  });

  it("does not keep a process that has nothing else to do", async () => {
    const path = (file: string): string => new URL(`../../src/${file}`, import.meta.url).href;
    const program = `
      const { openSharedModule } = await import(${JSON.stringify(path("program/shared-module.node.ts"))});
      const { SHARED_UPDATE_CODE } = await import(${JSON.stringify(path("train/update-code.ts"))});
      await openSharedModule(SHARED_UPDATE_CODE, 65536, 2);
      console.log("opened");`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--import",
      import.meta.resolve("tsx"),
      "--eval",
      `(async () => {${program}})()`,
    ]);
    expect(stdout).toBe("opened\n");
  });

  it("is done without, with a warning, where threads do not start", async () => {
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    const runtime = await nodeRuntime({ threads: 1, updateThreads: 2 });
    expect(await runtime.openSharedModule?.(Uint8Array.of(1, 2, 3), BYTES)).toBeUndefined();
    if (!process.version.startsWith("v20.")) expect((await warned).message).toMatch(/one thread makes it/);
  });

  it("is opened by a runtime of several threads alone", async () => {
    for (const options of [{ threads: 1 }, { threads: 4, updateThreads: 1 }]) {
      expect((await nodeRuntime(options)).openSharedModule).toBeUndefined();
    }
    await expect(nodeRuntime({ updateThreads: 0 })).rejects.toThrow(
      /updateThreads: 0 is not a positive integer/,
    );
    const runtime = await nodeRuntime({ threads: 1, updateThreads: 2 });
    const module = await runtime.openSharedModule?.(SHARED_UPDATE_CODE, BYTES);
    // Node 20 does not hand shared memory to native code.
    if (!process.version.startsWith("v20.")) expect(module).toBeDefined();
    await module?.close();
  });
});
