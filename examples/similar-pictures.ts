// Similar and odd pictures in a folder of your own: features of a network that others have trained, or that you have fitted, show which pictures look
// alike, which are copies, and which are like no other.
//
//     npx eidos import efficientnet-lite0.pth --as efficientnet-lite0 --out runs/lite0
//     npx tsx examples/similar-pictures.ts runs/lite0 photos

import { openRun } from "eidos";
import { kNearestRows } from "eidos/metrics";

const [runFolder, folder] = process.argv.slice(2);
if (runFolder === undefined || folder === undefined) {
  throw new Error("name a run that can embed, and a folder of pictures");
}

await using run = await openRun(runFolder);
const { features, files = [] } = await run.embed(folder);
const [count = 0, size = 0] = features.shape;

// Codes of one length: distances are then those of their angles.
const data = features.data.slice();
for (let row = 0; row < count; row++) {
  const own = data.subarray(row * size, (row + 1) * size);
  const length = Math.hypot(...own);
  own.forEach((value, i) => {
    own[i] = value / length;
  });
}
const rows = { count, size, data };
const nearest = kNearestRows(rows, rows, 1, true);
const pictures = files.map((file, i) => ({
  file,
  like: files[nearest.rows[i] ?? 0] ?? "",
  distance: (nearest.distances[i] ?? 0) ** 2 / 2,
}));
pictures.sort((a, b) => a.distance - b.distance);

const show = ({ file, like, distance }: (typeof pictures)[number]) =>
  `${distance.toFixed(4)}  ${file}  ${like}`;
console.log(`the most similar of ${count} pictures`);
for (const picture of pictures.slice(0, 10)) console.log(show(picture));
console.log("the oddest ones, with the picture that is nearest to each");
for (const picture of pictures.slice(-10).reverse()) console.log(show(picture));
