import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, it } from "vitest";
import { detectors } from "../../../src/detection/models/detectors.ts";
import { temporaryFolder } from "../../support.ts";
import { expectResumedEqual } from "./detection-support.ts";

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

it("training in branches that is stopped and resumed equals the uninterrupted one, bit for bit", () =>
  expectResumedEqual(join(root, "trident"), {
    model: "yolo",
    trident: "full",
    tridentRanges: [0, 12, 8, 20, 16, 1e6],
    levels: 1,
    neck: "none",
  }));
