import { describe, expect, it } from "vitest";
import { progressBar } from "../../src/cli/progress.ts";

describe("a bar of progress", () => {
  it("is empty at the beginning, full at the end alone, and always as long", () => {
    const bars = [0, 0.5, 0.999, 1].map((share) => progressBar("drawing samples", share));
    expect(bars[0]).toBe(`drawing samples  ${"░".repeat(24)}    0 %`);
    expect(bars[1]).toBe(`drawing samples  ${"█".repeat(12)}${"░".repeat(12)}   50 %`);
    expect(bars[2]).toContain("░");
    expect(bars[2]).toContain("99 %");
    expect(bars[3]).toBe(`drawing samples  ${"█".repeat(24)}  100 %`);
    expect(new Set(bars.map((bar) => bar.length)).size).toBe(1);
  });
});
