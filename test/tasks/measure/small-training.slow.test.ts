import { rm } from "node:fs/promises";
import { afterAll, beforeAll, it } from "vitest";
import { temporaryFolder } from "../../support.ts";
import { expectResumedEqual } from "./detection-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

it("fits with copies, images that come more often, and stitched ones go on bit for bit", async () => {
  const options = { copyPaste: 0.7, copies: 2, oversample: 2, stitch: 0.4 };
  await expectResumedEqual(root, { model: "yolo", name: "small", ...options });
});
