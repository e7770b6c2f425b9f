// Training images before and after small objects are copied into them, and stitched from four: what `eidos fit` of a detector sees with
// --copy-paste and --stitch. Nothing is trained.
//
//     npx tsx examples/copy-paste.ts [data] [size] [images] [seed]

import { mkdir, writeFile } from "node:fs/promises";
import { openDetection } from "eidos";
import { type AugmentOptions, detectionBatches, planSmallObjects } from "eidos/detection";
import { contactSheet, encodePng, rasterOfBytes } from "eidos/report";

const [data = "digit-scenes", ...numbers] = process.argv.slice(2);
const [size = 160, batchSize = 2, seed = 6] = numbers.map(Number);
const { train } = (await openDetection(data, { scenes: 400 })).splits;

// Everything else that changes images is off, so that they can be compared.
const asIs: AugmentOptions = {
  ...{ zoomOut: 1, zoomIn: 1, stretch: 0, flip: 0, mosaic: 0 },
  ...{ brightness: 0, contrast: 0, saturation: 0, hue: 0 },
};
const small = planSmallObjects(train, { size, copyPaste: 1, copies: 3 });
console.log(
  `below ${small.below} pixels: ${small.small} of ${small.objects} objects, in ${small.images} of ${train.count} images; ${small.copying?.copyable} can be copied`,
);

/** The images of a batch, and the boxes in each. */
async function drawn(augment: AugmentOptions, pastes: boolean) {
  const batches = detectionBatches(train, {
    size,
    batchSize,
    seed,
    augment,
    small: pastes ? small : undefined,
  });
  const { x, boxes, labels } = await batches.batch(0);
  const pixels = 3 * size * size;
  return Array.from({ length: batchSize }, (_, row) => {
    const own = labels.data.subarray(row * batches.places, (row + 1) * batches.places);
    const objects = own.filter((label) => label >= 0n).length;
    const bytes = Uint8Array.from(x.data.subarray(row * pixels, (row + 1) * pixels), Math.round);
    return {
      image: rasterOfBytes({ width: size, height: size, data: bytes }),
      boxes: boxes.data.subarray(4 * row * batches.places, 4 * (row * batches.places + objects)),
      objects,
    };
  });
}

const [before, after] = [await drawn(asIs, false), await drawn(asIs, true)];
const stitched = await drawn({ ...asIs, stitch: 1 }, false);
const enlarge = Math.max(1, Math.round(320 / size));
const sheet = contactSheet(
  before.flatMap((plain, row) =>
    [plain, after[row] ?? plain, stitched[row] ?? plain].map(({ image, boxes, objects }, kind) => {
      // Copies follow the objects that were there.
      const copies = kind === 1 ? objects - plain.objects : 0;
      const caption = ["as it is", `${copies} copies`, "stitched"][kind] ?? "";
      console.log(`image ${row + 1}, ${caption}: ${objects} objects`);
      const labels = Array.from({ length: objects }, (_, i) => (i < objects - copies ? 0 : 1));
      return { image, caption, boxes, labels, enlarge };
    }),
  ),
  ["object", "copy"],
  3,
);
await mkdir("runs", { recursive: true });
await writeFile("runs/copy-paste.png", await encodePng(sheet, "training images with copies, and stitched"));
console.log("see runs/copy-paste.png");
