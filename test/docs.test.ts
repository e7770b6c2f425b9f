import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PAGES, withTables } from "../scripts/option-tables.ts";
import { models } from "../src/catalog.ts";
import { dataCatalog } from "../src/data/catalog.ts";

// What the documentation says is true: links lead somewhere, commands have the options that are shown, tables of
// options are those of the schemas, and the programs print what stands below them.

const root = fileURLToPath(new URL("..", import.meta.url));
const docs = (await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md"));
const pages = ["README.md", "CONTRIBUTING.md", "examples/README.md", ...docs.map((name) => `docs/${name}`)];
const texts = new Map<string, string>();
for (const page of pages) texts.set(page, await readFile(join(root, page), "utf8"));

interface Block {
  readonly page: string;
  /** What stands behind the opening fence; empty for an indented block. */
  readonly info: string;
  readonly text: string;
}

/** Fenced blocks of code, in order. */
function fenced(page: string): readonly Block[] {
  const found = (texts.get(page) ?? "").matchAll(/^```([^\n]*)\n(.*?)^```$/gms);
  return [...found].map(([, info = "", text = ""]) => ({ page, info, text }));
}

/** Fenced and indented lines of code: where commands stand. */
function codeLines(page: string): readonly string[] {
  const indented = (texts.get(page) ?? "").replaceAll(/^```.*?^```$/gms, "").match(/^ {4}\S.*$/gm) ?? [];
  return [...fenced(page).flatMap(({ text }) => text.split("\n")), ...indented].map((line) => line.trim());
}

/** The name that GitHub gives to a heading. */
function anchorOf(heading: string): string {
  const plain = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "");
  return plain.trim().replaceAll(/\s/g, "-");
}

describe("links", () => {
  it.each(pages)("of %s lead to something", (page) => {
    const prose = (texts.get(page) ?? "").replaceAll(/^```.*?^```$/gms, "").replaceAll(/`[^`\n]*`/g, "``");
    const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
    for (const target of targets.filter((link) => !/^[a-z]+:/.test(link))) {
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(root, file)), `${page} links to ${target}`).toBe(true);
      if (anchor !== undefined) {
        const headings = [...(texts.get(file) ?? "").matchAll(/^#+ (.*)$/gm)].map((match) => match[1] ?? "");
        expect(headings.map(anchorOf), `${page} links to ${target}`).toContain(anchor);
      }
    }
  });
});

const describedFlags = new Map<string, Promise<readonly string[]>>();

/** The flags of a command, with those of a model for `fit`. */
function flagsOf(command: string, args: readonly string[]): Promise<readonly string[]> {
  const key = [command, ...args].join(" ");
  const flags = describedFlags.get(key) ?? describeFlags(command, args);
  describedFlags.set(key, flags);
  return flags;
}

async function describeFlags(command: string, args: readonly string[]): Promise<readonly string[]> {
  const { configure } = await import(`../src/cli/commands/${command}.ts`);
  const described = new Command(command);
  await configure(described, args);
  return [...described.options.map(({ long }) => long ?? ""), "--help"];
}

describe("commands", () => {
  const commands = pages.flatMap((page) =>
    codeLines(page)
      .filter((line) => /^(npx )?eidos [a-z]/.test(line))
      .map((line) => ({ page, line })),
  );

  it("are shown at all", () => {
    expect(commands.length).toBeGreaterThan(30);
  });

  it.each(commands)("$page: $line", async ({ line }) => {
    const words = (line.replace(/\s#.*$/, "").match(/"[^"]*"|\S+/g) ?? []).filter((word) => word !== "npx");
    const [, command = "", ...args] = words;
    const names = args.filter((word) => models.has(word));
    const known = await flagsOf(command, names);
    for (const flag of args.filter((word) => word.startsWith("--"))) expect(known).toContain(flag);
    // Positional names are models and data that exist, unless they are paths, queries or placeholders.
    if (command !== "fit" || args[0]?.startsWith("--")) return;
    const [model = "", data = ""] = args;
    const free = /[./"]|^[A-Z]+$/;
    if (!free.test(model)) expect([...models.keys()]).toContain(model);
    const folders = ["photos", "./my-boxes"];
    if (!free.test(data) && !folders.includes(data))
      expect(dataCatalog.map(({ name }) => name)).toContain(data);
  });
});

describe("tables of options", () => {
  it.each(PAGES.map((page) => fileURLToPath(page)))("in %s are those of the schemas", async (page) => {
    const text = await readFile(page, "utf8");
    expect(text).toContain("<!-- options: ");
    expect(text, "make them anew: npx tsx scripts/option-tables.ts").toBe(withTables(text));
  });

  it.each([...models.keys()])("%s has a page with its options", (name) => {
    expect(texts.get(`docs/${name}.md`)).toContain(`<!-- options: ${name} -->`);
  });
});

const built = existsSync(join(root, "dist", "index.js"));
if (!built) console.warn("programs of the documentation skipped: dist/ is missing; npm test builds it first");

describe.skipIf(!built)("programs", () => {
  let folder: string;
  beforeAll(async () => {
    // Inside the package, so that it can import itself by name.
    await mkdir(join(root, ".cache"), { recursive: true });
    folder = await mkdtemp(join(root, ".cache", "docs-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Programs marked `ts run`, each with the block below it where that is what it prints. */
  const programs = pages.flatMap((page) => {
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
    const model = fenced("docs/own-model.md").find(({ info }) => info === "js file=denoiser.mjs");
    await writeFile(join(folder, "denoiser.mjs"), model?.text ?? "");
    const args = ["fit", "./denoiser.mjs", "two-moons", "--width", "32", "--steps", "60", "--count", "2000"];
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(root, "dist/cli/main.js"), ...args, "--quiet", "--json"],
      { cwd: folder },
    );
    const summary: { loss: number; step: number; parameters: number } = JSON.parse(stdout);
    // Two linear layers; doing nothing but returning the noisy point would leave 0.09.
    expect(summary).toMatchObject({ step: 60, parameters: 2 * 32 + 32 + 32 * 2 + 2 });
    expect(summary.loss).toBeLessThan(0.3);
  });
});
