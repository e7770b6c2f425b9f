import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

// The pages of the documentation, for the tables of options and for the tests.

const root = new URL("../", import.meta.url);

/** Path of the checkout. */
export const ROOT = fileURLToPath(root);

/** Paths of all pages from the checkout: the files beside the code, then those of docs/ in the order of their names. */
export const PAGES: readonly string[] = [
  "README.md",
  "CONTRIBUTING.md",
  "examples/README.md",
  "bench/README.md",
  ...readdirSync(new URL("docs/", root), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name.replaceAll("\\", "/")}`)
    .sort(),
];

/** The text of every page. */
export const TEXTS: ReadonlyMap<string, string> = new Map(
  PAGES.map((page) => [page, readFileSync(new URL(page, root), "utf8")]),
);

/** The text of a page. @throws Error where there is no such page */
export function textOf(page: string): string {
  const text = TEXTS.get(page);
  if (text === undefined) throw new Error(`there is no page ${page}`);
  return text;
}

/** A fenced block of code. */
export interface Block {
  readonly page: string;
  /** What stands behind the opening fence. */
  readonly info: string;
  readonly text: string;
}

/** Fenced blocks of code of a page, in order. */
export function fenced(page: string): readonly Block[] {
  const found = textOf(page).matchAll(/^```([^\n]*)\n(.*?)^```$/gms);
  return [...found].map(([, info = "", text = ""]) => ({ page, info, text }));
}
