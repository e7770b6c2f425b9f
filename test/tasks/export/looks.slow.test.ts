import { rm } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { expect, test } from "vitest";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { detectFiles } from "../../../src/tasks/use/detect.node.ts";
import { objectsApart, pixelsOf, type ShippedObject } from "../../shipping.ts";
import { present } from "../../support.ts";
import { fittedToSquares, squares } from "../measure/detection-support.ts";

test("a detector that was fitted with SNIP looks at its own scales outside of eidos, too", async () => {
  const photos = await squares(8);
  const options = {
    snip: true,
    scales: [2, 1],
    validRanges: ["0-40", "14-inf"],
    samplePictures: 0,
    report: "none",
  };
  const path = await fittedToSquares(photos, join(photos, "run"), options);
  const run = detectorRun(await loadRun(path, { threads: 1 }));
  const out = join(path, "out");
  await exportRun(path, out);
  const plain = await ort.InferenceSession.create(join(out, "detect.onnx"));
  const photo = join(photos, "images/p3.png");
  const expected: ShippedObject[] = [];
  for await (const { found } of detectFiles(run, [{ image: photo, name: "p3" }])) {
    expected.push(...found.map(({ class: label, score, box }) => ({ class: String(label), score, box })));
  }
  const { width, height, pixels } = await pixelsOf(photo);
  const usual = new ort.Tensor("float32", [], [0]);
  const { boxes, scores, classes } = await plain.run({
    image: new ort.Tensor("uint8", pixels, [height, width, 3]),
    confidence: usual,
    iou: usual,
    maximum: new ort.Tensor("int64", [], [0]),
  });
  const found = Array.from(present(scores).data as Float32Array, (score, i) => ({
    class: String(classes?.data[i]),
    score,
    box: Array.from((present(boxes).data as Float32Array).subarray(4 * i, 4 * i + 4)),
  }));
  const apart = objectsApart(found, expected);
  expect(apart.scores).toBeLessThan(1e-3);
  expect(apart.boxes).toBeLessThan(0.1);
  await plain.release();
  await run.session.release();
  await rm(photos, { recursive: true });
});
