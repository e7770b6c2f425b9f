import { describe, it } from "vitest";
import { expectConditional, processes } from "./conditionals.ts";

describe("repaint", () => {
  it.each(Object.entries(processes))("recovers conditional distributions on the %s process", (_, process) =>
    expectConditional(process),
  );
});
