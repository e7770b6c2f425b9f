import { describe, expect, it } from "vitest";
import { buildModel, findModel } from "../../../src/catalog.ts";
import { ImageChanges } from "../../../src/data/image/changes.node.ts";
import { type DataSet, storedSplit } from "../../../src/data/sources/data-set.ts";
import { planePoints } from "../../../src/data/sources/toy.ts";
import { TableChanges } from "../../../src/data/table/changes.node.ts";
import { InverseError, OptionError } from "../../../src/errors.ts";
import { initialState } from "../../../src/nn/module.ts";
import { Deadline } from "../../../src/program/deadline.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { pngSize } from "../../../src/report/raster/raster.ts";
import { type FigureSource, figureMakers, makeFigures } from "../../../src/tasks/report/figures.node.ts";
import { float32 } from "../../../src/tensor/array.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";

/** A model as it begins, or with random weights, on data: what figures are made of. */
async function sourceOf(
  name: string,
  options: Readonly<Record<string, unknown>>,
  data: DataSet,
  random?: number,
): Promise<FigureSource> {
  const definition = findModel(name);
  const { kind, sampleShape } = data;
  const model = buildModel(definition, options, { kind, sampleShape });
  const weights = new Map(initialState(model, 0));
  if (random !== undefined) {
    for (const [key, { shape, data: values }] of weights) {
      const noise = new Float32Array(values.length);
      new Random(random).split(key).fillNormal(noise);
      weights.set(
        key,
        float32(
          noise.map((value) => 0.4 * value),
          shape,
        ),
      );
    }
  }
  const session = new Session(await nodeRuntime(), weights);
  const dataInfo = { kind, sampleShape, fingerprint: "", trainCount: data.splits.train.count };
  const config = { model: name, modelOptions: options, data: data.name, dataOptions: {}, dataInfo };
  const run = {
    folder: new RunFolder("nowhere"),
    // Figures use the data's kind and the names of model and data alone.
    config: config as unknown as FigureSource["run"]["config"],
    model,
    definition,
    session,
    cascade: undefined,
    deadline: new Deadline(),
    weightsStep: undefined,
    source: { given: undefined, trust: undefined },
    changes: new ImageChanges(),
    tableChanges: new TableChanges(),
    data: async () => data,
  };
  return { run, data, seed: 0 };
}

function imageSet(): DataSet {
  const pixels = new Uint8Array(12 * 16);
  for (let i = 0; i < pixels.length; i++) pixels[i] = (i * 37) % 256;
  const split = storedSplit(
    pixels,
    [1, 4, 4],
    Array.from({ length: 12 }, (_, i) => i),
  );
  return {
    name: "small",
    kind: "image",
    sampleShape: [1, 4, 4],
    splits: { train: split, validation: split, test: split },
    fingerprint: "",
    describe: () => [],
  };
}

/** All figures but that of completions, which takes Hamiltonian Monte Carlo. */
const others = figureMakers.filter(({ name }) => name !== "inpainting");
const refuseWarnings = {
  makers: others,
  // However long each takes: on a busy machine the patience of a quick report is soon spent.
  full: true,
  warn(message: string): void {
    throw new Error(message);
  },
};
const moons = planePoints("two-moons", { count: 2000 });

/** Pixels of the picture inside a heat map. */
async function heatPixels(svg: string) {
  const { decode } = await import("fast-png");
  const encoded = /data:image\/png;base64,([^"]+)"/.exec(svg)?.[1] ?? "";
  return decode(Buffer.from(encoded, "base64"));
}

describe("figures of points", () => {
  it("are the density with samples over it and the path from base to data", async () => {
    const figures = await makeFigures(
      await sourceOf("nice", { couplings: 4, width: 8 }, moons, 1),
      refuseWarnings,
    );
    expect(figures.map(({ name }) => name)).toEqual(["density", "true-density", "path"]);
    const path = figures[2]?.figure;
    expect(path?.caption).toMatch(/the 6 steps/);
    // Six transforms; keeping the order of two components is a step that changes nothing: six panels in two rows.
    expect(path?.picture.format === "png" && pngSize(path.picture.bytes)).toEqual({
      width: 4 * 212 + 12,
      height: 2 * 238,
    });
  });

  it("show the density where it is: that of the identity is highest in the middle and round", async () => {
    const source = await sourceOf("nice", { couplings: 2, width: 8 }, moons);
    const [density] = await makeFigures(source, refuseWarnings);
    const { picture } = density?.figure ?? {};
    if (picture?.format !== "svg") throw new Error("a heat map is an SVG");
    const { width, height, data, channels } = await heatPixels(picture.text);
    expect([width, height, channels]).toEqual([128, 128, 3]);
    // The frame is that of the data, so 0 lies where the axes of the plot have it.
    const middle = Array.from({ length: width * height }, (_, i) => i).reduce(
      (best, i) => ((data[3 * i] ?? 0) > (data[3 * best] ?? 0) ? i : best),
      0,
    );
    const ticks = [...picture.text.matchAll(/<text[^>]*>(−?\d)<\/text>/g)].map(([, text]) => text);
    expect(ticks).toContain("0");
    expect(Math.abs((middle % width) - 64)).toBeLessThan(16);
    expect(Math.abs(Math.floor(middle / width) - 64)).toBeLessThan(16);
    expect(picture.text.match(/<circle|<use/g)?.length).toBeGreaterThan(300);
  });
});

describe("figures of images", () => {
  it("are samples at four temperatures and interpolated strips", async () => {
    const source = await sourceOf("nice", { couplings: 2, width: 8 }, imageSet());
    const figures = await makeFigures(source, refuseWarnings);
    expect(figures.map(({ name }) => name)).toEqual(["temperatures", "interpolation"]);
    const sizes = figures.map(
      ({ figure }) => figure.picture.format === "png" && pngSize(figure.picture.bytes),
    );
    // Images of 4 × 4 pixels are drawn eight times as large, two pixels apart.
    const grid = 4 * 34 + 2;
    expect(sizes).toEqual([
      { width: 4 * grid + 3 * 16, height: grid + 30 },
      { width: 8 * 34 + 2, height: grid },
    ]);
  });

  it("are none for a model without codes and temperature", async () => {
    const source = await sourceOf("gan", { network: "mlp", width: 8 }, imageSet());
    expect(await makeFigures(source, refuseWarnings)).toEqual([]);
  });

  it("are interpolations alone for a model with codes but no temperature", async () => {
    const options = { channels: 8, multipliers: [1], middleAttention: false };
    const source = await sourceOf("rectified-flow", options, imageSet());
    expect((await makeFigures(source, refuseWarnings)).map(({ name }) => name)).toEqual(["interpolation"]);
  });
});

describe("figures of short codes", () => {
  it("are a map of them, and for codes in the plane pictures all over it", async () => {
    const source = await sourceOf("vae", { latentSize: 2, width: 8 }, imageSet());
    const figures = await makeFigures(source, refuseWarnings);
    expect(figures.map(({ name }) => name)).toEqual(["codes", "code-grid", "temperatures", "interpolation"]);
    const [codes, grid] = figures.map(({ figure }) => figure);
    expect(codes?.picture.format === "svg" && codes.picture.text).toContain(">z₁<");
    expect(codes?.caption).toContain("test split");
    expect(grid?.picture.format === "png" && pngSize(grid.picture.bytes)).toEqual({
      width: 18 * 32,
      height: 18 * 32,
    });
    expect(grid?.caption).toContain("from -1.91 to 1.91");
  });

  it("of more numbers are shown along their principal axes", async () => {
    const source = await sourceOf("vae", { latentSize: 5, width: 8 }, imageSet());
    const figures = await makeFigures(source, refuseWarnings);
    expect(figures.map(({ name }) => name).slice(0, 3)).toEqual(["codes", "temperatures", "interpolation"]);
    const makers = figureMakers.filter(({ name }) => name === "features-umap");
    const [byUmap] = await makeFigures(source, { ...refuseWarnings, makers });
    expect(byUmap?.figure.caption).toMatch(
      /^codes of 5 numbers of \d+ images of the \w+ split by UMAP, seed \d+/,
    );
    const { picture } = figures[0]?.figure ?? {};
    expect(picture?.format === "svg" && picture.text).toMatch(
      /first principal axis \(\d+ % of the variance\)/,
    );
  });
});

describe("makeFigures", () => {
  it("leaves out what cannot be made, reports why, and lets errors of its own through", async () => {
    const source = await sourceOf("nice", { couplings: 2, width: 8 }, imageSet());
    const failing = (error: Error) => ({ name: "failing", make: () => Promise.reject(error) });
    const warnings: string[] = [];
    const warn = (message: string): void => {
      warnings.push(message);
    };
    const makers = [failing(new InverseError("none")), failing(new OptionError("too wide")), ...others];
    const figures = await makeFigures(source, { warn, makers });
    expect(figures.map(({ name }) => name)).toEqual(["temperatures", "interpolation"]);
    expect(warnings).toEqual(["no picture failing: too wide"]);
    await expect(makeFigures(source, { warn, makers: [failing(new TypeError("bug"))] })).rejects.toThrow(
      "bug",
    );
  });
});
