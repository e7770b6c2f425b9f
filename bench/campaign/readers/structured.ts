import { parse, stringify } from "yaml";
import type { Random } from "../../../src/random.ts";
import { type Hostile, hostile, hostileText, pick, type Strangers } from "./hostile.ts";

// Changes that know the format of a text: one value of a document becomes another, and what is around it stays right.

/** A changed text, with a name for the change. */
export interface Changed {
  readonly name: string;
  readonly text: string;
}

const PLACE = "@@place@@";

type Holder = Record<string | number, unknown>;

/** Every place in a document: what holds it, and its key. */
function places(
  document: unknown,
): { readonly holder: Holder; readonly key: string | number; readonly path: string }[] {
  const found: { holder: Holder; key: string | number; path: string }[] = [];
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null || found.length > 2000) return;
    for (const key of Object.keys(value)) {
      found.push({ holder: value as Holder, key, path: `${path}.${key}` });
      walk((value as Holder)[key], `${path}.${key}`);
    }
  };
  walk(document, "$");
  return found;
}

/** Elements of a list that is made long: what takes the square of their number takes seconds. */
const MANY = 50_000;

/** How many times a line comes: fewer where it is long, for what is large takes its time. */
const timesOf = (line: string): number => Math.min(MANY, Math.ceil(8e6 / (line.length + 1)));

/** A text or number with a count: `name3`, or 7 as 10. */
function counted<T>(value: T, i: number): T | number | string {
  if (typeof value === "number") return value + i;
  if (typeof value !== "string") return value;
  return /^\d{1,9}$/.test(value) ? String(Number(value) + i) : `${value}${i}`;
}

/** A list of many elements, each one of its own again; all equal, or with one value that counts. */
function manyOf(list: readonly unknown[], random: Random): readonly unknown[] {
  const leaves = places(list).filter(({ holder, key }) => typeof holder[key] !== "object");
  const leaf = random.integer(4) === 0 || leaves.length === 0 ? undefined : pick(random, leaves);
  const [, at = "", ...inner] = leaf?.path.split(".") ?? [];
  const template = leaf === undefined ? list : [list[Number(at)]];
  return Array.from({ length: MANY }, (_, i) => {
    const element = template[i % template.length];
    if (leaf === undefined) return element;
    return changedAt(element, inner, (value) => counted(value, i));
  });
}

/** A value with a change of what stands under a path of keys. */
function changedAt(value: unknown, path: readonly string[], change: (value: unknown) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return change(value);
  const inner = changedAt((value as Holder)[key], rest, change);
  return Array.isArray(value) ? value.with(Number(key), inner) : { ...(value as Holder), [key]: inner };
}

/** Puts a hostile value somewhere into a document, or takes a value away. Text that is no document is left to others. */
function changeDocument(
  text: string,
  random: Random,
  strangers: Strangers,
  format: { read(text: string): unknown; write(document: unknown): string },
): Changed | undefined {
  let document: unknown;
  try {
    document = format.read(text);
  } catch {
    return undefined;
  }
  const all = places(document);
  if (all.length === 0) return undefined;
  const { holder, key, path } = pick(random, all);
  const what = random.integer(10);
  if (what === 0) {
    if (Array.isArray(holder)) holder.splice(Number(key), 1);
    else delete holder[key];
    return { name: `${path} is missing`, text: format.write(document) };
  }
  if (what === 1) {
    const other = pick(random, all);
    [holder[key], other.holder[other.key]] = [other.holder[other.key], holder[key]];
    // Of two places one may be within the other: that is a circle, which no file can hold.
    try {
      return { name: `${path} and ${other.path} change places`, text: format.write(document) };
    } catch {
      return undefined;
    }
  }
  const list = holder[key];
  if (Array.isArray(list) && list.length > 0 && random.integer(8) === 0) {
    holder[key] = manyOf(list, random);
    return { name: `${path}: its elements many times`, text: format.write(document) };
  }
  const made = hostile(random, strangers);
  if (what === 2 && !Array.isArray(holder) && "value" in made && typeof made.value === "string") {
    Object.defineProperty(holder, made.value, { value: holder[key], enumerable: true });
    return { name: `${path} under the name of ${made.name}`, text: format.write(document) };
  }
  const within = holder[key];
  if (typeof within === "string" && /^[[{]/.test(within) && random.integer(4) > 0) {
    const inner = changeJson(within, random, strangers);
    if (inner !== undefined) {
      holder[key] = inner.text;
      return { name: `within ${path}: ${inner.name}`, text: format.write(document) };
    }
  }
  return { name: `${path}: ${made.name}`, text: written(document, holder, key, made, format.write) };
}

function written(
  document: unknown,
  holder: Holder,
  key: string | number,
  made: Hostile,
  write: (document: unknown) => string,
): string {
  if ("value" in made) {
    holder[key] = made.value;
    return write(document);
  }
  holder[key] = PLACE;
  return write(document).replace(new RegExp(`"?${PLACE}"?`), () => made.raw);
}

export function changeJson(text: string, random: Random, strangers: Strangers): Changed | undefined {
  return changeDocument(text, random, strangers, { read: JSON.parse, write: JSON.stringify });
}

/** Changes one line of JSON lines. */
export function changeJsonLines(text: string, random: Random, strangers: Strangers): Changed | undefined {
  const lines = text.split("\n");
  const at = random.integer(lines.length);
  const changed = changeJson(lines[at] ?? "", random, strangers);
  if (changed === undefined) return undefined;
  lines[at] = changed.text;
  return { name: `line ${at + 1}: ${changed.name}`, text: lines.join("\n") };
}

/** What only YAML has: aliases that multiply, circles, tags, merge keys. */
const YAML_ADDITIONS: readonly (readonly [string, string])[] = [
  [
    "aliases that multiply",
    `a0: &a0 [x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array.from({ length: 9 }, () => `*a${i}`).join()}]`).join("\n")}\nnames: *a12\n`,
  ],
  ["a circle", "circle: &c [*c]\nnames: &n {0: *n}\n"],
  ["a tag of code", "names: !!js/function 'function () { return 1 }'\n"],
  ["a tag of bytes", "names: !!binary AAAA\n"],
  ["a merge key", "base: &b {train: /dev/zero}\n<<: *b\n"],
  ["a second document", "---\nnames: [b]\n"],
  ["deep nesting", `deep: ${"[".repeat(100_000)}${"]".repeat(100_000)}\n`],
  ["deep maps", `deep: ${"{a: ".repeat(5_000)}1${"}".repeat(5_000)}\n`],
  ["many keys", Array.from({ length: 20_000 }, (_, i) => `k${i}: ${i}\n`).join("")],
  ["an endless key", `? ${"x".repeat(100_000)}\n: 1\n`],
  ["a directive", "%YAML 9.9\n---\na: 1\n"],
];

export function changeYaml(text: string, random: Random, strangers: Strangers): Changed | undefined {
  if (random.integer(4) === 0) {
    const [name, addition] = pick(random, YAML_ADDITIONS);
    const kept = random.integer(2) === 0 ? text : text.replace(/^names:[\s\S]*/m, "");
    return { name, text: `${kept}\n${addition}` };
  }
  return changeDocument(text, random, strangers, {
    read: (yaml) => parse(yaml),
    // What is there many times is written as often; aliases have changes of their own.
    write: (document) => stringify(document, { aliasDuplicateObjects: false }),
  });
}

const laughs = Array.from({ length: 12 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join("");

/** What only XML has: entities and what they include, deep elements, odd characters. */
function xmlAdditions({
  table,
  picture,
}: Strangers): readonly (readonly [string, (text: string) => string])[] {
  const declared = (declaration: string, use: string) => (text: string) =>
    `<!DOCTYPE annotation [${declaration}]>${text.replace(/>([^<>\s]+)</, `>${use}<`)}`;
  return [
    ["entities that multiply", declared(`<!ENTITY l0 "ha">${laughs}`, "&l12;")],
    ["an entity of a file", declared(`<!ENTITY f SYSTEM "file://${table}">`, "&f;")],
    ["an entity of a picture", declared(`<!ENTITY f SYSTEM "${picture}">`, "&f;")],
    ["a parameter entity", declared(`<!ENTITY % p SYSTEM "file://${table}"> %p;`, "x")],
    ["a circle of entities", declared(`<!ENTITY a "&b;"><!ENTITY b "&a;">`, "&a;")],
    [
      "deep elements",
      (text) => text.replace("<object>", `${"<a>".repeat(100_000)}${"</a>".repeat(100_000)}<object>`),
    ],
    [
      "many attributes",
      (text) =>
        text.replace(
          "<object>",
          `<object ${Array.from({ length: 20_000 }, (_, i) => `a${i}="1"`).join(" ")}>`,
        ),
    ],
    ["many objects", (text) => text.replace(/<object>[\s\S]*?<\/object>/, (object) => object.repeat(20_000))],
    ["a character 0", (text) => text.replace(/>([^<>\s]+)</, ">&#0;<")],
    ["a character that is none", (text) => text.replace(/>([^<>\s]+)</, ">&#xFFFFFFFF;<")],
    ["CDATA", (text) => text.replace(/>([^<>\s]+)</, "><![CDATA[$1]]]]><![CDATA[>]]><")],
    ["another encoding", (text) => `<?xml version="1.0" encoding="UTF-16"?>${text}`],
  ];
}

export function changeXml(text: string, random: Random, strangers: Strangers): Changed | undefined {
  if (random.integer(4) === 0) {
    const [name, change] = pick(random, xmlAdditions(strangers));
    return { name, text: change(text) };
  }
  const values = [...text.matchAll(/<(\w+)>([^<>]*)<\//g)];
  if (values.length === 0) return undefined;
  const { 0: whole, 1: element = "", index = 0 } = pick(random, values);
  const made = hostileText(random, strangers);
  // Half of them as an editor would write them, half as they are.
  const escaped =
    random.integer(2) === 0 ? made.text : made.text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const changed = random.integer(8) === 0 ? "" : `<${element}>${escaped}</`;
  return {
    name: changed === "" ? `<${element}> is missing` : `<${element}>: ${made.name}`,
    text: text.slice(0, index) + changed + text.slice(index + whole.length),
  };
}

/** Changes a cell, a row or the first line of a table. */
export function changeCsv(text: string, random: Random, strangers: Strangers): Changed | undefined {
  const separator = text.includes("\t") ? "\t" : ",";
  const rows = text.split("\n").map((line) => line.split(separator));
  const row = pick(random, rows);
  const at = random.integer(row.length);
  const line = rows.indexOf(row) + 1;
  const done = (name: string): Changed => ({
    name: `line ${line}, cell ${at + 1}: ${name}`,
    text: rows.map((cells) => cells.join(separator)).join("\n"),
  });
  if (random.integer(24) === 0) {
    const many = Array.from({ length: timesOf(row.join()) }, (_, i) =>
      row.map((cell, k) => (k === at ? String(counted(cell, i)) : cell)),
    );
    rows.splice(line - 1, 1, ...many);
    return done("a row many times");
  }
  switch (random.integer(12)) {
    case 0:
      row.splice(at, 1);
      return done("missing");
    case 1:
      row.splice(at, 0, row[at] ?? "");
      return done("twice");
    case 2:
      row[at] = `"${row[at]}`;
      return done("an open quote");
    case 3:
      row[at] = `"${row[at]}\n${row[at]}"`;
      return done("a line break");
    case 4:
      for (const cells of rows) cells.splice(at, 1);
      return done("no such column");
    case 5:
      for (const cells of rows.slice(1)) cells[at] = cells[at] === "" ? "1" : (rows[1]?.[at] ?? "");
      return done("a column of one value");
    case 6:
      if (random.integer(4) > 0) row[at] = (rows[0] ?? [])[at] ?? "";
      else rows[0] = Array.from({ length: 1_000 }, (_, i) => `c${i}`);
      return done("names");
    default: {
      const made = hostileText(random, strangers);
      row[at] = random.integer(2) === 0 ? made.text : `"${made.text.replaceAll('"', '""')}"`;
      return done(made.name);
    }
  }
}

/** Changes a word of a file of words in lines. */
export function changeLines(text: string, random: Random, strangers: Strangers): Changed | undefined {
  const words = [...text.matchAll(/\S+/g)];
  if (words.length === 0) return undefined;
  const { 0: word, index = 0 } = pick(random, words);
  const line = text.slice(0, index).split("\n").length;
  if (random.integer(24) === 0) {
    const lines = text.split("\n");
    const own = lines[line - 1] ?? "";
    const counts = random.integer(2) === 0;
    const many = Array.from({ length: timesOf(own) }, (_, i) =>
      counts ? own.replace(word, () => String(counted(word, i))) : own,
    );
    lines.splice(line - 1, 1, many.join("\n"));
    return { name: `line ${line}: many times`, text: lines.join("\n") };
  }
  const made = hostileText(random, strangers);
  return {
    name: `line ${line}: ${made.name}`,
    text: text.slice(0, index) + made.text + text.slice(index + word.length),
  };
}
