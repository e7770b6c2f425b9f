import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { addSchemaOptions, flagValues } from "../../src/cli/options.ts";

const schema = z.strictObject({
  given: z.array(z.string()).default([]).describe("columns"),
  levels: z.array(z.int()).optional().describe("numbers"),
});

function parsed(...words: readonly string[]): Record<string, unknown> {
  const command = new Command("test").exitOverride();
  addSchemaOptions(command, "Options", schema);
  command.parse([...words], { from: "user" });
  return flagValues(command.opts(), [schema]);
}

describe("lists in flags", () => {
  it("stand in one flag, or in several of the same name", () => {
    expect(parsed("--given", "a,b")).toEqual({ given: ["a", "b"] });
    expect(parsed("--given", "a", "--given", "b,c")).toEqual({ given: ["a", "b", "c"] });
    expect(parsed("--levels", "1", "--levels", "2")).toEqual({ levels: [1, 2] });
    expect(parsed("--given", "")).toEqual({ given: [] });
  });
});
