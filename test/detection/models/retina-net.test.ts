import { describe, expect, it } from "vitest";
import { anchorLevels } from "../../../src/detection/boxes/anchors.ts";
import { type Box, boxAt, iou } from "../../../src/detection/boxes/boxes.ts";
import {
  anchorCounts,
  layoutNotes,
  type RetinaAnchorOptions,
  retinaAnchors,
} from "../../../src/detection/models/retina-anchors.ts";
import {
  RetinaNet,
  type RetinaNetOutputs,
  retinaNetLosses,
  retinaNetOptions,
} from "../../../src/detection/models/retina-net.ts";
import { levelGrids } from "../../../src/detection/network/feature-network.ts";
import { OptionError } from "../../../src/errors.ts";
import { initialState, nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { Program } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, grad, input, int64, type Tensor } from "../../../src/tensor/index.ts";
import { constantValue } from "../../../src/tensor/leaves.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { TINY } from "./forms.ts";

// Where anchors stand, how many an object gets by its size, and the max-out background label.

/** The anchors of options over an image of that side, from a stride on. */
function anchorsOver(
  options: Partial<RetinaAnchorOptions>,
  side: number,
  strides: readonly number[],
): readonly Box[] {
  const image = { width: side, height: side };
  const grids = levelGrids(
    image,
    strides.map((stride) => ({ channels: 1, stride })),
  );
  const { anchors } = retinaAnchors(retinaNetOptions.parse(options), grids, image);
  const numbers = Float32Array.from(present(constantValue(anchors)).data, Number);
  return Array.from({ length: numbers.length / 4 }, (_, k) => boxAt(numbers, k));
}

const sizeOf = ([x1, y1, x2, y2]: Box): number => Math.sqrt((x2 - x1) * (y2 - y1));

describe("anchors", () => {
  it("of each layout are those of its paper", () => {
    const counts = (options: Partial<RetinaAnchorOptions>) => anchorCounts(retinaNetOptions.parse(options));
    expect(counts({})).toEqual({ finest: 9, each: 9 });
    expect(counts({ anchorLayout: "s3fd" })).toEqual({ finest: 1, each: 1 });
    const notes = (options: object) =>
      layoutNotes(retinaNetOptions.parse({ anchorLayout: "s3fd", ...options })).join();
    expect(notes({})).toMatch(
      /S³FD has stride 4, and anchors of 16 pixels; here it has stride 8, .* of 32 pixels/,
    );
    expect(notes({ finestStride: 4 })).toBe("");
    expect(notes({ anchorLayout: "retina-net" })).toBe("");
    // 4² of one stride, 2² of two, one of four.
    expect(counts({ anchorLayout: "faceboxes" })).toEqual({ finest: 16 + 4 + 1, each: 1 });
    expect(counts({ anchorLayout: "faceboxes", anchorDensity: 0 })).toEqual({ finest: 3, each: 1 });
    // 3 strides want 4 / 3 of them along a side, and so 2.
    expect(counts({ anchorLayout: "s3fd", anchorScale: 3, anchorDensity: 4 })).toEqual({
      finest: 4,
      each: 4,
    });

    // Section 3.1 of S³FD, table 1: anchors of 16 to 512 pixels at strides of 4 to 128.
    const strides = [4, 8, 16, 32, 64, 128];
    const sizes = anchorsOver({ anchorLayout: "s3fd" }, 640, strides).map((box) => Math.round(sizeOf(box)));
    const expected = strides.map((stride) => [4 * stride, Math.ceil(640 / stride) ** 2] as const);
    expect(expected.map(([size]) => [size, sizes.filter((own) => own === size).length])).toEqual(expected);

    // Section 3.3 of FaceBoxes, with its strides 32, 64 and 128: 21 anchors of 32, 64 and 128 pixels, 256, 512.
    const faces = anchorsOver({ anchorLayout: "faceboxes" }, 1024, [32, 64, 128]);
    const count = (size: number) => faces.filter((box) => Math.round(sizeOf(box)) === size).length;
    expect([32, 64, 128, 256, 512].map(count)).toEqual([32 * 32 * 16, 32 * 32 * 4, 32 * 32, 16 * 16, 8 * 8]);
  });

  it("that stand several times in a cell are spread evenly over all of them", () => {
    const own = anchorsOver({ anchorLayout: "faceboxes" }, 128, [32]).filter(
      (box) => Math.round(sizeOf(box)) === 32,
    );
    const along = [...new Set(own.map(([x1, , x2]) => (x1 + x2) / 2))].sort((a, b) => a - b);
    expect(along).toEqual(Array.from({ length: 16 }, (_, i) => 4 + 8 * i));
    expect(new Set(own.map((box) => box.join())).size).toBe(256);
  });

  it("are as many for small objects as for large ones where they are densified, and few where not", () => {
    const random = new Random(5);
    const places = Array.from({ length: 60 }, () => [random.uniform(), random.uniform()] as const);
    /** Anchors that overlap a square of a size by ½ or more, on average over places in the image. */
    const matched = (anchors: readonly Box[], size: number): number => {
      const counts = places.map(([across, down]) => {
        const [x, y] = [across, down].map((share) => 64 + 128 * share - size / 2);
        const square: Box = [present(x), present(y), present(x) + size, present(y) + size];
        return anchors.filter((anchor) => iou(square, anchor) >= 0.5).length;
      });
      return counts.reduce((sum, count) => sum + count, 0) / counts.length;
    };
    const dense = anchorsOver({ anchorLayout: "faceboxes" }, 256, [8, 16]);
    const sparse = anchorsOver({ anchorLayout: "faceboxes", anchorDensity: 0 }, 256, [8, 16]);
    const [small, middle, large] = [8, 16, 32].map((size) => matched(dense, size));
    for (const other of [small, middle]) {
      expect(present(other) / present(large)).toBeGreaterThan(0.8);
      expect(present(other) / present(large)).toBeLessThan(1.25);
    }
    expect(matched(sparse, 8)).toBeLessThan(present(large) / 10);
    expect(matched(sparse, 16)).toBeLessThan(present(large) / 3);
    expect(matched(sparse, 32)).toBe(large);
  });

  it("that would stand very often in a cell are refused", () => {
    const options = retinaNetOptions.parse({ finestAnchors: [0.1], anchorDensity: 4 });
    expect(() => anchorCounts(options)).toThrow(OptionError);
    expect(() => anchorCounts(options)).toThrow(/option anchorDensity: .* 40 × 40 times/);
  });
});

describe("max-out background label", () => {
  const maxOut = 3;
  const model = nameParameters(
    new RetinaNet(retinaNetOptions.parse({ ...TINY, anchorLayout: "s3fd", levels: 2, maxOut }), {
      sampleShape: [3, 64, 64],
      classes: 2,
    }),
  );
  const random = new Random(8);
  const maps = [8, 4].map((side, i) => {
    const shape = [1, 16, side, side];
    const value = float32(
      Array.from({ length: 16 * side * side }, () => 3 * random.normal()),
      shape,
    );
    return { name: `map${i}`, value, tensor: input(`map${i}`, shape) };
  });

  async function run(outputs: Readonly<Record<string, Tensor>>) {
    const program = await Program.build(new Map(Object.entries(outputs)), await testRuntime());
    const feeds = Object.fromEntries(maps.map(({ name, value }) => [name, value]));
    const values = await program.run({ ...Object.fromEntries(initialState(model, 1)), ...feeds });
    await program.release();
    return (name: string) => Array.from(present(values[name]).data, Number);
  }

  it("takes the largest score of background from the classes of the finest map, and gives it the gradient alone", async () => {
    const { head } = model;
    const tower = head.classTower;
    const [finest] = maps;
    const [background, bias] = [present(head.background), present(present(head.background).bias)];
    const seen = tower.forward(present(finest).tensor);
    const { classes } = head.forward(maps.map(({ tensor }) => tensor));
    const [gradient] = grad(classes.sum(), [bias]);
    const value = await run({
      classes,
      usual: head.classes.forward(seen),
      coarse: head.classes.forward(tower.forward(present(maps[1]).tensor)),
      scores: background.forward(seen),
      gradient,
    });
    const [cells, coarse] = [64, 16];
    const largest = Array.from({ length: cells }, (_, cell) => {
      const own = Array.from({ length: maxOut }, (_, i) => present(value("scores")[i * cells + cell]));
      return { score: Math.max(...own), at: own.indexOf(Math.max(...own)) };
    });
    const of = (name: string, count: number, cell: number) =>
      [0, 1].map((label) => present(value(name)[label * count + cell]));
    const expected = [
      ...largest.flatMap(({ score }, cell) => of("usual", cells, cell).map((logit) => logit - score)),
      ...Array.from({ length: coarse }, (_, cell) => of("coarse", coarse, cell)).flat(),
    ];
    expect(value("classes")).toEqual(expected.map((logit) => expect.closeTo(logit, 5)));
    // Each cell pulls at its largest score, once for each class.
    const pulled = [0, 1, 2].map((i) => -2 * largest.filter(({ at }) => at === i).length);
    expect(pulled.every((pull) => pull < 0)).toBe(true);
    expect(value("gradient")).toEqual(pulled);
  });

  it("has weights of its own alone: all others are called as without it", () => {
    const without = nameParameters(
      new RetinaNet(retinaNetOptions.parse({ ...TINY, anchorLayout: "s3fd", levels: 2 }), {
        sampleShape: [3, 64, 64],
        classes: 2,
      }),
    );
    const names = (of: RetinaNet) => parametersOf(of).map(({ name }) => name);
    const added = names(model).filter((name) => !names(without).includes(name));
    expect(added).toEqual(["head.background.weight", "head.background.bias"]);
    expect(names(model).length).toBe(names(without).length + 2);
  });
});

describe("context anchors", () => {
  it("add the losses of anchors that are a half and a quarter as large, times their gain", async () => {
    const random = new Random(4);
    const side = 64;
    const image = { width: side, height: side };
    const options = retinaNetOptions.parse({ anchorLayout: "s3fd", contextGain: 0.3 });
    const grids = levelGrids(
      image,
      [8, 16].map((stride) => ({ channels: 1, stride })),
    );
    const placed = retinaAnchors(options, grids, image);
    const count = Number(placed.anchors.shape[0]);
    const numbers = (width: number) =>
      constant(
        float32(
          Array.from({ length: count * width }, () => random.normal()),
          [1, count, width],
        ),
      );
    const predicted = () => ({ classes: numbers(2), deltas: numbers(4) });
    const [usual, half, quarter] = [predicted(), predicted(), predicted()];
    const objects = {
      boxes: constant(float32([3, 4, 14, 16, 20, 18, 58, 50, 0, 0, 0, 0], [1, 3, 4])),
      labels: constant(int64([0, 1, -1], [1, 3])),
    };
    const losses = (outputs: RetinaNetOutputs, factor: number) => {
      const layouts = grids.map((grid) => ({
        ...grid,
        shapes: [{ width: factor * 4 * grid.stride, height: factor * 4 * grid.stride }],
      }));
      const { boxes, levels } = anchorLevels(layouts);
      const anchors = constant(float32(boxes, [boxes.length / 4, 4]));
      return retinaNetLosses(outputs, { anchors, levels }, objects, options).total;
    };
    const whole = retinaNetLosses({ ...usual, context: [half, quarter] }, placed, objects, options);
    const program = await Program.build(
      new Map(
        Object.entries({
          total: whole.total,
          context: present(whole.context),
          usual: losses(usual, 1),
          half: losses(half, 1 / 2),
          quarter: losses(quarter, 1 / 4),
        }),
      ),
      await testRuntime(),
    );
    const values = await program.run({});
    await program.release();
    const of = (name: string) => Number(present(values[name]).data[0]);
    expect(of("context")).toBeCloseTo(0.3 * (of("half") + of("quarter")), 4);
    expect(of("total")).toBeCloseTo(of("usual") + of("context"), 4);
    expect(of("half")).not.toBeCloseTo(of("usual"), 1);
  });
});

describe("options of one assignment", () => {
  const data = { sampleShape: [3, 64, 64], classes: 2 };
  const built = (options: object) => new RetinaNet(retinaNetOptions.parse({ ...TINY, ...options }), data);

  it.each([
    [{ assignment: "s3fd", foreground: 0.6 }, /option foreground: is of assignment overlap/],
    [{ assignment: "atss", s3fdLeast: 0.2 }, /option s3fdLeast: is of assignment s3fd/],
    [{ atssNearest: 5 }, /option atssNearest: is of assignment atss/],
    [{ assignment: "s3fd", s3fdForeground: 0.1, s3fdLeast: 0.3 }, /option s3fdLeast: 0\.3 must not be above/],
    [{ background: 0.6 }, /option background: 0\.6 must not be above foreground/],
    [{ contextGain: 2 }, /option contextGain: .* give contextAnchors/],
  ])("%j is refused", (options, message) => {
    expect(() => built(options)).toThrow(message);
  });

  it.each([
    { assignment: "atss", atssNearest: 5 },
    { assignment: "s3fd", s3fdLeast: 0.2 },
    { contextAnchors: 1, contextGain: 2 },
  ])("%j is taken", (options) => {
    expect(() => built(options)).not.toThrow();
  });
});
