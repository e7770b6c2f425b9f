import { describe, expect, it } from "vitest";
import { PlainFpn } from "../../src/detection/network/necks.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { input } from "../../src/tensor/index.ts";
import { present } from "../support.ts";
import { checkPublished, expectLike, fixture, madeState, run, uniform } from "./published.ts";

checkPublished("resnet18");
checkPublished("mobilenet-v2");
checkPublished("efficientnet-lite0");

describe("PlainFpn", () => {
  it.each([
    ["pool", "pool"],
    ["p6p7", "p6p7-of-c5"],
    ["p6p7-p5", "p6p7-of-p5"],
  ] as const)("gives torchvision's maps with %s", async (which, extra) => {
    const levels = [
      { channels: 5, stride: 8 },
      { channels: 7, stride: 16 },
      { channels: 12, stride: 32 },
    ];
    const shapes = levels.map(({ channels, stride }) => [2, channels, 96 / stride, 96 / stride]);
    const fpn = nameParameters(new PlainFpn(levels, 8, extra));
    const maps = fpn.forward(shapes.map((shape, i) => input(`map${i}`, shape)));
    const expected = present(fixture.pyramids[which]);
    expect(fpn.levels.map(({ stride }) => stride)).toEqual([8, 16, 32, 64, 128].slice(0, expected.length));
    const feeds = Object.fromEntries(shapes.map((shape, i) => [`map${i}`, uniform(`map ${i}`, shape)]));
    const values = await run(
      Object.fromEntries(maps.map((map, i) => [`out${i}`, map])),
      madeState(fpn),
      feeds,
    );
    for (const [i, summary] of expected.entries()) expectLike(values[`out${i}`], summary, 1e-4);
  });
});
