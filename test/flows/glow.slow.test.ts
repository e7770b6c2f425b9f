import { it } from "vitest";
import { expectTame } from "./deep-glow.ts";

it("Glow of images of 32 steps does not explode, far from the data either, and is inverted", async () => {
  await expectTame({ kind: "image", sampleShape: [1, 4, 4] }, 32);
});
