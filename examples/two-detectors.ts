// Two detectors look at the same images: what each finds, takes for something else, finds twice or misses, and what each costs. The test image
// on which they differ most is drawn.
//
//     npx tsx examples/two-detectors.ts [seconds]              # a YOLO and a Faster R-CNN learn digits first
//     npx tsx examples/two-detectors.ts runs/A runs/B DATA     # two runs that know the classes of the data

import { writeFile } from "node:fs/promises";
import { fit, openDetection, openRun, type Run } from "eidos";
import { type Box, boxAt, iou } from "eidos/detection/boxes";
import { contactSheet, encodePng, rasterOfBytes } from "eidos/report";

const [first = "60", second, data = "digit-scenes"] = process.argv.slice(2);
const digits = {
  canvas: 96,
  objects: 4,
  smallest: 20,
  largest: 60,
  smallShare: 0.3,
  clutter: 4,
  scenes: 1000,
};

/** Fits a detector to digits, and gives its folder. */
async function fitted(model: "yolo" | "faster-rcnn"): Promise<string> {
  const options = { data, ...digits, mosaic: 0, seconds: Number(first) };
  const { folder } = await fit(
    { model, ...options, out: `runs/two-detectors-${model}` },
    {
      onProgress: ({ step, share }) => process.stdout.write(`\r${Math.round(100 * share)} %, step ${step} `),
    },
  );
  process.stdout.write("\n");
  return folder;
}

const folders = second === undefined ? [await fitted("yolo"), await fitted("faster-rcnn")] : [first, second];
const set = await openDetection(data, second === undefined ? digits : {});
const { test } = set.splits;

/** What becomes of a detection or an object, in the order of colors. */
const VERDICTS = ["found", "other class", "found twice", "nothing there", "missed"] as const;

interface Judged {
  readonly box: Box;
  readonly verdict: (typeof VERDICTS)[number];
  readonly text: string;
}

interface Opened {
  readonly run: Run;
  readonly name: string;
  readonly confidence: number;
}

const detectors: Opened[] = [];
for (const folder of folders) {
  const run = await openRun(folder);
  const { model, parameters, coco, errors, best, imagesPerSecond } = await run.evaluateBoxes(set);
  const counts = Object.entries(errors.counts).map(([kind, count]) => `${kind} ${count}`);
  console.log(
    `${model}: AP50 ${coco.ap50.toFixed(3)}, ${parameters} parameters, ${imagesPerSecond.toFixed(0)} images/s; errors: ${counts.join(", ")}`,
  );
  // From the score on at which F₁ is best.
  detectors.push({ run, name: model, confidence: best?.score ?? 0.5 });
}

/** What a detector finds in a test image, from the best down, and what it misses. */
async function judged({ run, confidence }: Opened, index: number): Promise<readonly Judged[]> {
  const { boxes, labels } = test.annotations(index);
  const truth = Array.from(labels, (label, i) => ({
    box: boxAt(boxes, i),
    text: set.classes[label] ?? String(label),
  }));
  const image = await encodePng(rasterOfBytes((await test.sample(index)).image));
  const { objects } = await run.detect(image, { confidence });
  const taken = new Set<object>();
  const found = objects.map(({ box, label, score }): Judged => {
    const near = truth.filter((object) => iou(box, object.box) >= 0.5);
    const own = near.filter(({ text }) => text === label);
    const free = own.find((object) => !taken.has(object));
    if (free !== undefined) taken.add(free);
    const others = near.length > 0 ? "other class" : "nothing there";
    const wrong = own.length > 0 ? "found twice" : others;
    return { box, verdict: free === undefined ? wrong : "found", text: `${label} ${score.toFixed(2)}` };
  });
  const missed = truth.filter((object) => !taken.has(object));
  return [...found, ...missed.map((object): Judged => ({ ...object, verdict: "missed" }))];
}

const counted = (all: readonly Judged[] = []) =>
  VERDICTS.map((verdict) => all.filter((one) => one.verdict === verdict).length);
let drawn = { difference: -1, index: 0, views: [] as (readonly Judged[])[] };
for (let index = 0; index < Math.min(test.count, 60); index++) {
  const views = [];
  for (const detector of detectors) views.push(await judged(detector, index));
  const [a, b] = views.map(counted);
  const difference = VERDICTS.reduce((sum, _, i) => sum + Math.abs((a?.[i] ?? 0) - (b?.[i] ?? 0)), 0);
  if (difference > drawn.difference) drawn = { difference, index, views };
}

const image = rasterOfBytes((await test.sample(drawn.index)).image);
const sheet = contactSheet(
  drawn.views.map((all, i) => ({
    image,
    caption: detectors[i]?.name ?? "",
    boxes: all.flatMap(({ box }) => [...box]),
    labels: all.map(({ verdict }) => VERDICTS.indexOf(verdict)),
    texts: all.map(({ text }) => text),
    dashed: all.map(({ verdict }) => Number(verdict === "missed")),
    enlarge: Math.max(1, Math.round(480 / Math.max(image.width, image.height))),
  })),
  [...VERDICTS],
);
await writeFile("runs/two-detectors.png", await encodePng(sheet, "what two detectors find in one image"));
console.log("see runs/two-detectors.png");
for (const { run } of detectors) await run.release();
