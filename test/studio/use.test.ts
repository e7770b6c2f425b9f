import { describe, expect, it } from "vitest";
import { cosineDistance, nearestTo, nextInDirection, planeOf, vectorsOf } from "../../studio/use/features.ts";
import { literal } from "../../studio/use/literal.ts";
import { marked } from "../../studio/use/mask.ts";
import { oddestFirst } from "../../studio/use/oddest.ts";
import { asNumbers, formOf, gridOf, pictureOf, picturesOf, rgbaOf } from "../../studio/use/pictures.ts";

describe("features in a plane", () => {
  // Points of a tilted plane in five dimensions: their distances are kept.
  const [e, f] = [
    [0.6, 0.8, 0, 0, 0],
    [0, 0, 0.6, 0, 0.8],
  ];
  const flat = [
    [0, 0],
    [4, 0],
    [0, 1],
    [4, 1],
    [2, 0.5],
  ] as const;
  const vectors = flat.map(([a, b]) =>
    Float32Array.from({ length: 5 }, (_, i) => 3 + a * (e?.[i] ?? 0) + b * (f?.[i] ?? 0)),
  );

  it("keep their distances where they lie in one", async () => {
    const { places, share } = await planeOf(vectors);
    expect(share).toBeCloseTo(1, 5);
    const far = (i: number, j: number) =>
      Math.hypot((places[i]?.x ?? 0) - (places[j]?.x ?? 0), (places[i]?.y ?? 0) - (places[j]?.y ?? 0));
    for (const [i, [a, b]] of flat.entries())
      for (const [j, [c, d]] of flat.entries())
        expect(far(i, j)).toBeCloseTo(Math.hypot(a - c, b - d) / 4, 4);
    for (const { x, y } of places) expect(x >= 0 && x <= 1 && y >= 0 && y <= 1).toBe(true);
  });

  it("may be of one number, or all the same", async () => {
    const line = await planeOf([1, 2, 4].map((value) => Float32Array.of(value)));
    const across = line.places.map(({ x }) => x);
    expect(new Set(line.places.map(({ y }) => y))).toEqual(new Set([0.5]));
    expect(Math.abs((across[2] ?? 0) - (across[0] ?? 0))).toBeCloseTo(1, 5);
    const same = await planeOf([1, 1, 1].map((value) => Float32Array.of(value, 2)));
    expect(same.places).toEqual(Array(3).fill({ x: 0.5, y: 0.5 }));
  });

  it("have neighbors by their angle", () => {
    const around = [0, 0.1, 0.5, Math.PI].map((angle) =>
      Float32Array.of(2 * Math.cos(angle), 2 * Math.sin(angle)),
    );
    expect(cosineDistance(Float32Array.of(1, 0), Float32Array.of(0, 3))).toBe(1);
    expect(nearestTo(around, 0, 2).map(({ item }) => item)).toEqual([1, 2]);
    expect(nearestTo(around, 0, 9).at(-1)?.distance).toBeCloseTo(2, 5);
    const answer = { features: { shape: [2, 2, 1], data: [1, 2, 3, 4] } };
    expect(vectorsOf(answer)).toEqual([Float32Array.of(1, 2), Float32Array.of(3, 4)]);
  });

  it("are walked through from one to the next", () => {
    const places = [
      { x: 0.5, y: 0.5 },
      { x: 0.7, y: 0.55 },
      { x: 0.9, y: 0.5 },
      { x: 0.5, y: 0.1 },
    ];
    expect(nextInDirection(places, 0, [1, 0])).toBe(1);
    expect(nextInDirection(places, 1, [1, 0])).toBe(2);
    expect(nextInDirection(places, 0, [0, -1])).toBe(3);
    expect(nextInDirection(places, 0, [0, 1])).toBeUndefined();
  });
});

describe("pictures of the page", () => {
  it("come back from the form of the server as they were", () => {
    const form = { channels: 3, height: 2, width: 2, isBinary: false };
    const rgba = Uint8ClampedArray.from({ length: 16 }, (_, i) => (i % 4 === 3 ? 255 : 10 * i));
    const picture = pictureOf(rgba, form);
    expect([...picture.slice(0, 4)]).toEqual([0, 40, 80, 120]);
    expect(rgbaOf(picture, form)).toEqual(rgba);
    const numbers = asNumbers([picture, picture], form);
    expect(numbers.shape).toEqual([2, 3, 2, 2]);
    expect(picturesOf(numbers, form)).toEqual([picture, picture]);
  });

  it("are grey, or zeros and ones, where the model has such", () => {
    const grey = { channels: 1, height: 1, width: 2, isBinary: false };
    expect([...pictureOf([255, 255, 255, 255, 255, 0, 0, 255], grey)]).toEqual([255, 76]);
    expect([...pictureOf([255, 255, 255, 255, 255, 0, 0, 255], { ...grey, isBinary: true })]).toEqual([1, 0]);
    expect([...rgbaOf(Float32Array.of(1, 0), { ...grey, isBinary: true })]).toEqual([
      255, 255, 255, 255, 0, 0, 0, 255,
    ]);
    const model = { sample: { kind: "picture", shape: [1, 28, 20], binary: true } } as const;
    expect(formOf(model as never)).toEqual({ channels: 1, height: 28, width: 20, isBinary: true });
  });

  it("stand in a grid with white between them", () => {
    const form = { channels: 2, height: 1, width: 2, isBinary: true };
    const pictures = [0, 0, 0].map(() => new Float32Array(4));
    const { picture, form: whole } = gridOf(pictures, form);
    expect(whole).toEqual({ ...form, width: 5, height: 3 });
    const plane = [0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1];
    expect([...picture]).toEqual([...plane, ...plane]);
  });

  it("are marked along the line of the brush", () => {
    const size = { width: 5, height: 3 };
    const line = marked(new Uint8Array(15), size, { from: { x: 1, y: 1 }, to: { x: 3, y: 1 }, radius: 0 });
    expect([...line]).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    const spot = marked(line, size, { from: { x: 1, y: 1 }, to: { x: 1, y: 1 }, radius: 1 });
    expect([...spot]).toEqual([1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0]);
  });
});

describe("what is shown of results", () => {
  it("begins with the oddest, what is impossible before all", () => {
    expect(oddestFirst([1, null, -3, 1, 0])).toEqual([1, 2, 4, 0, 3]);
  });

  it("is said as a program has it", () => {
    expect(literal({ count: 16, given: { a: "b" }, list: [1, "x"] })).toBe(
      '{ count: 16, given: { a: "b" }, list: [1, "x"] }',
    );
    expect(literal({})).toBe("{}");
  });
});
