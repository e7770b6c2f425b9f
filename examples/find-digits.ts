// A YOLO learns to find digits on cluttered canvases, is measured on scenes that it has not seen, runs on image files, and then as an
// ONNX file without eidos. Put the path of your own annotated photos in the place of "digit-scenes".
//
//     npx tsx examples/find-digits.ts [steps]

import { mkdir, writeFile } from "node:fs/promises";
import { convertDetections, findImages, fit, openDetection, openRun } from "eidos";
import { boxColor, drawBoxes, encodePng, rasterOfBytes } from "eidos/report";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [steps = "1000"] = process.argv.slice(2);
const data = "digit-scenes";
/** Small scenes with few and rather large digits: enough for a minute. */
const scenes = {
  canvas: 96,
  objects: 4,
  smallest: 20,
  largest: 60,
  smallShare: 0.3,
  clutter: 4,
  scenes: 1000,
};

const { folder, seconds } = await fit(
  { model: "yolo", data, steps: Number(steps), ...scenes, mosaic: 0, out: "runs/find-digits" },
  { onProgress: ({ step, share }) => process.stdout.write(`\r${Math.round(100 * share)} %, step ${step} `) },
);
console.log(`\nfitted in ${seconds.toFixed(0)} s: ${folder}`);

await using run = await openRun(folder);
const { coco, imagesPerSecond } = await run.evaluateBoxes();
console.log(
  `test split: AP ${coco.ap.toFixed(3)}, AP50 ${coco.ap50.toFixed(3)}, ${imagesPerSecond.toFixed(0)} images/s`,
);

// Image files: some scenes written as a data set in YOLO's format stand for a folder of photos.
const photos = `${folder}/photos`;
await convertDetections(await openDetection(data, { ...scenes, scenes: 12 }), photos, "yolo");
await mkdir(`${folder}/found`, { recursive: true });
const images = await findImages([`${photos}/images/test`]);
for await (const { name, found, decode } of run.detections(images, { confidence: 0.3 })) {
  const marks = found.map(({ box, class: label, score }) => ({
    box,
    text: `${run.classes[label]} ${score.toFixed(2)}`,
    color: boxColor(label),
  }));
  console.log(`${name}: ${marks.map(({ text }) => text).join(", ") || "nothing"}`);
  // The scenes are as small as the network sees them: they are drawn four times as large.
  const picture = drawBoxes(rasterOfBytes(await decode()), marks, { enlarge: 4 });
  await writeFile(`${folder}/found/${name}`, await encodePng(picture));
}

// The exported file needs nothing but ONNX Runtime: an image of any size in, what is found in its pixels out.
const { path, description } = await run.export(`${folder}/model`, { suppression: { confidence: 0.3 } });
console.log(description);
const session = await InferenceSession.create(`${path}/detect.onnx`);
const {
  width,
  height,
  data: planes,
} = (await (await openDetection(data, scenes)).splits.test.sample(0)).image;
const pixels = Uint8Array.from({ length: 3 * width * height }, (_, i) => {
  return planes[(i % 3) * width * height + Math.floor(i / 3)] ?? 0;
});
const usual = new Tensor("float32", [], [0]);
const { scores, classes } = await session.run({
  image: new Tensor("uint8", pixels, [height, width, 3]),
  confidence: usual,
  iou: usual,
  maximum: new Tensor("int64", [], [0]),
});
const labels = Array.from(classes?.data as BigInt64Array, Number);
console.log(
  `plain ONNX Runtime sees ${labels.length} digits: ${labels.map((label, i) => `${label} (${Number(scores?.data[i]).toFixed(2)})`).join(", ")}`,
);
