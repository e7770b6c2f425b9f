import { expect, it } from "vitest";
import { examineImage } from "../../../src/data/boxes/image.node.ts";
import { FileError } from "../../../src/errors.ts";
import { hardlyTrained } from "../../../src/tasks/use/detect.node.ts";
import type { RunConfig } from "../../../src/train/run-config.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../../support.ts";

const config = {} as RunConfig;

it("a run without a report is told by what its validations have measured", async () => {
  const folder = new RunFolder(await temporaryFolder());
  expect(await hardlyTrained({ folder, config }, 8)).toMatch(/8 steps, and not validated/);
  await folder.writeMetrics([
    { step: 4, validationAP50: 0.02 },
    { step: 8, validationAP50: 0.5 },
  ]);
  expect(await hardlyTrained({ folder, config }, 4)).toMatch(
    /AP50 was 0\.020 on its validation split after 4/,
  );
  expect(await hardlyTrained({ folder, config }, 8)).toBeUndefined();
});

it("weights of a folder that is no run are refused as such", async () => {
  const read = new RunFolder(await temporaryFolder()).readWeights();
  await expect(read).rejects.toThrow(FileError);
  await expect(read).rejects.toThrow(
    /holds no run \(no config\.json\) and no weights; give a file of weights/,
  );
});

it("a file that is no image is told in words", async () => {
  const text = new TextEncoder().encode("no picture");
  expect(await examineImage(text, { pixelLimit: 1e6, verify: true })).toMatchObject({
    ok: false,
    detail: "it is no image file, or of a format that is not read",
  });
});
