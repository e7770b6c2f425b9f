import { access } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { prepareFit } from "../../src/tasks/fit/prepare.node.ts";
import { temporaryFolder } from "../support.ts";

test.each(["replicas", "accumulate"])(
  "%s are refused in one line before anything is written",
  async (option) => {
    const out = join(await temporaryFolder(), "run");
    const failure = prepareFit({
      kind: "new",
      request: { model: "gan", data: "two-moons", out, [option]: 2 },
    });
    await expect(failure).rejects.toThrow(OptionError);
    await expect(failure).rejects.toThrow(
      new RegExp(`^option ${option}: the parts of this model take turns on whole batches[^\\n]*$`),
    );
    await expect(access(out)).rejects.toThrow();
  },
);
