import { describe, expect, expectTypeOf, it } from "vitest";
import type { FitRequest, ModelName, RunOf } from "../src/index.ts";
import { fit, openRun } from "../src/index.ts";

// What an editor and the compiler make of the front door. These functions are compiled, not called.

describe("types of the front door", () => {
  it("know the names of models", () => {
    expectTypeOf<"nice">().toExtend<ModelName>();
    expectTypeOf<string>().not.toExtend<ModelName>();
    // @ts-expect-error there is no such model
    const misspelt = () => fit({ model: "nise", data: "two-moons" });
    expect(misspelt).toBeTypeOf("function");
  });

  it("know each option of training, data and model", () => {
    expectTypeOf<{ model: "nice"; data: string; steps: number; couplings: number }>().toExtend<FitRequest>();
    const calls = [
      () => fit({ model: "nice", data: "two-moons", steps: 20, couplings: 4, count: 500 }),
      () => fit({ model: "yolo", data: "./cells", size: 320, mosaic: 0.5, backbone: "resnet" }),
      // @ts-expect-error a misspelt option
      () => fit({ model: "nice", data: "two-moons", stpes: 20 }),
      // @ts-expect-error a text for a number
      () => fit({ model: "nice", data: "two-moons", steps: "20" }),
      // @ts-expect-error an option of another model
      () => fit({ model: "nice", data: "two-moons", backbone: "resnet" }),
      // @ts-expect-error a value that the option does not take
      () => fit({ model: "yolo", data: "./cells", backbone: "resnext" }),
    ];
    expect(calls).toHaveLength(6);
  });

  it("give a run the methods of its model", () => {
    expectTypeOf<RunOf<"yolo">>().toHaveProperty("detect");
    expectTypeOf<RunOf<"yolo">>().not.toHaveProperty("sample");
    expectTypeOf<RunOf<"nice">>().toHaveProperty("score");
    expectTypeOf<RunOf<"nice">>().not.toHaveProperty("detect");
    expectTypeOf<RunOf<"gan">>().toHaveProperty("sample");
    expectTypeOf<RunOf<"gan">>().not.toHaveProperty("score");
    const opened = [
      async () => (await openRun("run")).detect("photo.jpg"),
      async () => (await openRun<"yolo">("run")).detect("photo.jpg"),
      async () => (await openRun("run", { model: "nice" })).score(),
      // @ts-expect-error a GAN has no likelihood
      async () => (await openRun("run", { model: "gan" })).score(),
      // @ts-expect-error a detector draws no samples
      async () => (await openRun<"yolo">("run")).sample(),
    ];
    expect(opened).toHaveLength(5);
  });
});
