import { expect, test } from "vitest";
import { temporaryFolder } from "../support.ts";
import { refused } from "./support.ts";

// Runs that are killed and resumed: resume.slow.test.ts. What is refused of the options: test/tasks/fit/prepare.test.ts.

test("resuming takes model and data from the run", async () => {
  const cwd = await temporaryFolder();
  expect(await refused(["fit", "nice", "--resume", "whole"], cwd)).toMatch(/leave nice out/);
  expect(await refused(["fit", "--resume", "whole", "--out", "x"], cwd)).toMatch(/leave out out/);
  expect(await refused(["fit", "--resume", "nowhere"], cwd)).toMatch(/nowhere holds no run/);
});
