import { describe, expect, it } from "vitest";
import { detectorNamed, foundRectangles, overfitted, rectangles } from "./support.ts";

const SIDE = 64;

describe("training of a face detector", () => {
  it.each([
    ["yunet", { channels: [8, 16, 16, 32, 32, 32] }, 0.9],
    ["ultra-light-rfb", { channels: 8 }, 0.9],
  ])("%s on two images ends with their objects found", async (name, options, least) => {
    const detector = detectorNamed(name, options, [3, SIDE, SIDE]);
    const batch = rectangles(2, SIDE, 4, 4);
    const weights = await overfitted(detector, batch, { steps: 300, learningRate: 5e-3 });
    const { ap50, ap75 } = await foundRectangles(detector, batch, weights);
    expect(ap50).toBeGreaterThan(0.95);
    expect(ap75).toBeGreaterThan(least);
  });
});
