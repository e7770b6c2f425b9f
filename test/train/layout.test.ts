import fc from "fast-check";
import { expect, test } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { float32 } from "../../src/tensor/array.ts";
import { input, Parameter } from "../../src/tensor/index.ts";
import { ParameterLayout } from "../../src/train/layout.ts";

const shapes = fc.array(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }), {
  minLength: 1,
  maxLength: 5,
});

function layoutOf(list: readonly (readonly number[])[]): ParameterLayout {
  const model = nameParameters({ list: list.map((shape) => new Parameter(shape, () => undefined)) });
  return new ParameterLayout(parametersOf(model));
}

test("unpack undoes pack", () => {
  fc.assert(
    fc.property(shapes, (list) => {
      const layout = layoutOf(list);
      const flat = Float32Array.from({ length: layout.size }, (_, i) => i + 1);
      const state = layout.unpack(flat);
      expect([...state.keys()]).toEqual(list.map((_, i) => `list.${i}`));
      expect(layout.pack(state)).toEqual(flat);
    }),
  );
});

test("views of the vector hold what unpack holds", async () => {
  const layout = layoutOf([[2, 3], [4], [], [1, 2, 2]]);
  const flat = input("flat", [layout.size]);
  const values = Float32Array.from({ length: layout.size }, (_, i) => i);
  const views = [...layout.views(flat).values()];
  const results = await evaluate(views, new Map([[flat, float32(values, [layout.size])]]));
  [...layout.unpack(values).values()].forEach((expected, i) => {
    expect(results[i]?.shape).toEqual(expected.shape);
    expect(results[i]?.data).toEqual(expected.data);
  });
});

test("a missing or misshapen parameter is named", () => {
  const layout = layoutOf([[2], [3]]);
  expect(() => layout.pack(new Map([["list.0", float32([1, 2], [2])]]))).toThrow(WeightsError);
  const wrong = new Map([
    ["list.0", float32([1, 2], [2])],
    ["list.1", float32([1, 2], [2])],
  ]);
  expect(() => layout.pack(wrong)).toThrow(/list\.1 is float32\[2\], the model wants float32\[3\]/);
});
