import { rm } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import { ImageIndex } from "../../../src/data/boxes/formats/image-index.node.ts";
import { type DetectionSet, withClasses } from "../../../src/data/boxes/set.ts";
import { temporaryFolder } from "../../support.ts";
import { painted, writeImage, writeText } from "./support.ts";

// Lists that are long take the time of their length. With the square of it none of these tests would end.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

/** Two images of 40 × 30 pixels in a folder. */
async function images(folder: string, paths: readonly string[]): Promise<string> {
  for (const [i, path] of paths.entries()) {
    await writeImage(join(root, folder), path, painted(40, 30, [60 * i, 90, 120]));
  }
  return join(root, folder);
}

const faultsOf = ({ faults }: DetectionSet, kind: string) => faults.filter((fault) => fault.kind === kind);

test("many classes of one name, and objects of few of them", async () => {
  const folder = await images("names", ["images/a.png", "images/b.png"]);
  const names = [...Array.from({ length: 150_000 }, () => "cell"), "mote"];
  await writeText(folder, "data.yaml", `train: images\nnames: [${names.join(", ")}]\n`);
  await writeText(folder, "labels/a.txt", "0 0.5 0.5 0.5 0.5\n");
  await writeText(folder, "labels/b.txt", "150000 0.5 0.5 0.5 0.5\n");
  const set = await openDetectionFolder(folder);
  expect(set.classes).toHaveLength(150_001);
  const [similar] = faultsOf(set, "similar-classes");
  expect(similar?.detail).toMatch(/^and cell, .*cell, …$/);
  const lines = set.describe();
  expect(lines.find((line) => line.startsWith("classes without an object"))).toMatch(/: cell, .*, …$/);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(1000);
  const { splits, classes } = withClasses(set, ["mote", "cell"], "the run");
  const labels = [splits.train, splits.validation].flatMap((split) =>
    Array.from({ length: split.count }, (_, i) => classes[split.annotations(i).labels[0] ?? -1]),
  );
  expect(labels.sort()).toEqual(["cell", "mote"]);
});

test("many entries of one image, each with an object of its own", async () => {
  const folder = await images("entries", ["a.png", "b.png"]);
  const count = 60_000;
  const entries = Array.from({ length: count }, (_, i) => ({
    image: i === 0 ? "b.png" : "a.png",
    annotations: [{ label: "cell", coordinates: { x: 20 + i / count, y: 15, width: 10, height: 10 } }],
  }));
  await writeText(folder, "annotations.json", JSON.stringify([...entries, ...entries.slice(-2)]));
  const set = await openDetectionFolder(folder);
  const objects = Object.values(set.splits).flatMap((split) =>
    Array.from({ length: split.count }, (_, i) => split.annotations(i).labels.length),
  );
  // All of a.png are different in float64; those that are equal as they are kept count once.
  expect(Math.max(...objects)).toBe(count - 1);
  expect(faultsOf(set, "merged-annotations")).toHaveLength(count - 2);
  expect(faultsOf(set, "repeated-image")).toHaveLength(2);
});

test("an image that a list names many times is read once", async () => {
  const folder = await images("voc", ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]);
  const objects = Array.from({ length: 1_000 }, (_, i) => {
    const [x, y] = [i % 30, Math.floor(i / 30) % 20];
    return `<object><name>cell ${Math.floor(i / 600)}</name><bndbox><xmin>${x + 1}</xmin><ymin>${y + 1}</ymin><xmax>${x + 9}</xmax><ymax>${y + 9}</ymax></bndbox></object>`;
  });
  for (const name of ["a", "b"]) {
    const text = `<annotation><filename>${name}.jpg</filename>${objects.join("")}</annotation>`;
    await writeText(folder, `Annotations/${name}.xml`, text);
  }
  await writeText(folder, "ImageSets/Main/train.txt", "a\n".repeat(100_000));
  await writeText(folder, "ImageSets/Main/val.txt", "b\n");
  const set = await openDetectionFolder(folder);
  expect([set.splits.train.count, set.splits.validation.count]).toEqual([1, 1]);
  expect(set.splits.train.annotations(0).labels).toHaveLength(1_000);
  expect(faultsOf(set, "repeated-image")).toHaveLength(99_999);
});

test("a folder that YAML names many times is looked through once", async () => {
  const folder = await images("places", ["images/a.png", "images/b.png"]);
  const places = Array.from({ length: 50_000 }, (_, i) => ["images", "gone", "./images", "images"][i % 4]);
  await writeText(folder, "data.yaml", `train: [${places.join(", ")}]\nnames: [cell]\n`);
  for (const name of ["a", "b"]) await writeText(folder, `labels/${name}.txt`, "0 0.5 0.5 0.5 0.5\n");
  const set = await openDetectionFolder(folder);
  expect(set.splits.train.count + set.splits.validation.count).toBe(2);
  const again = faultsOf(set, "repeated-image");
  expect(again.map(({ file, detail }) => `${file}: ${detail}`)).toEqual([
    "./images: data.yaml names all of it again for train",
  ]);
  expect(faultsOf(set, "missing-image").map(({ file }) => file)).toEqual(["gone"]);
});

test("names of images with many question marks are read in one go", async () => {
  const folder = await images("asked", ["a.png", "b.png"]);
  const region = (image: string) => ({
    data: { image },
    annotations: [
      {
        result: [
          {
            original_width: 40,
            original_height: 30,
            type: "rectanglelabels",
            value: { x: 10, y: 10, width: 50, height: 50, rectanglelabels: ["cell"] },
          },
        ],
      },
    ],
  });
  const long = `${".png?".repeat(300_000)}\nx.png`;
  await writeText(folder, "project.json", JSON.stringify(["a.png?x=1", "b.png", long].map(region)));
  const set = await openDetectionFolder(folder);
  expect(set.splits.train.count + set.splits.validation.count + set.splits.test.count).toBe(2);
  expect(faultsOf(set, "missing-image")).toHaveLength(1);
});

test("crowds of every class are made of so many regions as memory holds", async () => {
  const folder = await images(
    "kitti",
    [0, 1, 2].map((i) => `training/image_2/${i}.png`),
  );
  const line = (name: string) => `${name} 0 0 0 5 5 20 20 1 1 1 0 0 10 0`;
  const lines = [
    ...Array.from({ length: 600 }, (_, i) => line(`c${i}`)),
    ...Array.from({ length: 500 }, () => line("DontCare")),
  ];
  await writeText(folder, "training/label_2/0.txt", lines.join("\n"));
  await writeText(folder, "training/label_2/1.txt", lines.join("\n"));
  await writeText(folder, "training/label_2/2.txt", line("c7"));
  const set = await openDetectionFolder(folder);
  expect(faultsOf(set, "unreadable-annotations").map(({ file, detail }) => `${file}: ${detail}`)).toEqual([
    "training/label_2/1.txt: 500 regions DontCare, each a crowd of 600 classes: with those before, more than 500000 crowds",
  ]);
});

test("a path of many folders is that of an image by its end, or of none", async () => {
  const folder = await images("deep", ["data/obj/a.png", "data/obj/b.png"]);
  await writeText(folder, "data/obj.names", "cell\n");
  await writeText(folder, "data/obj/a.txt", "0 0.5 0.5 0.5 0.5\n");
  await writeText(folder, "data/obj/b.txt", "0 0.5 0.5 0.5 0.5\n");
  const far = "x/".repeat(100_000);
  await writeText(folder, "data/train.txt", `data/obj/c.png\n${far}data/obj/a.png\n${far}none.png\n`);
  await writeText(folder, "data/valid.txt", "data/obj/b.png\n");
  const set = await openDetectionFolder(folder);
  expect(set.splits.train.annotations(0).file).toBe("data/obj/a.png");
  expect(set.splits.train.count).toBe(1);
  expect(faultsOf(set, "missing-image")).toHaveLength(2);
});

test.each([
  ["by a folder that both have", (scene: string, frame: string) => `labels/data/${scene}-${frame}`, true],
  ["by two folders that many have", (scene: string, frame: string) => `labels/${scene}/${frame}`, true],
  [
    "by an outer folder of all, so that none is found",
    (scene: string, frame: string) => `images/of-${scene}-${frame}`,
    false,
  ],
  [
    "by none, where the folders of labels have names of their own",
    (scene: string, frame: string) => `labels/of-${scene}-${frame}`,
    false,
  ],
])(
  "photos of one name, each in a folder of its own, find their labels %s",
  async (layout, labelsIn, found) => {
    const places = Array.from(
      { length: 40 * 40 },
      (_, i) => [`s${i % 40}`, `f${Math.floor(i / 40)}`] as const,
    );
    const isDeep = layout.includes("two folders");
    const imageIn = (scene: string, frame: string) =>
      isDeep ? `images/${scene}/${frame}` : `images/${scene}-${frame}`;
    const paths = places.flatMap(([scene, frame]) => [
      `${imageIn(scene, frame)}/image.png`,
      `${labelsIn(scene, frame)}/image.txt`,
    ]);
    const index = new ImageIndex(
      root,
      paths.filter((path) => path.endsWith(".png")),
    );
    for (const [scene, frame] of places) {
      const partner = index.partnerOf(`${labelsIn(scene, frame)}/image.txt`);
      expect(partner).toBe(found ? `${imageIn(scene, frame)}/image.png` : undefined);
    }
  },
);

test("the image that a file of labels belongs to is the one that shares most folders with it", () => {
  const folders: fc.Arbitrary<string[]> = fc.array(fc.constantFrom("a", "b", "c", "train", "val", "d"), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(folders, { minLength: 2, maxLength: 120, selector: (x) => x.join("/") }),
      folders,
      (places, own) => {
        const paths = places.map((place) => [...place, "image.png"].join("/"));
        const annotations = ["labels", ...own, "image.txt"].join("/");
        const scores = places.map((place) => {
          let [shared, from] = [0, 0];
          for (const folder of ["labels", ...own]) {
            const at = place.indexOf(folder, from);
            if (at >= 0) [shared, from] = [shared + 1, at + 1];
          }
          const [mine, other] = [own, place].map((path) =>
            path.find((name) => name === "train" || name === "val"),
          );
          return shared + (mine !== undefined && mine === other ? 0.5 : 0);
        });
        const most = Math.max(...scores);
        const likely = paths.filter((_, i) => scores[i] === most);
        expect(new ImageIndex(root, paths).partnerOf(annotations)).toBe(
          likely.length === 1 ? likely[0] : undefined,
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("more faults of a kind than a call takes arguments", async () => {
  const folder = await images("many-faults", ["a.png", "b.png"]);
  const [count, object] = [150_000, { bbox: [5, 5, 20, 20], category_id: 0 }];
  const categories = Array.from({ length: 2 * count }, (_, id) => ({
    id,
    name: `${id % 2 === 0 ? "c" : "C"}${Math.floor(id / 2)}`,
  }));
  const listed = Array.from({ length: count }, () => ({ id: 0, file_name: "a.png" }));
  await writeText(
    folder,
    "annotations.json",
    JSON.stringify({
      images: [...listed, { id: 1, file_name: "b.png" }],
      annotations: [
        { id: 0, image_id: 0, ...object },
        { id: 1, image_id: 1, ...object },
      ],
      categories,
    }),
  );
  const set = await openDetectionFolder(folder);
  expect(faultsOf(set, "similar-classes")).toHaveLength(count);
  expect(faultsOf(set, "repeated-image")).toHaveLength(count - 1);
});
