// A YOLO learns digits of about one size alone, and then looks at scenes with digits of every size: at one scale, and over an image
// pyramid, where each scale is for the digits that have the learnt size there. What it finds at each scale is drawn before and after it is
// merged.
//
//     npx tsx examples/image-pyramid.ts [seconds]

import { mkdir, writeFile } from "node:fs/promises";
import { fit, openDetection, openRun } from "eidos";
import { type Detections, isDetector, letterboxBatch, type TestTimeOptions } from "eidos/detection";
import { detectionsInViews, mergeViews } from "eidos/detection/models";
import { viewsOf } from "eidos/detection/scale";
import { contactSheet, encodePng, rasterOfBytes } from "eidos/report";

const [seconds = "90"] = process.argv.slice(2);
const canvas = 64;
const learnt = { canvas, smallest: 14, largest: 24, objects: 4, clutter: 2, smallShare: 1, scenes: 800 };
const wide = { ...learnt, smallest: 7, largest: 48, smallShare: 0.6 };

const { folder } = await fit(
  {
    ...{
      model: "yolo",
      data: "digit-scenes",
      ...learnt,
      seconds: Number(seconds),
      out: "runs/image-pyramid",
    },
    ...{
      width: 0.5,
      levels: 1,
      neck: "none",
      mosaic: 0,
      zoomOut: 0.9,
      zoomIn: 1.1,
      stretch: 0,
      samplePictures: 0,
    },
  },
  { onProgress: ({ step, share }) => process.stdout.write(`\r${Math.round(100 * share)} %, step ${step} `) },
);
await using run = await openRun(folder);
const { model, session } = run.loaded;
if (!isDetector(model)) throw new Error("a YOLO is a detector");

// Digits of 12 to 28 pixels count at each scale: those of 6 to 14, 12 to 28 and 24 to 56 pixels in the scene.
const pyramid: TestTimeOptions = { testScales: [2, 1, 0.5], testRanges: ["12-28", "12-28", "12-28"] };
const scenes = await openDetection("digit-scenes", wide);
for (const [name, options] of [
  ["one scale", {}],
  ["pyramid", pyramid],
] as const) {
  const { coco } = await run.evaluateBoxes(scenes, options);
  const [ap, small, medium] = [coco.ap50, coco.apSmall, coco.apMedium].map((value) => value.toFixed(3));
  console.log(`\n${name.padEnd(10)} AP50 ${ap}, AP small ${small}, AP medium ${medium}`);
}

const { test } = scenes.splits;
/** Small, middle and large digits of a scene, whichever are fewest. */
const variety = (index: number): number => {
  const { boxes, labels } = test.annotations(index);
  const sizes = Array.from(labels, (_, i) => (boxes[4 * i + 3] ?? 0) - (boxes[4 * i + 1] ?? 0));
  const between = (from: number, to: number) => sizes.filter((size) => size >= from && size < to).length;
  return Math.min(between(0, 12), between(12, 26), between(26, 99)) + sizes.length / 100;
};
const varied = Array.from({ length: test.count }, (_, i) => i).sort((a, b) => variety(b) - variety(a));
const pictures = [];
for (const index of varied.slice(0, 2)) {
  const x = new Map<number, Awaited<ReturnType<typeof letterboxBatch>>["x"]>();
  for (const side of viewsOf(canvas, pyramid).sides)
    x.set(side, (await letterboxBatch(test, [index], side)).x);
  const images = {
    sizes: [{ width: canvas, height: canvas }],
    at(side: number) {
      const own = x.get(side);
      if (own === undefined) throw new Error(`no image of ${side} pixels`);
      return own;
    },
  };
  const sure = { confidence: 0.4 };
  const views = await detectionsInViews(model, session, images, { ...pyramid, ...sure });
  const [merged] = mergeViews(model, views, { ...pyramid, ...sure });
  const [alone] = await detectionsInViews(model, session, images, sure);
  const image = rasterOfBytes((await test.sample(index)).image);
  /** @param view the number of its color */
  const panel = (
    caption: string,
    found: readonly (readonly [view: number, found: Detections | undefined])[],
  ) => ({
    image,
    caption,
    boxes: found.flatMap(([, own]) => [...(own?.boxes ?? [])]),
    labels: found.flatMap(([view, own]) => Array.from(own?.scores ?? [], () => view)),
    texts: found.flatMap(([, own]) => Array.from(own?.classes ?? [], (label) => run.classes[label] ?? "")),
    enlarge: 6,
  });
  const each = views.map(({ found }, i) => [i, found[0]] as const);
  pictures.push(
    panel("one look, at scale 1", [[1, alone?.found[0]]]),
    panel("every scale, before merging", each),
    panel("merged", [[3, merged]]),
  );
}
await mkdir(folder, { recursive: true });
const sheet = contactSheet(pictures, ["scale 2", "scale 1", "scale 0.5", "merged"]);
await writeFile(
  `${folder}/image-pyramid.png`,
  await encodePng(sheet, "what is found at each scale, and merged"),
);
console.log(`\nsee ${folder}/image-pyramid.png`);
