import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { float32 } from "../../src/tensor/array.ts";
import { painted, writeImage, writeText } from "../data/boxes/support.ts";
import { present, temporaryFolder } from "../support.ts";
import { importedCases, stateOf, writeState } from "../tasks/import/support.ts";
import { run } from "./support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
  const { fcos } = await importedCases("small.json");
  await writeState(root, "fcos_small", stateOf(present(fcos)));
  await writeState(root, "unknown", new Map([["encoder.weight", float32([0], [1])]]));
  for (let i = 0; i < 2; i++) {
    await writeImage(root, `cells/c${i}.png`, painted(64, 48, [20 * i, 90, 90]));
  }
  const lines = [0, 1].map((i) => `c${i}.png,red,10,10,30,30\n`);
  await writeText(root, "cells/boxes.csv", `filename,class,xmin,ymin,xmax,ymax\n${lines.join("")}`);
});

describe("eidos import", () => {
  test("makes a run that is listed, finds objects, and is measured on data that is named", async () => {
    const made = await run(
      ["import", "fcos_small.safetensors", "--as", "fcos", "--size", "64", "--classes", "red,white,blue"],
      root,
    );
    expect(made.stderr).toBe("");
    expect(made.code).toBe(0);
    expect(made.stdout).toMatch(
      /^runs\/fcos_small: fcos, 3 classes, \d+ tensors, 11,[\d,]+ numbers, all of them fit\n/,
    );
    const listed = await run(["runs"], root);
    expect(listed.stdout).toMatch(/runs\/fcos_small +fcos +imported:fcos_small.safetensors +imported +0 /);
    const found = await run(["detect", "runs/fcos_small", "cells/c0.png", "--json", "--out", "found"], root);
    expect(found.code).toBe(0);
    const all = ["--split", "test", "--validation", "0", "--test", "0.5"];
    const measured = await run(["eval", "runs/fcos_small", "cells", "--json", ...all], root);
    expect(measured.stderr).toBe("");
    expect(measured.code).toBe(0);
  });

  test("says in one line what is wrong", async () => {
    const lines = async (...args: readonly string[]): Promise<string> => {
      const { code, stderr, stdout } = await run(args, root);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      return stderr;
    };
    const file = "fcos_small.safetensors";
    expect(await lines("import", "unknown.safetensors")).toContain(
      "option as: is missing, and unknown.safetensors does not show which model it is of; give --as faster-rcnn",
    );
    expect(await lines("import", file, "--as", "yolo")).toContain("option as: ");
    expect(await lines("import", file, "--as", "faster-rcnn", "--out", "none")).toContain(
      "looks like fcos_resnet50_fpn, which is no faster-rcnn; give --as fcos",
    );
    expect(await lines("import", "cells/c0.png", "--as", "fcos", "--out", "none")).toContain("a picture");
    expect(await lines("import", "nothing.pth", "--as", "fcos")).toContain("nothing.pth");
    expect(await lines("import", file, "--as", "fcos", "--size", "100", "--out", "none")).toContain(
      "option size",
    );
    expect(await lines("import", file, "--as", "fcos")).toContain("holds a run already");
    expect(await lines("eval", "runs/fcos_small")).toContain("has no data of its own");
    expect(await lines("fit", "--resume", "runs/fcos_small")).toContain("has no data of its own");
    expect(await lines("fit", "fcos", "cells", "--from", join("runs", "nothing"))).toContain("holds no run");
  });
});
