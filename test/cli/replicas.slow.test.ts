import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { readSafetensors } from "../../src/nn/safetensors.ts";
import { temporaryFolder } from "../support.ts";
import { built, QUICK, refused, succeed, timelessMetrics } from "./support.ts";

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
});

/** Losses of two runs agree to a relative 1e-4 at every row. */
async function expectClose(one: string, other: string, rows: number): Promise<void> {
  const [a, b] = await Promise.all([one, other].map((name) => timelessMetrics(join(cwd, name))));
  expect(a?.length).toBe(rows);
  expect(b?.length).toBe(rows);
  a?.forEach((row, i) => {
    for (const name of ["loss", "gradientNorm", "validationLoss"]) {
      const [x, y] = [Number(row[name]), Number(b?.[i]?.[name])];
      expect(Math.abs(x - y), `${name} of row ${i}`).toBeLessThanOrEqual(1e-4 * Math.abs(x));
    }
  });
  expect(b).not.toEqual(a);
}

test("two replicas give the losses of one, for points", async () => {
  const args = ["fit", "rectified-flow", "checkerboard", ...QUICK, "--steps", "20", "--log-every", "1"];
  const quiet = ["--fourier-features", "16", "--quiet", "--validate-every", "10"];
  await succeed([...args, ...quiet, "--out", "points-1"], cwd);
  await succeed([...args, ...quiet, "--out", "points-2", "--replicas", "2"], cwd);
  await expectClose("points-1", "points-2", 20);
});

test("two replicas give the losses of one, for images with classes", async () => {
  for (let i = 0; i < 24; i++) {
    const folder = join(cwd, "images", i % 2 === 0 ? "even" : "odd");
    await mkdir(folder, { recursive: true });
    const bytes = Uint8Array.from({ length: 64 }, (_, k) => (k * (i + 1) * 7) % 256);
    const image = sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } });
    await image.png().toFile(join(folder, `${i}.png`));
  }
  const args = [
    ...["fit", "rectified-flow", "images", "--size", "8", "--colour", "grey", "--batch-size", "8"],
    ...[
      "--channels",
      "8",
      "--multipliers",
      "1,2",
      "--steps",
      "20",
      "--log-every",
      "1",
      "--validate-every",
      "10",
    ],
    ...["--sample-pictures", "0", "--quiet"],
  ];
  await succeed([...args, "--out", "images-1"], cwd);
  await succeed([...args, "--out", "images-2", "--replicas", "2"], cwd);
  await expectClose("images-1", "images-2", 20);
});

test("two replicas give the losses of two parts, for images with boxes at several scales", async () => {
  const scenes = ["--scenes", "10", "--canvas", "32", "--largest", "24", "--objects", "3"];
  const scales = ["--scales", "1,2", "--scale-every", "3", "--width", "0.25", "--depth", "0.5"];
  const args = [
    "fit",
    "center-net",
    "digit-scenes",
    ...scenes,
    ...scales,
    "--batch-size",
    "4",
    "--steps",
    "12",
  ];
  const quiet = ["--log-every", "1", "--validate-every", "6", "--sample-pictures", "0", "--quiet"];
  await succeed([...args, ...quiet, "--out", "scales-1", "--accumulate", "2"], cwd);
  await succeed([...args, ...quiet, "--out", "scales-2", "--replicas", "2"], cwd);
  // The same parts, and the same order of summation.
  const [one, other] = await Promise.all(
    ["scales-1", "scales-2"].map((name) => timelessMetrics(join(cwd, name))),
  );
  expect(one).toHaveLength(12);
  expect(other).toEqual(one);
});

test.each([
  ["snip", ["--snip", "--scales", "1,2", "--scale-every", "3"]],
  ["sniper", ["--sniper", "--chip", "32"]],
])("two replicas give the losses of two parts with --%s", async (name, flags) => {
  const scenes = ["--scenes", "10", "--canvas", "64", "--largest", "48", "--objects", "3"];
  const size = ["--width", "0.25", "--depth", "0.5", "--batch-size", "4", "--steps", "8"];
  const quiet = ["--log-every", "1", "--validate-every", "8", "--sample-pictures", "0", "--quiet"];
  const args = ["fit", "center-net", "digit-scenes", ...scenes, ...flags, ...size, ...quiet];
  await succeed([...args, "--out", `${name}-1`, "--accumulate", "2"], cwd);
  await succeed([...args, "--out", `${name}-2`, "--replicas", "2"], cwd);
  const [one, other] = await Promise.all([1, 2].map((n) => timelessMetrics(join(cwd, `${name}-${n}`))));
  expect(one).toHaveLength(8);
  expect(other).toEqual(one);
});

test("two replicas give the losses of one where parameters are frozen or train at rates of their own", async () => {
  await writeFile(
    join(cwd, "tuned.mjs"),
    `
      import { models } from ${JSON.stringify(built("catalog.js"))};
      const nice = models.get("nice");
      const rateOf = (name) => (name.startsWith("transforms.1.") ? 0 : name.endsWith("weight") ? 0.5 : 1);
      const build = (...given) => Object.assign(nice.build(...given), { rateOf });
      export default { ...nice, name: "tuned", build };
    `,
  );
  const args = ["fit", "./tuned.mjs", "two-moons", ...QUICK, "--steps", "20", "--log-every", "1"];
  const quiet = ["--quiet", "--validate-every", "10"];
  await succeed([...args, ...quiet, "--out", "tuned-1"], cwd);
  await succeed([...args, ...quiet, "--out", "tuned-2", "--replicas", "2"], cwd);
  await expectClose("tuned-1", "tuned-2", 20);
  const [one, two] = await Promise.all(
    ["tuned-1", "tuned-2"].map(async (name) => {
      const path = join(cwd, name, "weights", "last.safetensors");
      return readSafetensors(new Uint8Array(await readFile(path)), name).tensors;
    }),
  );
  const frozen = [...(one?.keys() ?? [])].filter((name) => name.startsWith("transforms.1."));
  expect(frozen.length).toBeGreaterThan(0);
  for (const name of frozen) expect(two?.get(name)).toEqual(one?.get(name));
});

/** A model that is NICE until something happens to the thread it is built in. */
function dyingModel(where: string, death: string): string {
  return `
    import { isMainThread, workerData } from "node:worker_threads";
    import { models } from ${JSON.stringify(built("catalog.js"))};
    const nice = models.get("nice");
    if (${where}) setTimeout(() => { ${death} }, 400);
    export default { ...nice, name: "dying" };
  `;
}

test("a replica that dies ends the fit with one clear line", async () => {
  await writeFile(
    join(cwd, "replica.mjs"),
    dyingModel("workerData?.firstPart !== undefined", "process.exit(7);"),
  );
  const args = [
    "fit",
    "./replica.mjs",
    "two-moons",
    ...QUICK,
    "--steps",
    "100000",
    "--replicas",
    "2",
    "--quiet",
  ];
  expect(await refused([...args, "--out", "dead-replica"], cwd)).toMatch(
    /^eidos: replica 1 of 2 ended unexpectedly with code 7$/,
  );
});

test("a training worker that dies ends the fit with one clear line that states how to go on", async () => {
  await writeFile(
    join(cwd, "worker.mjs"),
    dyingModel(
      "!isMainThread && workerData?.firstPart === undefined",
      'throw new Error("a bolt from the blue");',
    ),
  );
  const args = [
    "fit",
    "./worker.mjs",
    "two-moons",
    ...QUICK,
    "--steps",
    "100000",
    "--quiet",
    "--out",
    "dead",
  ];
  expect(await refused(args, cwd)).toMatch(
    /the training worker of dead \(continue with eidos fit --resume dead\) failed: a bolt from the blue/,
  );
});
