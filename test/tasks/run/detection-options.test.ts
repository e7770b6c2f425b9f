import { expect, test } from "vitest";
import { lookingBy } from "../../../src/tasks/run/detection-options.ts";
import type { RunConfig } from "../../../src/train/run-config.ts";

const fitted = (modelOptions: Readonly<Record<string, unknown>>): RunConfig =>
  ({ model: "fcos", modelOptions }) as unknown as RunConfig;

test("a run in branches looks by all or by the middle one, unless each branch has learnt other sizes", () => {
  const full = fitted({ trident: "full" });
  expect(lookingBy(full, undefined)).toBe(full);
  expect(lookingBy(full, "fast").modelOptions).toEqual({ trident: "fast" });
  const ranged = fitted({ trident: "full", tridentRanges: [0, 20, 10, 40, 30, 1000] });
  expect(lookingBy(ranged, "full").modelOptions).toEqual(ranged.modelOptions);
  expect(() => lookingBy(ranged, "fast")).toThrow(/option trident: this run was fitted with ranges of sizes/);
  expect(() => lookingBy(fitted({ trident: "off" }), "full")).toThrow(/fitted without branches/);
});
