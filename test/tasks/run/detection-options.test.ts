import { expect, it } from "vitest";
import { lookingBy } from "../../../src/tasks/run/detection-options.ts";
import type { RunConfig } from "../../../src/train/run-config.ts";

it("the middle branch does not look for objects that it has not learnt", () => {
  const run = (modelOptions: RunConfig["modelOptions"]) => ({ model: "fcos", modelOptions }) as RunConfig;
  const ranged = run({ trident: "full", tridentRanges: [0, 20, 10, 40, 20, 1000] });
  expect(() => lookingBy(ranged, "fast")).toThrow(/^option trident: each branch of this run/);
  expect(lookingBy(ranged, "full")).toEqual(ranged);
  expect(lookingBy(run({ trident: "full" }), "fast").modelOptions).toEqual({ trident: "fast" });
  expect(() => lookingBy(run({}), "fast")).toThrow(/was fitted without branches/);
});
