import { describe, it } from "vitest";
import { present, temporaryFolder } from "../../support.ts";
import { expectTorchvisionsResults, importedCases } from "./support.ts";

// The detectors of torchvision's builders as they are, with ResNet-50 and 91 classes: 30 to 40 million weights.

const published = await importedCases("published.json");
const small = await importedCases("small.json");

describe("importDetector of whole networks", () => {
  it.each(Object.keys(published))(
    "gives %s as torchvision computes it, in images of three sizes",
    async (name) => {
      await expectTorchvisionsResults(await temporaryFolder(), `published ${name}`, present(published[name]));
    },
  );

  it("gives a RetinaNet of the second version as torchvision computes it", async () => {
    const name = "retina-net v2";
    await expectTorchvisionsResults(await temporaryFolder(), `small ${name}`, present(small[name]));
  });
});
