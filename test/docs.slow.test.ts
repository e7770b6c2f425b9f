import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fenced, PAGES, ROOT } from "../scripts/pages.ts";

// The programs of the documentation print what stands below them. Each is a process of its own, on the built package.

const built = existsSync(join(ROOT, "dist", "index.js"));
if (!built)
  console.warn("programs of the documentation skipped: dist/ is missing; npm run test:slow builds it first");

describe.skipIf(!built)("programs", () => {
  let folder: string;
  beforeAll(async () => {
    // Inside the package, so that it can import itself by name.
    await mkdir(join(ROOT, ".cache"), { recursive: true });
    folder = await mkdtemp(join(ROOT, ".cache", "docs-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Programs marked `ts run`, each with the block below it where that is what it prints. */
  const programs = PAGES.flatMap((page) => {
    const blocks = fenced(page);
    return blocks.flatMap((block, i) => {
      if (block.info !== "ts run") return [];
      const next = blocks[i + 1];
      return [{ page, number: i, text: block.text, prints: next?.info === "text" ? next.text : undefined }];
    });
  });

  it.each(programs)("$page, block $number", async ({ number, page, text, prints }) => {
    const file = join(folder, `${page.replaceAll(/\W/g, "-")}-${number}.ts`);
    await writeFile(file, text);
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import", import.meta.resolve("tsx"), file],
      { cwd: folder },
    );
    expect(prints).toBeDefined();
    expect(stdout).toBe(prints);
  });

  it("include a model that the command can fit", async () => {
    const model = fenced("docs/guide/own-model.md").find(({ info }) => info === "js file=denoiser.mjs");
    await writeFile(join(folder, "denoiser.mjs"), model?.text ?? "");
    const args = ["fit", "./denoiser.mjs", "two-moons", "--width", "32", "--steps", "60", "--count", "2000"];
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(ROOT, "dist/cli/main.js"), ...args, "--quiet", "--json"],
      { cwd: folder },
    );
    const summary: { loss: number; step: number; parameters: number } = JSON.parse(stdout);
    // Two linear layers; doing nothing but returning the noisy point would leave 0.09.
    expect(summary).toMatchObject({ step: 60, parameters: 2 * 32 + 32 + 32 * 2 + 2 });
    expect(summary.loss).toBeLessThan(0.3);
  });
});

/** Indented code, and what stands below `@example`, in the doc comments of a file. */
function examplesOf(file: string): readonly string[] {
  const comments = readFileSync(join(ROOT, file), "utf8").match(/\/\*\*.*?\*\//gs) ?? [];
  return comments.flatMap((comment) => {
    const lines = comment.split("\n").map((line) => line.replace(/^\s*\*\/?( |$)/, ""));
    const indented = lines.filter((line) => line.startsWith("    ")).join("\n");
    const [, below = ""] = lines.join("\n").split("@example\n");
    return [indented, below.split("\n@")[0] ?? ""].filter((code) => code.trim() !== "");
  });
}

/** An example in parts, where it declares the same again: it then shows another call. */
function alternatives(code: string): readonly string[] {
  const parts: string[][] = [[]];
  for (const line of code.split("\n")) {
    const [declared] = /^\s*const .*? =/.exec(line) ?? [];
    if (declared !== undefined && parts.at(-1)?.some((other) => other.startsWith(declared))) parts.push([]);
    parts.at(-1)?.push(line);
  }
  return parts.map((lines) => lines.join("\n"));
}

describe.skipIf(!built)("examples in doc comments of the front door", () => {
  const FILES = ["src/tasks/open-run.node.ts", "src/tasks/fit/fit.node.ts", "src/data/sources/memory.ts"];
  const found = FILES.flatMap(examplesOf);

  it("are there", () => {
    expect(found.length).toBeGreaterThan(8);
  });

  it("compile against the package", async () => {
    const folder = await mkdtemp(join(ROOT, ".cache", "examples-"));
    try {
      const blocks = found.flatMap(alternatives).map((code) => `async () => {\n${code}\n};`);
      const head = [
        'import { readFile } from "node:fs/promises";',
        'import { fit, images, openRun, photos, points, resumeFit, rows, type Run } from "eidos";',
        "declare const run: Run;",
        "void [readFile, fit, images, openRun, photos, points, resumeFit, rows, run];",
      ];
      const file = join(folder, "examples.ts");
      await writeFile(file, `${[...head, ...blocks].join("\n")}\n`);
      const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
      const options =
        "--noEmit --strict --skipLibCheck --module nodenext --target es2023 --lib es2023,dom,esnext.disposable --types node";
      const run = promisify(execFile)(process.execPath, [tsc, ...options.split(" "), file], { cwd: ROOT });
      const output = await run.then(
        () => "",
        (error: { readonly stdout?: string }) => error.stdout ?? String(error),
      );
      expect(output).toBe("");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
