import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { Linear } from "../../src/nn/linear.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { BatchNorm2d } from "../../src/nn/normalization.ts";
import { checkState, matchState } from "../../src/nn/state.ts";
import { float32, int64, type NdArray } from "../../src/tensor/array.ts";

const network = (classes: number) => nameParameters({ body: new Linear(3, 4), head: new Linear(4, classes) });

describe("matchState", () => {
  it("takes what fits by name and shape, as float32, and lists what does not", () => {
    const model = network(2);
    const other = new Map(initialState(network(5), 1));
    const counted = Float64Array.from({ length: 12 }, (_, i) => i);
    other.set("body.weight", { dtype: "float64", shape: [4, 3], data: counted });
    other.set("extra", float32([1], [1]));
    other.delete("body.bias");
    const { taken, report } = matchState(other, model, "other.safetensors");
    expect([...taken.keys()]).toEqual(["body.weight"]);
    expect(taken.get("body.weight")).toMatchObject({ dtype: "float32", shape: [4, 3] });
    expect(Array.from(taken.get("body.weight")?.data ?? [], Number)).toEqual(
      Array.from({ length: 12 }, (_, i) => i),
    );
    expect(report).toEqual([
      "weights of other.safetensors: 1 of 4 tensors taken",
      "2 of another shape, begun afresh:",
      "  head.weight  [5, 4], the model wants [2, 4]",
      "  head.bias    [5], the model wants [2]",
      "1 not in the file, begun afresh:",
      "  body.bias    [4]",
      "1 not in the model, not used:",
      "  extra        [1]",
    ]);
  });

  it("has one line where all fits, and refuses what fits nowhere", () => {
    const model = network(2);
    expect(matchState(initialState(model, 0), model, "same.safetensors").report).toEqual([
      "weights of same.safetensors: 4 of 4 tensors taken",
    ]);
    const foreign = new Map([["layer.weight", float32([1], [1])]]);
    expect(() => matchState(foreign, model, "foreign.safetensors")).toThrow(WeightsError);
    expect(() => matchState(foreign, model, "foreign.safetensors")).toThrow(
      "it holds layer.weight [1]; the model wants body.weight [4, 3], head.weight [2, 4], body.bias [4], head.bias [2]",
    );
  });

  it("refuses numbers that are NaN or infinite, by the names of the file", () => {
    const model = network(2);
    const bad = new Map(initialState(model, 0));
    bad.set("head.bias", float32([1, Number.NaN], [2]));
    bad.set("body.bias", float32([0, 0, 0, Number.NEGATIVE_INFINITY], [4]));
    const prefixed = new Map([...bad].map(([name, value]) => [`module.${name}`, value]));
    const refused = () => matchState(prefixed, model, "bad.pth");
    expect(refused).toThrow(WeightsError);
    expect(refused).toThrow(
      /^bad\.pth: module\.body\.bias has an infinite number in it, and 1 other tensor too; /,
    );
    // What is not taken does no harm.
    const unused = new Map([...initialState(model, 0), ["extra", float32([Number.NaN], [1])] as const]);
    expect(matchState(unused, model, "w.pth").taken.size).toBe(4);
  });

  it("says in one line that all shapes differ", () => {
    const wider = nameParameters({ body: new Linear(5, 6), head: new Linear(6, 7) });
    expect(() => matchState(initialState(wider, 0), network(2), "wider.pth")).toThrow(
      "wider.pth: nothing in it fits this model by name and shape; of another shape: body.weight is [6, 5], the model wants [4, 3], head.weight is [7, 6], the model wants [2, 4], body.bias is [6], the model wants [4], head.bias is [7], the model wants [2]",
    );
  });

  it("shows the most telling names first, in about twenty lines", () => {
    const model = nameParameters({
      layers: Array.from({ length: 20 }, (_, i) => new Linear(2, i + 1)),
      norm: new BatchNorm2d(3),
    });
    const foreign = new Map<string, NdArray>();
    for (let i = 0; i < 40; i++) {
      foreign.set(`bn${i}.num_batches_tracked`, int64([1], []));
      foreign.set(`bn${i}.weight`, float32(new Float32Array(i + 1), [i + 1]));
    }
    const refused = () => matchState(foreign, model, "foreign.pth");
    expect(refused).toThrow(
      "it holds bn39.weight [40], bn38.weight [39], bn37.weight [38], bn36.weight [37], bn35.weight [36], and 75 more; the model wants layers.19.weight [20, 2], layers.18.weight [19, 2], ",
    );
    // Counters alone are no weights.
    foreign.set("norm.num_batches_tracked", int64([7], []));
    expect(refused).toThrow("nothing in it fits");
    foreign.set("norm.weight", float32([1, 2, 3], [3]));
    foreign.set("norm.bias", float32([1], [1]));
    const { taken, report } = matchState(foreign, model, "foreign.pth");
    expect([...taken.keys()]).toEqual(["norm.weight", "norm.num_batches_tracked"]);
    expect(report.length).toBeLessThanOrEqual(24);
    expect(report.slice(0, 5)).toEqual([
      "weights of foreign.pth: 2 of 45 tensors taken",
      "1 of another shape, begun afresh:",
      "  norm.bias         [1], the model wants [3]",
      "42 not in the file, begun afresh:",
      "  layers.19.weight  [20, 2]",
    ]);
    expect(report).toContain("  and 34 more");
    expect(report).toContain("80 not in the model, not used:");
    expect(report.join()).not.toContain("num_batches_tracked");
  });
});

describe("checkState", () => {
  it("wants all names in the model's shapes and no others, and lists what is wrong", () => {
    const model = network(2);
    const state = initialState(model, 0);
    expect([...checkState(new Map([...state].reverse()), model, "w").keys()]).toEqual([...state.keys()]);
    const broken = new Map(initialState(network(5), 0));
    broken.delete("body.bias");
    broken.set("extra", float32([1], [1]));
    expect(() => checkState(broken, model, "w")).toThrow(
      "w: does not fit this model; missing: body.bias; unexpected: extra; of another shape: head.weight is [5, 4], the model wants [2, 4], head.bias is [5], the model wants [2]",
    );
  });
});
