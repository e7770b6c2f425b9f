// How images are cut into tiles: what `eidos fit DATA --tiles` trains on, and what `detect` and `eval` look at. Nothing is trained.
//
//     npx tsx examples/tiles.ts [data] [tile] [overlap]

import { mkdir, writeFile } from "node:fs/promises";
import { openDetection } from "eidos";
import { tileSplit } from "eidos/detection/scale";
import { contactSheet, encodePng, rasterOfBytes } from "eidos/report";

const [data = "digit-scenes", ...numbers] = process.argv.slice(2);
const [side = 96, overlap = 0.2] = numbers.map(Number);
const { train } = (await openDetection(data, { scenes: 4 })).splits;

// What is seen of an object by half or more is learnt in a tile; of the others the tile learns nothing.
const tiles = tileSplit(train, { side, overlap, fullImage: false, visible: 0.5 });
const image = Array.from({ length: train.count }, (_, i) => i).sort((a, b) => {
  const pixels = (i: number) => train.annotations(i).width * train.annotations(i).height;
  return pixels(b) - pixels(a);
})[0] as number;
const [first, end] = tiles.tilesOf(image);
const whole = await train.sample(image);
console.log(
  `${whole.file}: ${whole.width} × ${whole.height} pixels, ${end - first} tiles of ${side} × ${side}`,
);

const frames = Array.from(
  { length: end - first },
  (_, i) => tiles.place(first + i).tile ?? { left: 0, top: 0, ...whole },
);
const picture = {
  image: rasterOfBytes(whole.image),
  caption: `${whole.width} x ${whole.height} pixels, ${frames.length} tiles`,
  boxes: [
    ...whole.boxes,
    ...frames.flatMap(({ left, top, width, height }) => [left, top, left + width, top + height]),
  ],
  labels: [...whole.labels.map(() => 0), ...frames.map(() => 2)],
};
await mkdir("runs", { recursive: true });
await writeFile(
  "runs/tiles.png",
  await encodePng(contactSheet([picture], ["learnt", "ignored", "tile"], 1), "an image in tiles"),
);

const seen = await Promise.all(
  frames.map(async ({ left, top }, i) => {
    const tile = await tiles.sample(first + i);
    const learnt = tile.crowd.filter((crowd) => crowd === 0).length;
    return {
      image: rasterOfBytes(tile.image),
      caption: `(${left}, ${top}): ${learnt} learnt, ${tile.crowd.length - learnt} ignored`,
      boxes: tile.boxes,
      labels: [...tile.crowd],
      dashed: tile.crowd,
    };
  }),
);
const sheet = contactSheet(seen.slice(0, 4), ["learnt", "ignored"], 4);
await writeFile("runs/tiles-seen.png", await encodePng(sheet, "tiles as a detector learns them"));
console.log("see runs/tiles.png and runs/tiles-seen.png");
