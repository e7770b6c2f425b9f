import { describe, it } from "vitest";
import { temporaryFolder } from "../../support.ts";
import { expectTorchvisionsResults, importedCases } from "./support.ts";

const cases = await importedCases("small.json");

describe("importDetector", () => {
  it.each(Object.keys(cases))(
    "gives %s as torchvision computes it, in images of three sizes",
    async (name) => {
      const expected = cases[name];
      if (expected === undefined) throw new Error(name);
      await expectTorchvisionsResults(await temporaryFolder(), `small ${name}`, expected);
    },
  );
});
