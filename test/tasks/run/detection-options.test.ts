import { expect, test } from "vitest";
import { askedConfidence, checkConfidence, lookingBy } from "../../../src/tasks/run/detection-options.ts";
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

test("the last threshold of a cascade is its confidence, and another one beside it in a command is refused", () => {
  const thresholds = [0.6, 0.7, 0.9];
  expect(askedConfidence(undefined, undefined)).toBeUndefined();
  expect(askedConfidence(0.3, undefined)).toBe(0.3);
  expect(askedConfidence(undefined, { minimumSize: 20 })).toBeUndefined();
  expect(askedConfidence(undefined, { thresholds })).toBe(0.9);
  // A run that is open is asked anew.
  expect(askedConfidence(0.3, { thresholds })).toBe(0.3);
  checkConfidence(0.9, { thresholds });
  checkConfidence(undefined, { thresholds });
  checkConfidence(0.5, {});
  expect(() => checkConfidence(0.5, { thresholds })).toThrow(
    /^options confidence and thresholds: .* 0\.9 and 0\.5 are given for it/,
  );
});
