import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { Linear } from "../../src/nn/linear.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { checkState, matchState } from "../../src/nn/state.ts";
import { float32 } from "../../src/tensor/array.ts";

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
      "of another shape, begun afresh: head.weight is [5, 4], the model wants [2, 4], head.bias is [5], the model wants [2]",
      "not in the file, begun afresh: body.bias",
      "in the file, not used: extra",
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
      /holds layer\.weight, …, the model wants body\.weight, body\.bias/,
    );
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
