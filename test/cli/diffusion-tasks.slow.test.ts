import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { readSafetensors } from "../../src/nn/safetensors.ts";
import { pngSize } from "../../src/report/raster/raster.ts";
import { temporaryFolder } from "../support.ts";
import { IMAGES, POINTS, paintShades } from "./diffusion-runs.ts";
import { filesBelow, readCsv, refused, succeed } from "./support.ts";

let cwd: string;

beforeAll(async () => {
  cwd = await temporaryFolder();
  await paintShades(cwd);
  await succeed(["fit", "rectified-flow", "two-moons", ...POINTS, "--out", "flow"], cwd);
});

describe("reflow and distill", () => {
  test("fit runs on pairs of a run, which are drawn once, and go on where they stopped", async () => {
    const pairs = ["--count", "600", "--solver-steps", "10"];
    const { stdout } = await succeed(
      [
        "reflow",
        "flow",
        ...pairs,
        "--steps",
        "120",
        "--quiet",
        "--sample-pictures",
        "0",
        "--out",
        "straight",
      ],
      cwd,
    );
    expect(stdout).toMatch(/straightness \(0: straight\) [\d.e-]+ before, [\d.e-]+ now\ntransport cost/);
    const [before, after] = /([\d.e-]+) before, ([\d.e-]+) now/.exec(stdout)?.slice(1).map(Number) ?? [];
    expect(after).toBeLessThan((before ?? 0) / 2);
    const config = JSON.parse(await readFile(join(cwd, "straight", "config.json"), "utf8"));
    expect(config).toMatchObject({ model: "rectified-flow", data: "two-moons", fit: { weights: "flow" } });
    expect(config.modelOptions).toMatchObject({ width: 32, depth: 2, coupling: "independent" });
    const drawn = (await filesBelow(join(cwd, "flow"))).filter((name) => name.startsWith("pairs-"));
    expect(drawn).toHaveLength(1);
    const { tensors } = readSafetensors(await readFile(join(cwd, "flow", drawn[0] ?? "")), "pairs");
    expect(tensors.get("x")?.shape).toEqual([600, 2]);
    await succeed(["fit", "--resume", "straight", "--steps", "122", "--quiet"], cwd);

    await succeed(
      ["distill", "flow", ...pairs, "--steps", "10", "--quiet", "--sample-pictures", "0", "--out", "one"],
      cwd,
    );
    expect((await filesBelow(join(cwd, "flow"))).filter((name) => name.startsWith("pairs-"))).toEqual(drawn);
    await succeed(["sample", "one", "--count", "20", "--out", "one.csv"], cwd);
    expect((await readCsv(join(cwd, "one.csv"))).rows).toHaveLength(20);
    const { stdout: told } = await succeed(["eval", "straight"], cwd);
    expect(told).toMatch(/straightness/);
    expect(await refused(["score", "one"], cwd)).toMatch(/distilled-flow cannot compute a likelihood/);
    expect(await refused(["reflow", "one"], cwd)).toMatch(/cannot join noise/);
    expect(await refused(["sample", "one", "--animate", "a.gif", "--out", "b.csv"], cwd)).toMatch(
      /cannot show samples/,
    );
  });
});

describe("translate", () => {
  test("leads between classes of one data set", async () => {
    const classes = ["--classes", "light", "--source-classes", "dark", "--size", "8", "--colour", "grey"];
    await succeed(["fit", "rectified-transport", "shades", ...classes, ...IMAGES, "--out", "shading"], cwd);
    const config = JSON.parse(await readFile(join(cwd, "shading", "config.json"), "utf8"));
    expect(config.dataInfo.classes).toBeUndefined();
    await succeed(
      ["translate", "shading", join("shades", "dark", "1.png"), "--states", "4", "--out", "s.png"],
      cwd,
    );
    expect(pngSize(await readFile(join(cwd, "s.png")))?.width).toBe(4 * 58 + 2);
    await succeed(["translate", "shading", "--split", "train", "--out", "s.npy"], cwd);
    expect((await readNpy(join(cwd, "s.npy"))).shape.slice(1)).toEqual([8, 1, 8, 8]);
  });
});
