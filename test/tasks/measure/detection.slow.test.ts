import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { detectors } from "../../../src/detection/models/detectors.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import type { SentRequest } from "../../../src/tasks/fit/request.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { present, temporaryFolder } from "../../support.ts";
import {
  expectFitted,
  expectMeasuredAndExported,
  expectResumedEqual,
  fittedToSquares,
  QUICK,
  squares,
  TINY,
} from "./detection-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

// CenterNet stands in the quick tests.
it.each([...detectors.keys()].filter((name) => name !== "center-net"))(
  "training that is stopped and resumed equals the uninterrupted one, bit for bit: %s",
  (model) => expectResumedEqual(root, { model, accumulate: 1 }),
);

it.each([
  { model: "center-net", name: "scales", scales: [1, 2], scaleEvery: 1 },
  { model: "fcos", name: "scales-in-parts", scales: [1, 2], scaleEvery: 1, accumulate: 2 },
  { model: "center-net", name: "snip", snip: true, scales: [1, 2], scaleEvery: 1 },
  { model: "yolo-v3", name: "sniper", canvas: 64, largest: 48, sniper: true },
])("so does training at several scales, and by size: %j", (request) => expectResumedEqual(root, request));

// The others stand in the quick tests.
describe.each([...detectors.keys()].filter((name) => !QUICK.includes(name)))("%s", (model) => {
  it("is fitted to scenes and leaves a run folder with pictures, report and model", () =>
    expectFitted(model, join(root, model)));

  it("is measured as it was validated, and exported as it runs", () =>
    expectMeasuredAndExported(join(root, model)));
});

it("so does training in which small regions are enlarged, by sizes that are printed once and kept", async () => {
  await expectResumedEqual(root, { model: "faster-rcnn", name: "enlarged", enlarge: true, accumulate: 1 });
  const folder = new RunFolder(join(root, "whole-enlarged"));
  const { modelOptions } = await folder.readConfig();
  const [below, from] = modelOptions.enlargeSizes as readonly number[];
  expect(present(below)).toBeLessThan(present(from));
  const rows = await folder.readMetrics();
  for (const name of ["generator", "discriminator"]) {
    expect(
      rows.every((row) => Number.isFinite(row[name])),
      name,
    ).toBe(true);
  }

  const { fit, notes } = await prepareFit({
    kind: "new",
    request: { ...TINY, model: "faster-rcnn", enlarge: true, out: join(root, "noted") } as SentRequest,
  });
  await fit.folder.unlock();
  expect(notes).toEqual([expect.stringContaining(`below ${below} pixels are enlarged`)]);
});

it("training in branches that is stopped and resumed equals the uninterrupted one, bit for bit", () =>
  expectResumedEqual(root, {
    model: "yolo",
    name: "trident",
    trident: "full",
    tridentRanges: [0, 12, 8, 20, 16, 1e6],
    levels: 1,
    neck: "none",
  }));

// SNIP stands in the quick tests.
it("a run by SNIPER is measured at its own scales as it was validated; those of the same size once rounded are one look", async () => {
  const photos = await squares(8);
  try {
    const path = await fittedToSquares(photos, join(root, "sniper-looks"), {
      sniper: true,
      scales: [2, 1, 0.9],
      chip: 64,
      validRanges: ["0-28", "14-inf", "12-inf"],
    });
    const { evaluation, description } = await expectMeasuredAndExported(path);
    expect(evaluation.coco.ap).toBeGreaterThan(0.01);
    expect(evaluation.detect).toMatchObject({ testScales: [2, 1], testRanges: ["0-28", "12-inf"] });
    expect(description).toMatch(/Fitted with sniper: .* size 12-inf alone, .* at scale 2 \(sizes 0-28\)\.$/);
  } finally {
    await rm(photos, { recursive: true });
  }
});
