// Similar and odd pictures in a folder of your own: features of a network that others have trained, or that you have fitted, show which pictures look
// alike, which are copies, and which are like no other.
//
//     npx eidos import efficientnet-lite0.pth --as efficientnet-lite0 --out runs/lite0
//     npx tsx examples/similar-pictures.ts runs/lite0 photos

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openRun } from "eidos";
import { kNearestRows } from "eidos/metrics";
import { encodePng } from "eidos/report";

const SHOWN = 10;

const [runFolder, folder] = process.argv.slice(2);
if (runFolder === undefined || folder === undefined) {
  throw new Error("name a run that can embed, and a folder of pictures");
}

await using run = await openRun(runFolder);
const { features, files = [] } = await run.embed(folder);
const [count = 0, size = 0] = features.shape;
if (count < 2) throw new Error(`${folder} has ${count} pictures; there is nothing to compare`);

// Codes of one length: distances are then those of their angles.
const data = features.data.slice();
for (let row = 0; row < count; row++) {
  const own = data.subarray(row * size, (row + 1) * size);
  const length = Math.hypot(...own);
  if (length === 0) throw new Error(`${files[row]}: all its features are 0, which have no angle`);
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

await mkdir("runs", { recursive: true });

/** Prints pictures, each with the one that is nearest to it, and draws them: a row for each pair. */
async function show(title: string, some: typeof pictures, out: string): Promise<void> {
  console.log(title);
  for (const { file, like, distance } of some) console.log(`${distance.toFixed(4)}  ${file}  ${like}`);
  const found = some.map(({ file, like, distance }) => ({
    query: join(folder ?? "", file),
    neighbors: [{ file: like, distance }],
  }));
  await writeFile(out, await encodePng(await run.neighborPicture(folder ?? "", found)));
  console.log(`see ${out}\n`);
}

// Two pictures that are nearest to each other are one pair.
const pairs = pictures.filter(
  ({ file, like }) => file < like || !pictures.some((other) => other.file === like && other.like === file),
);
await show(`the most similar of ${count} pictures`, pairs.slice(0, SHOWN), "runs/similar.png");
await show(
  "the oddest ones, with the picture that is nearest to each",
  pictures.slice(-SHOWN).reverse(),
  "runs/odd.png",
);
