import type { Random } from "../../../src/random.ts";

// Values that a stranger may put where a number, a name or a path belongs.

/** What lies beside the inputs and is none of their business. */
export interface Strangers {
  /** A folder whose files no input may show. */
  readonly private: string;
  /** A picture of one color, and a table with a column of one name, both in it. */
  readonly picture: string;
  readonly table: string;
  /** A folder into which no input may write. */
  readonly watched: string;
}

/** A value as JSON has it, or a text that is put into the file as it is. */
export type Hostile = { readonly name: string } & ({ readonly value: unknown } | { readonly raw: string });

const NUMBERS = [
  0,
  -1,
  1,
  2,
  0.5,
  -0.5,
  255,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e8,
  1e12,
  1e308,
  -1e308,
  1e-320,
] as const;

const RAW_NUMBERS = ["1e999", "-1e999", "-0", "NaN", "Infinity", "9007199254740993", "0x10", "1_000", "00"];

const WORDS = [
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "then",
  "length",
  "valueOf",
] as const;

const TEXTS = [
  "",
  " ",
  "\u0000",
  "a\u0000b",
  "\u001b[31mred\u001b[0m",
  "\ud800",
  "\u202e",
  "=1+1",
  "a\nb",
  "*",
  "**/*",
  "[a-z]",
  "?",
  ".",
  "..",
  "/",
  "~",
  "NaN",
  "null",
  "x".repeat(5000),
] as const;

/** Queries that write, read elsewhere or never end. */
function queries({ watched, table }: Strangers): readonly string[] {
  return [
    `select 1 as a) ; copy (select 1 as a) to '${watched}/query.csv'; --`,
    `select 1 as a; copy (select 1 as a) to '${watched}/query.csv'`,
    `select * from read_csv('${table}')`,
    `from '${table}'`,
    `select content as a from read_text('${table}')`,
    `with recursive t(a) as (select 1 union all select a + 1 from t) select a from t limit 100000000000`,
    `select getenv('HOME') as a`,
    `attach '${watched}/x.db'`,
    `select * from read_csv('/dev/zero')`,
  ];
}

/** Paths that lead away, or to what is no regular file. */
export function paths({ picture, table, watched }: Strangers): readonly string[] {
  return [
    "../../../private/secret.png",
    "../../../private/secret.csv",
    "../../../private",
    picture,
    table,
    `file://${picture}`,
    "/etc/passwd",
    "/dev/zero",
    "/dev/null",
    "/dev/urandom",
    "/proc/self/environ",
    "/",
    `${watched}/new`,
    "./evil.mjs",
    "evil.mjs",
    "data:text/javascript,globalThis.acted=1",
  ];
}

/** One of a list. @throws RangeError where it is empty */
export function pick<T>(random: Random, list: readonly T[]): T {
  if (list.length === 0) throw new RangeError("nothing to pick from");
  return list[random.integer(list.length)] as T;
}

/** One hostile value. Deep and long ones are rarer, since they take most of the time. */
export function hostile(random: Random, strangers: Strangers): Hostile {
  switch (random.integer(16)) {
    case 0:
      return { name: "null", value: null };
    case 1:
      return { name: "another type", value: pick<unknown>(random, [true, {}, [], [[]], "text", 7]) };
    case 2:
    case 3:
    case 4:
      return { name: "a number", value: pick<number>(random, NUMBERS) };
    case 5:
      return { name: "a raw number", raw: pick(random, RAW_NUMBERS) };
    case 6:
    case 7:
      return { name: "a path", value: pick(random, paths(strangers)) };
    case 8:
      return { name: "a query", value: pick(random, queries(strangers)) };
    case 9:
      return { name: "a word of the language", value: pick<string>(random, WORDS) };
    case 10:
    case 11:
      return { name: "a text", value: pick<string>(random, TEXTS) };
    case 12: {
      const key = pick<string>(random, WORDS);
      return { name: `the key ${key}`, raw: `{"${key}": {"polluted": 1, "length": 1}}` };
    }
    case 13:
      return random.integer(4) > 0
        ? { name: "a number", value: pick<number>(random, NUMBERS) }
        : { name: "deep nesting", raw: `${"[".repeat(100_000)}${"]".repeat(100_000)}` };
    case 14:
      return random.integer(4) > 0
        ? { name: "a text", value: pick<string>(random, TEXTS) }
        : { name: "a long text", value: "x".repeat(1_000_000) };
    default:
      return random.integer(12) > 0
        ? { name: "many numbers", value: Array.from({ length: 300 }, (_, i) => i) }
        : { name: "many more numbers", value: Array.from({ length: 300_000 }, () => 1) };
  }
}

/** A hostile value as a text without quotes, for formats whose values are plain. */
export function hostileText(
  random: Random,
  strangers: Strangers,
): { readonly name: string; readonly text: string } {
  const made = hostile(random, strangers);
  if ("raw" in made) return { name: made.name, text: made.raw };
  const { value } = made;
  if (Array.isArray(value)) return { name: made.name, text: value.join(" ") };
  return { name: made.name, text: typeof value === "string" ? value : JSON.stringify(value) };
}
