import { expect, test } from "vitest";
import { editDistance, nearest } from "../src/nearest.ts";

test("edit distances of textbook pairs", () => {
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("intention", "execution")).toBe(5);
  expect(editDistance("size", "siez")).toBe(1);
  expect(editDistance("", "abc")).toBe(3);
  expect(editDistance("flow", "flow")).toBe(0);
});

test("the nearest name, or none", () => {
  const names = ["digits", "two-moons", "eight-gaussians", "checkerboard"];
  expect(nearest("digit", names)).toBe("digits");
  expect(nearest("two_moon", names)).toBe("two-moons");
  expect(nearest("Chekerbord", names)).toBe("checkerboard");
  expect(nearest("eight", names)).toBe("eight-gaussians");
  expect(nearest("holiday-photos", names)).toBeUndefined();
  expect(nearest("", names)).toBeUndefined();
});
