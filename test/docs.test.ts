import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import packageJson from "../package.json" with { type: "json" };
import { TABLE_PAGES, withTables } from "../scripts/option-tables.ts";
import { fenced, PAGES, ROOT, TEXTS, textOf } from "../scripts/pages.ts";
import { models } from "../src/catalog.ts";
import { dataCatalog } from "../src/data/catalog.ts";

// What the documentation says is true: links lead somewhere, commands have the options that are shown, tables of
// options are those of the schemas. What the programs print is checked in docs.slow.test.ts.

/** Fenced and indented lines of code: where commands stand. */
function codeLines(page: string): readonly string[] {
  const indented =
    textOf(page)
      .replaceAll(/^```.*?^```$/gms, "")
      .match(/^ {4}\S.*$/gm) ?? [];
  return [...fenced(page).flatMap(({ text }) => text.split("\n")), ...indented].map((line) => line.trim());
}

/** The name that GitHub gives to a heading. */
function anchorOf(heading: string): string {
  const plain = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "");
  return plain.trim().replaceAll(/\s/g, "-");
}

describe("links", () => {
  it.each(PAGES)("of %s lead to something", (page) => {
    const prose = textOf(page)
      .replaceAll(/^```.*?^```$/gms, "")
      .replaceAll(/`[^`\n]*`/g, "``");
    const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
    for (const target of targets.filter((link) => !/^[a-z]+:/.test(link))) {
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(ROOT, file)), `${page} links to ${target}`).toBe(true);
      if (anchor !== undefined) {
        const headings = [...(TEXTS.get(file) ?? "").matchAll(/^#+ (.*)$/gm)].map((match) => match[1] ?? "");
        expect(headings.map(anchorOf), `${page} links to ${target}`).toContain(anchor);
      }
    }
  });
});

const PAIR_COMMANDS = new Set(["reflow", "distill"]);

const describedFlags = new Map<string, Promise<readonly string[]>>();

/** The flags of a command, with those of a model for `fit`. */
function flagsOf(command: string, args: readonly string[]): Promise<readonly string[]> {
  const key = [command, ...args].join(" ");
  const flags = describedFlags.get(key) ?? describeFlags(command, args);
  describedFlags.set(key, flags);
  return flags;
}

async function describeFlags(command: string, args: readonly string[]): Promise<readonly string[]> {
  // Two commands share a file.
  const { configure } = PAIR_COMMANDS.has(command)
    ? (await import("../src/cli/commands/pairs.ts"))[command as "reflow" | "distill"]
    : await import(`../src/cli/commands/${command}.ts`);
  const described = new Command(command);
  await configure(described, args);
  return [...described.options.map(({ long }) => long ?? ""), "--help"];
}

describe("commands", () => {
  const commands = PAGES.flatMap((page) =>
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

describe("programs", () => {
  /** The file of each entrance of the package. */
  const entrances = new Map(
    Object.entries(packageJson.exports).flatMap(([name, target]) =>
      typeof target === "string"
        ? []
        : [
            [
              name.replace(/^\./, "eidos"),
              target.default.replace("./dist/", "../src/").replace(/\.js$/, ".ts"),
            ],
          ],
    ),
  );
  const imports = PAGES.flatMap((page) =>
    fenced(page)
      .filter(({ info }) => /^(ts|js)\b/.test(info))
      .flatMap(({ text }) => [...text.matchAll(/^import \{([^}]*)\} from "(eidos[^"]*)"/gms)])
      .map(([, names = "", entrance = ""]) => ({
        page,
        entrance,
        names: names.split(",").map((n) => n.trim()),
      })),
  );

  it.each(imports)("$page imports from $entrance what is there", async ({ entrance, names }) => {
    const file = entrances.get(entrance);
    expect(file, `there is no entrance ${entrance}`).toBeDefined();
    const values = Object.keys(await import(/* @vite-ignore */ String(file)));
    // Types leave no trace at run time.
    const wanted = names.filter((name) => name !== "" && !name.startsWith("type "));
    expect(values).toEqual(expect.arrayContaining(wanted.map((name) => name.replace(/ as .*/, ""))));
  });
});

describe("files of the checkout", () => {
  it.each(PAGES)("that %s names are there", (page) => {
    const files = [...textOf(page).matchAll(/`((?:src|test|bench|scripts|examples)\/[\w./-]+)`/g)].map(
      ([, path = ""]) => path,
    );
    expect(files.filter((path) => !/NAME|ROOM|…/.test(path) && !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

describe("the architecture", () => {
  const page = "docs/architecture.md";
  /** Files that a step names by what is in them. */
  const STEP_FILES = ["src/train/trainer.ts", "src/train/step.ts", "src/tasks/fit/worker.node.ts"];
  const section = /^## The path of a batch\n(.*?)^## /ms.exec(textOf(page))?.[1] ?? "";
  const steps = section
    .split(/^(?=\d+\. |With )/m)
    .slice(1)
    .map((text) => text.replaceAll(/\s+/g, " "));

  it.each(steps)("is followed by the code: %s", (text) => {
    const code = [...text.matchAll(/`(src\/[\w./-]+\.ts)`/g)].map(([, path = ""]) =>
      readFileSync(join(ROOT, path), "utf8"),
    );
    const names = [...text.matchAll(/`(?:[A-Z]\w+\.)?([a-zA-Z]+)`/g)].map(([, name = ""]) => name);
    const known = [...code, ...STEP_FILES.map((path) => readFileSync(join(ROOT, path), "utf8"))].join("\n");
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(known))).toEqual([]);
  });
});

describe("tables of options", () => {
  it.each(TABLE_PAGES)("in %s are those of the schemas", (page) => {
    const text = textOf(page);
    expect(text, "make them anew: npx tsx scripts/option-tables.ts").toBe(withTables(text));
  });

  /** Models that have a page together. */
  const SHARED = new Map([
    ["barlow-twins", "vicreg"],
    ["yunet", "face-detectors"],
    ["ultra-light-rfb", "face-detectors"],
  ]);

  it.each([...models.keys()])(
    "%s has a page of its name, or one that it shares, with its options",
    (name) => {
      const file = `${SHARED.get(name) ?? name}.md`;
      const page = PAGES.find((path) => path.startsWith("docs/") && basename(path) === file);
      expect(textOf(page ?? `docs/…/${file}`)).toContain(`<!-- options: ${name} -->`);
    },
  );
});
