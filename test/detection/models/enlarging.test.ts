import { describe, expect, it } from "vitest";
import {
  type EnlargingOptions,
  enlargingNotes,
  enlargingOf,
  settledEnlarging,
} from "../../../src/detection/models/enlarging.ts";
import { fasterRcnnDefinition, fasterRcnnOptions } from "../../../src/detection/models/faster-rcnn.ts";
import { OptionError } from "../../../src/errors.ts";
import { initialState, namedTensors, nameParameters } from "../../../src/nn/module.ts";
import { exportOnnx } from "../../../src/program/program.ts";
import { describeForms, SIDE, TINY } from "./forms.ts";
import { detectorNamed } from "./support.ts";

// Of the rectangles that forms are tried with, about half are of either size.
describeForms([["faster-rcnn", { hidden: 32, enlarge: true, enlargeSizes: [18, 18] }]]);

it("an exported graph holds the generator, and no discriminator", () => {
  const options = { ...TINY, hidden: 8, enlarge: true, enlargeSizes: [16, 32] };
  const detector = detectorNamed("faster-rcnn", options, [3, SIDE, SIDE]);
  const without = (part: string) =>
    new Map([...initialState(detector, 1)].filter(([name]) => !name.startsWith(`head.enlarger.${part}.`)));
  const { outputs } = detector.exported();
  expect(exportOnnx(outputs, without("discriminator")).length).toBeGreaterThan(1000);
  expect(() => exportOnnx(outputs, without("generator"))).toThrow(/head\.enlarger\.generator/);
});

/** Objects of the sizes 1, 2 … 100 pixels, four times as wide as high. */
const hundred = {
  sampleShape: [3, 64, 64],
  classes: 2,
  boxShapes: Array.from({ length: 100 }, (_, i) => ({ width: 2 * (i + 1), height: (i + 1) / 2 })),
};

const optionsOf = (options: Readonly<Record<string, unknown>>): EnlargingOptions =>
  fasterRcnnOptions.parse(options);

describe("what is enlarged", () => {
  it("follows from the sizes of training objects: a third of them on either side", () => {
    const options = optionsOf({ enlarge: true });
    // Quantiles of 1 … 100 at a third and two thirds of the way.
    expect(enlargingOf(options, hundred)).toEqual({ below: 34, from: 67, weight: 0.1 });
    const settled = settledEnlarging(options, hundred);
    expect(settled).toMatchObject({ enlargeSizes: [34, 67], enlargeWeight: 0.1 });
    // A run that is opened knows no objects.
    expect(enlargingOf(settled, { sampleShape: [3, 64, 64] })).toEqual({ below: 34, from: 67, weight: 0.1 });
    expect(enlargingNotes(settled, hundred)).toEqual([
      "enlarge: regions of a size below 34 pixels are enlarged (33 of 100 objects looked at), to look like objects of 67 or more (34)",
    ]);
  });

  it("is nothing where that is not asked for, and options are as they were", () => {
    const options = optionsOf({});
    expect(enlargingOf(options, hundred)).toBe(undefined);
    expect(settledEnlarging(options, hundred)).toBe(options);
    expect(enlargingNotes(options, hundred)).toEqual([]);
    const names = [...namedTensors(detectorNamed("faster-rcnn", { width: 0.25 }, [3, 64, 64])).keys()];
    expect(names.some((name) => name.includes("enlarger"))).toBe(false);
    const model = fasterRcnnDefinition.build(
      fasterRcnnOptions.parse({ width: 0.25, enlarge: true }),
      hundred,
    );
    const enlarging = [...namedTensors(nameParameters(model)).keys()];
    expect(enlarging.filter((name) => !name.startsWith("head.enlarger."))).toEqual(names);
    expect(enlarging.length).toBeGreaterThan(names.length);
  });

  it.each<readonly [Readonly<Record<string, unknown>>, RegExp]>([
    [{ enlargeSizes: [10, 20] }, /enlargeSizes: is of enlarged regions; add --enlarge/],
    [{ enlargeWeight: 1 }, /enlargeWeight: is of enlarged regions; add --enlarge/],
    [{ enlarge: true, cascade: [0.5, 0.6] }, /enlarge: .* a cascade has several/],
    [{ enlarge: true, trident: "full" }, /enlarge: .* trident/],
    [{ enlarge: true, enlargeSizes: [20, 10] }, /enlargeSizes: 20,10 must be two sizes/],
    [{ enlarge: true, enlargeSizes: [20] }, /enlargeSizes: 20 must be two sizes/],
    [{ enlarge: true, enlargeSizes: [0.5, 10] }, /no training object is of a size below 0.5/],
    [{ enlarge: true, enlargeSizes: [10, 200] }, /no training object is of a size of 200 or more/],
  ])("is refused with a line that names the option: %j", (options, message) => {
    expect(() => enlargingOf(optionsOf(options), hundred)).toThrow(OptionError);
    expect(() => enlargingOf(optionsOf(options), hundred)).toThrow(message);
  });

  it("is refused where all objects are of one size, or there are none", () => {
    const options = optionsOf({ enlarge: true });
    const boxShapes = [1, 2, 3].map(() => ({ width: 9, height: 16 }));
    expect(() => enlargingOf(options, { ...hundred, boxShapes })).toThrow(
      /below 12 pixels.*give enlargeSizes/,
    );
    expect(() => enlargingOf(options, { ...hundred, boxShapes: [] })).toThrow(/no training objects/);
  });
});
