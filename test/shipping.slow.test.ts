import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../scripts/pages.ts";
import { objectsApart, type Shipped, type ShippedObject, shipped, writeScript } from "./shipping.ts";

// The scripts of docs/guide/shipping.md for Node and Python say what eidos says. PYTHON names an interpreter with onnxruntime and pillow.

const PYTHON = process.env.PYTHON ?? "python3";

let all: Shipped;
let hasPython = false;

beforeAll(async () => {
  await mkdir(join(ROOT, ".cache"), { recursive: true });
  // Inside the package, where Node finds onnxruntime-node.
  all = await shipped(await mkdtemp(join(ROOT, ".cache", "shipping-")));
  await writeScript("use.mjs", all.folder);
  await writeScript("use.py", all.folder);
  hasPython = await promisify(execFile)(PYTHON, ["-c", "import onnxruntime, PIL"]).then(
    () => true,
    () => false,
  );
});
afterAll(async () => {
  // For test/fixtures/export/make.py.
  const kept = process.env.EIDOS_SHIPPED;
  const names = ["table", "image", "detector", "rows.json", "noise.json", "photo.png"];
  if (kept) for (const name of names) await cp(join(all.folder, name), join(kept, name), { recursive: true });
  await rm(all.folder, { recursive: true, force: true });
});

async function printed(program: string, args: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(program, [...args], { cwd: all.folder, maxBuffer: 1 << 28 });
  return JSON.parse(stdout);
}

function expectClose(found: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(found.length).toBe(expected.length);
  found.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] ?? Number.NaN)), `number ${i}`).toBeLessThanOrEqual(tolerance);
  });
}

const onlyNumbers = (values: unknown): readonly number[] => values as readonly number[];

describe.each([
  ["Node", process.execPath, "use.mjs"],
  ["Python", PYTHON, "use.py"],
])("%s", (name, program, script) => {
  it("scores rows, draws images and finds objects as eidos does", async (context) => {
    if (name === "Python" && !hasPython) {
      console.warn(
        "the Python script is skipped: there is no python3 with onnxruntime and pillow (PYTHON names another)",
      );
      context.skip();
    }
    const scores = await printed(program, [script, "score", "table", "rows.json"]);
    expectClose(onlyNumbers(scores), all.expected.scores, 1e-3);
    const objects = await printed(program, [script, "detect", "detector", "photo.png"]);
    const apart = objectsApart(objects as readonly ShippedObject[], all.expected.objects);
    expect(apart.scores).toBeLessThan(1e-3);
    expect(apart.boxes).toBeLessThan(1);
    const images =
      name === "Python"
        ? await printed(program, [script, "sample", "image", "noise.json"])
        : await (await import(join(all.folder, script))).sample(
            join(all.folder, "image"),
            2,
            all.noise.flat(),
          );
    // A value between two bytes may be rounded to either.
    expectClose((images as { bytes: readonly number[] }).bytes, all.expected.bytes, 1);
  });
});
