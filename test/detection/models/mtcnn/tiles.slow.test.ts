import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ByteImage, DetectionSplit, ImagePart, SampleRequest } from "../../../../src/data/boxes/set.ts";
import { cutOut } from "../../../../src/data/boxes/set.ts";
import { detectorViews } from "../../../../src/detection/models/image-pyramid.ts";
import { drawArea } from "../../../../src/detection/models/mtcnn/area.ts";
import { pyramidScales } from "../../../../src/detection/models/mtcnn/cascade.ts";
import type { Mtcnn } from "../../../../src/detection/models/mtcnn/mtcnn.ts";
import { lookedAt, tiledDetections } from "../../../../src/detection/models/tiled-images.ts";
import { OptionError } from "../../../../src/errors.ts";
import { Session } from "../../../../src/program/program.ts";
import { annotationsOf } from "../../../data/boxes/support.ts";
import { present } from "../../../support.ts";
import { testRuntime } from "../../../tensor/support.ts";
import { hashedWeights, mtcnn, pictureOf } from "./support.ts";

let model: Mtcnn;
let session: Session;
let crowd: ByteImage;
beforeAll(async () => {
  model = mtcnn({ minimumSize: 30, thresholds: [0.45, 0.8, 0.25] });
  session = new Session(await testRuntime(), hashedWeights(model));
  crowd = await pictureOf("crowd");
});
afterAll(() => session.release());

/** An image as the only one of a split, and what is asked of it. */
function splitOf(image: ByteImage) {
  const asked: { readonly wholes: SampleRequest[]; readonly parts: ImagePart[] } = { wholes: [], parts: [] };
  const annotations = annotationsOf("crowd.png", image, []);
  const split: DetectionSplit = {
    count: 1,
    annotations: () => annotations,
    async sample(_, request = {}) {
      asked.wholes.push(request);
      const { longest = Math.max(image.width, image.height) } = request;
      const share = Math.min(1, longest / Math.max(image.width, image.height));
      const [width, height] = [Math.round(share * image.width), Math.round(share * image.height)];
      const side = Math.max(width, height);
      const data = new Float32Array(3 * side * side);
      drawArea(image, { left: 0, top: 0, ...image }, { width, height }, { data, offset: 0, side });
      const square = { width: side, height: side, data: Uint8Array.from(data, Math.round) };
      return { ...annotations, image: cutOut(square, { left: 0, top: 0, width, height }) };
    },
    async part(_index, _request, part) {
      asked.parts.push(part);
      return cutOut(image, part);
    },
  };
  return { split, asked };
}

async function inTiles(image: ByteImage, options: Parameters<typeof tiledDetections>[4]) {
  const { split, asked } = splitOf(image);
  const { tiling } = detectorViews(model, options);
  const found = await tiledDetections(model, session, lookedAt(model, split, present(tiling)), 0, options);
  return { found: present(found), asked };
}

describe("a cascade that looks at tiles", () => {
  it("finds in an image of one tile what it finds in the image", async () => {
    const { found } = await inTiles(crowd, { tiles: 1024 });
    const whole = await model.find(session, crowd);
    expect(Array.from(found.scores)).toEqual(Array.from(whole.scores));
    expect(Array.from(found.boxes)).toEqual(Array.from(whole.boxes));
    expect(Array.from(found.landmarks ?? [])).toEqual(Array.from(whole.landmarks ?? []));
  });

  it("never asks for the whole image, but for the parts of it", async () => {
    const { found, asked } = await inTiles(crowd, { tiles: 96, overlap: 0.5 });
    expect(asked.wholes).toEqual([]);
    expect(asked.parts.length).toBeGreaterThan(0);
    expect(found.scores.length).toBeGreaterThan(0);
    for (const [i, edge] of Array.from(found.boxes).entries()) {
      expect(edge).toBeLessThanOrEqual(i % 2 === 0 ? crowd.width : crowd.height);
    }
  });

  it("is given the full image just so small that objects are found there which lie whole in no tile", async () => {
    const { asked } = await inTiles(crowd, { tiles: 96, overlap: 0.5, fullImage: true });
    // Tiles share 48 pixels: an object of 48 has 30, the smallest size, in the full image.
    expect(asked.wholes).toEqual([{ longest: Math.ceil((30 / 48) * Math.max(crowd.width, crowd.height)) }]);
  });

  it("is given no more of the full image than its networks see of the smallest objects", async () => {
    const coarse = mtcnn({ minimumSize: 96, thresholds: [0.45, 0.8, 0.25] });
    const { split, asked } = splitOf(crowd);
    const options = { tiles: 192, overlap: 0.5, fullImage: true };
    const { tiling } = detectorViews(coarse, options);
    const tiles = lookedAt(coarse, split, present(tiling));
    await tiledDetections(coarse, session, tiles, 0, options);
    // Objects of 96 pixels, of which the output network sees 48.
    expect(asked.wholes).toEqual([{ longest: Math.ceil(Math.max(crowd.width, crowd.height) / 2) }]);
    const [first, end] = tiles.tilesOf(0);
    expect([tiles.smallest?.(first), tiles.smallest?.(end - 1)]).toEqual([undefined, 48]);
    // The pyramid of the smaller image is that of the whole one, as long as objects of the smallest size are looked for there.
    const levels = (width: number, minimumSize: number) =>
      pyramidScales({ width, height: width }, { minimumSize, factor: 0.709 }).map((scale) => scale * width);
    expect(levels(1000, 48)).toEqual(levels(2000, 96));
  });

  it("keeps as many detections of the image as are asked for, and refuses views, and tiles that share too little", async () => {
    const all = await inTiles(crowd, { tiles: 96, overlap: 0.5 });
    const { found } = await inTiles(crowd, { tiles: 96, overlap: 0.5, maximum: 2 });
    expect(Array.from(found.scores)).toEqual(Array.from(all.found.scores).slice(0, 2));
    expect(() => detectorViews(model, { mirror: true })).toThrow(OptionError);
    expect(() => detectorViews(model, { tiles: 96, overlap: 0.2, fullImage: true })).toThrow(
      /^option fullImage: tiles of 96 pixels share 19, and the smallest objects are of 30/,
    );
  });
});
