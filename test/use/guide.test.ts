import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fenced, ROOT } from "../../scripts/pages.ts";
import { largestDifference, present } from "../support.ts";

// Programs of docs/guide/use.md on the models of test/fixtures/export, from the built package.

const FIXTURES = fileURLToPath(new URL("../fixtures/export/", import.meta.url));

let folder = "";
beforeAll(async () => {
  await mkdir(join(ROOT, ".cache"), { recursive: true });
  // Inside the package, where Node finds eidos.
  folder = await mkdtemp(join(ROOT, ".cache", "use-"));
  for (const name of ["use-node.mjs", "use-page.ts"]) {
    const block = fenced("docs/guide/use.md").find(({ info }) => info.endsWith(`file=${name}`));
    // Node 20 knows no `using`: it is compiled, as TypeScript does it.
    await writeFile(join(folder, name), present(block, name).text);
  }
  await build({
    entryPoints: [join(folder, "use-node.mjs")],
    outfile: join(folder, "program.mjs"),
    target: "node20",
    format: "esm",
    logLevel: "error",
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function printed(...args: readonly string[]) {
  const script = join(folder, "program.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], {
    cwd: FIXTURES,
    maxBuffer: 1 << 28,
  });
  return JSON.parse(stdout);
}

describe("the guide", () => {
  it("has a program for Node that scores, draws and detects", async () => {
    const expected = JSON.parse(
      (await readFile(join(FIXTURES, "expected.json"), "utf8")).replaceAll("NaN", "null"),
    );
    const { logLikelihood } = await printed("score", "table", "rows.json");
    expect(largestDifference(logLikelihood, expected.scores)).toBeLessThan(1e-3);
    expect((await printed("sample", "table", "3")).rows).toHaveLength(3);
    const { objects } = await printed("detect", "detector", "photo.png");
    expect(objects.map(({ label }: { label: string }) => label)).toEqual(
      expected.objects.map((object: { class: string }) => object.class),
    );
  });

  it("has a program for a page that a bundler takes", async () => {
    const { outputFiles } = await build({
      entryPoints: [join(folder, "use-page.ts")],
      bundle: true,
      format: "esm",
      platform: "browser",
      external: ["onnxruntime-web"],
      write: false,
      logLevel: "error",
    });
    // The entrance for browsers: nothing of Node.
    expect(present(outputFiles[0]).text).not.toMatch(/node:fs/);
  });
});
