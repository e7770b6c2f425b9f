import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { gatherSource } from "../../../src/data/sources/gather.ts";
import { photos } from "../../../src/data/sources/memory.ts";
import { guarded } from "../../../src/tasks/fit/hooks.node.ts";
import { runFit } from "../../../src/tasks/fit/run-fit.node.ts";
import { importDetector } from "../../../src/tasks/index.node.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { largestDifference, present, temporaryFolder } from "../../support.ts";

it("a fit begins from an imported YuNet, without its landmarks, which it says", async () => {
  const root = await temporaryFolder();
  const file = join(root, "yunet.onnx");
  const fixture = new URL("../../fixtures/faces/yunet.onnx.gz", import.meta.url);
  await writeFile(file, gunzipSync(readFileSync(fixture)));
  const { folder } = await importDetector({ file, as: "yunet", size: 64, out: join(root, "imported") });
  const photo = (i: number, split: "train" | "validation") => ({
    image: { width: 64, height: 64, data: new Uint8ClampedArray(64 * 64 * 4).fill(40 * i) },
    boxes: [{ label: "face", x1: 8, y1: 8, x2: 40, y2: 40 }],
    split,
  });
  const data = await gatherSource(photos([photo(1, "train"), photo(2, "train"), photo(3, "validation")]));
  const out = join(root, "tuned");
  const lines: string[] = [];
  const fit = (options: object) =>
    runFit(
      {
        kind: "new",
        request: {
          model: "yunet",
          data,
          from: folder,
          out,
          steps: 2,
          batchSize: 2,
          augment: false,
          samplePictures: 0,
          ...options,
        },
      },
      guarded({ onBegin: ({ data: told }) => void lines.push(...told) }),
    );
  await expect(fit({})).rejects.toThrow(
    /^option landmarks: the 5 landmarks of yunet are not learnt in a fit, .* --landmarks 0/,
  );

  await fit({ landmarks: 0 });
  const tuned = new RunFolder(out);
  expect((await tuned.readConfig()).modelOptions).toMatchObject({
    channels: [4, 4, 8, 8, 8, 8],
    landmarks: 0,
  });
  // What the file has of landmarks is named as not used.
  expect(lines.join("\n")).toMatch(/12 not in the model, not used/);
  const [before, after] = [await new RunFolder(folder).readWeights(), await tuned.readWeights("last")];
  const moved = largestDifference(
    Array.from(present(before.get("stem.weight")).data, Number),
    Array.from(present(after.get("stem.weight")).data, Number),
  );
  expect(moved).toBeGreaterThan(0);
  expect(moved).toBeLessThan(0.02);
});
