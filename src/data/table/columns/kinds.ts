import { dateNumber } from "./dates.ts";
import type { ColumnDeclaration } from "./declare.ts";
import type { ColumnKind, ColumnOf, LeftOutKind, TableColumn } from "./schema.ts";
import { type ColumnTally, dateForm, type OddCell } from "./tally.ts";
import { TRUTHS } from "./truths.ts";

// From what was counted of a column's cells to its kind, with the reason.

/** What is known of a column beside its cells. */
export interface ColumnFacts {
  readonly name: string;
  /** How many different texts it holds. */
  readonly distinct: number;
  /** SQL's type; VARCHAR for what is read from text. */
  readonly type: string;
  /** Whether the file has no name for it. */
  readonly unnamed: boolean;
  /** Whether it was asked for by name: it is then left out only where no model can take it. */
  readonly asked: boolean;
  /** Whether it was declared to hold categories. */
  readonly categorical: boolean;
  /** Levels seen fewer times than this count as one. */
  readonly pool: number | undefined;
  /** Into how many levels texts of many values are hashed. */
  readonly hash: number | undefined;
  /** What messages call a row. */
  readonly rowName: (row: number) => string;
}

/** A column's kind, or what is wrong with its cells. */
export interface Finding {
  readonly column: TableColumn;
  readonly problems: readonly string[];
}

/** The most levels that texts may have to be categories by themselves, and the most that they have whatever the number of rows. */
const MOST_LEVELS = 256;
const FEW_LEVELS = 20;

/** Names of columns that number the rows. */
const NUMBERING =
  /^(id|ids|index|idx|row|rows|row[ _.]?(id|nr|no|number|names?)|rownames|nr|no|number|key|uuid|guid|unnamed:?.*|.*[_ .-]id|.*[a-z]I[Dd]|id[_ .-].*)$/i;

/** Share of numbers at which a column is one of numbers, and its texts are faults. */
const MOSTLY_NUMBERS = 0.9;

/** The share of dates of one form from which on a column's other cells are faults, as of numbers. */
const MOSTLY_DATES = 0.9;

/** Least dates for whole numbers such as 20071231 to be dates. */
const LEAST_DATES = 3;

const quoted = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

const count = (number: number): string => number.toLocaleString("en-US");

/** Texts of a column in the order of levels: by size where all are numbers, else by code point. */
export function inOrder(texts: Iterable<string>): string[] {
  const all = [...texts];
  if (all.every((text) => text.trim() !== "" && !Number.isNaN(Number(text)))) {
    return all.sort((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1));
  }
  return all.sort((a, b) => (a < b ? -1 : 1));
}

/** A text's place among so many levels: a hash (FNV-1a) of its UTF-16 units. */
export function hashOf(text: string, size: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash % size;
}

/** Odd cells as messages list them. */
function places(odd: readonly OddCell[], all: number, { rowName }: ColumnFacts): string {
  const shown = odd.map(({ row, text }) => `${rowName(row)} (${quoted(text)})`).join(", ");
  return all > odd.length ? `${shown} and ${all - odd.length} more rows` : shown;
}

/** The kind of a column by its cells. */
export function findKind(tally: ColumnTally, facts: ColumnFacts): Finding {
  const found = (column: TableColumn, ...problems: string[]): Finding => ({ column, problems });
  const { cells, texts, numbers } = tally;
  const { distinct, type } = facts;
  const [only] = texts.keys();
  if (facts.categorical) return found(categoryColumn(tally, facts, "declared as categorical"));
  if (cells === 0) return found(leftOut("constant", tally, facts, "every cell is missing: left out"));
  if (/^(STRUCT|MAP|UNION|BLOB|INTERVAL)|\[\]$/.test(type)) {
    return found(
      leftOut("text", tally, facts, `of type ${type.slice(0, 40)}, which no model learns: left out`),
    );
  }
  if (distinct === 1 && !facts.asked) {
    const why =
      tally.gaps === 0
        ? `always ${quoted(only ?? "")}: left out`
        : `${quoted(only ?? "")} or missing: left out; declare it as a category to learn its gaps`;
    return found(leftOut("constant", tally, facts, why));
  }
  const counting =
    tally.counts && tally.gaps === 0 && (tally.minimum === 0 || tally.minimum === 1) && cells > 2;
  if (facts.unnamed && counting && !facts.asked) {
    return found(leftOut("index", tally, facts, "without a name, and counts the rows: left out"));
  }
  if (distinct === 2) {
    const boolean = booleanColumn(tally, facts);
    if (boolean !== undefined) return found(boolean);
  }
  const isCode = tally.leadingZeros > 0 && tally.lengths.size === 1 && tally.whole === cells;
  const dates = tally.dateForms[0];
  if (dates !== undefined && distinct > 1 && (numbers < cells || distinct >= LEAST_DATES)) {
    const date = dateColumn(tally, facts, numbers < cells);
    if (date !== undefined) return found(date);
  }
  const isNearlyDates =
    tally.otherThanDates > 0 &&
    tally.nearlyForms.length > 0 &&
    cells >= LEAST_DATES &&
    numbers < MOSTLY_NUMBERS * cells &&
    cells - tally.otherThanDates >= MOSTLY_DATES * cells;
  if (isNearlyDates) {
    const date = dateColumn(tally, facts, true);
    const odd = places(tally.notDates, tally.otherThanDates, facts);
    const form = tally.nearlyForms[0]?.form ?? "";
    if (date !== undefined) return found(date, `no date (${form}) in column "${facts.name}": ${odd}`);
  }
  if (numbers > 0 && numbers + tally.infinite >= MOSTLY_NUMBERS * cells && !isCode)
    return numberKind(tally, facts);
  return found(textKind(tally, facts, isCode ? "codes with leading zeros" : "texts"));
}

/** Numbers: real, whole or identifiers. */
function numberKind(tally: ColumnTally, facts: ColumnFacts): Finding {
  const { cells, numbers, whole } = tally;
  const bad = cells - numbers;
  const problems =
    bad === 0 ? [] : [`no number in column "${facts.name}": ${places(tally.notNumbers, bad, facts)}`];
  const isWhole = whole === numbers;
  if (isWhole && tally.tooLong > 0 && !facts.asked) {
    return {
      column: leftOut(
        "identifier",
        tally,
        facts,
        "whole numbers of more digits than a number holds exactly: left out",
      ),
      problems,
    };
  }
  const isNumbering =
    isWhole && bad === 0 && facts.distinct === cells && cells > FEW_LEVELS && NUMBERING.test(facts.name);
  if (isNumbering && !facts.asked) {
    const why = tally.counts
      ? "counts the rows: left out"
      : "another whole number in every row, under the name of a key: left out";
    return { column: leftOut("identifier", tally, facts, why), problems };
  }
  return { column: isWhole ? wholeColumn(tally, facts) : realColumn(tally, facts), problems };
}

/** Texts: categories, identifiers, or texts of many values. */
function textKind(tally: ColumnTally, facts: ColumnFacts, what: string): TableColumn {
  const { cells, texts } = tally;
  const { distinct } = facts;
  const few = distinct <= FEW_LEVELS || (distinct <= MOST_LEVELS && 5 * distinct <= cells);
  const isKey = distinct === cells && cells > FEW_LEVELS;
  if (few && !tally.overflow && !isKey) return categoryColumn(tally, facts, "");
  if (facts.hash !== undefined) return hashedColumn(tally, facts, facts.hash);
  if (isKey && tally.spaces === 0) {
    return leftOut("identifier", tally, facts, `${what}, another one in every row: left out`);
  }
  const example = quoted([...texts.keys()][0] ?? "");
  const why = `${what} of ${count(distinct)} different values, as ${example}: left out; --categorical keeps them as categories, --hash-text counts them into a few`;
  return leftOut("text", tally, facts, why);
}

const common = ({ gaps }: ColumnTally, { name, distinct }: ColumnFacts, why: string) => ({
  name,
  why,
  gaps,
  distinct,
});

function leftOut(kind: LeftOutKind, tally: ColumnTally, facts: ColumnFacts, why: string): TableColumn {
  const [example] = tally.texts.keys();
  return {
    kind,
    ...common(tally, facts, why),
    ...(example !== undefined && { example: example.slice(0, 200) }),
  };
}

function realColumn(tally: ColumnTally, facts: ColumnFacts): ColumnOf<"real"> {
  const { minimum, maximum, decimals } = tally;
  return {
    kind: "real",
    ...common(tally, facts, ""),
    minimum,
    maximum,
    ...(decimals !== undefined && gridOf(tally, facts, decimals)),
    scale: "standard",
  };
}

/** Bits of chance against a step that is larger than the last digit: that so many different values are all multiples of it. */
const LEAST_CHANCE = 19;

/** A step that is no chance: 2 takes twenty different values, 5 ten. Otherwise 1. */
export const surely = (step: number, distinct: number): number =>
  step > 1 && (distinct - 1) * Math.log2(step) >= LEAST_CHANCE ? step : 1;

/** The step of all numbers, and where steps begin. */
function gridOf(
  tally: ColumnTally,
  { distinct }: ColumnFacts,
  decimals: number,
): { readonly resolution: number; readonly offset?: number } {
  const step = surely(tally.step, distinct);
  const offset = tally.offset(step);
  return {
    resolution: Number(`${step}e${-decimals}`),
    ...(offset !== 0 && { offset: Number(`${offset}e${-decimals}`) }),
  };
}

function wholeColumn(tally: ColumnTally, facts: ColumnFacts): ColumnOf<"whole"> {
  const { minimum, maximum } = tally;
  // Numbers such as 5.0 are whole; their decimals are zeros.
  const grid = gridOf(tally, facts, 0);
  return { kind: "whole", ...common(tally, facts, ""), minimum, maximum, ...grid, scale: "standard" };
}

/** Range and step of its dates follow in `find.node.ts`, from all of its cells. */
function dateColumn(tally: ColumnTally, facts: ColumnFacts, isText: boolean): ColumnOf<"date"> | undefined {
  const [likely] = tally.nearlyForms;
  if (likely === undefined) return undefined;
  const first = [...tally.texts.keys()].find((text) => dateNumber(likely, text) !== undefined);
  if (first === undefined) return undefined;
  // Whole numbers of eight digits are dates where all of them are days of our time.
  if (!isText && !(tally.minimum >= 19_000_101 && tally.maximum < 21_000_000)) return undefined;
  const swapped = tally.nearlyForms.find(
    ({ form }) => form !== likely.form && form.length === likely.form.length && /[dM]/.test(form),
  );
  const zones = [...tally.zones];
  const zone = zones.length === 0 ? undefined : zones.length === 1 ? zones[0] : "Z";
  const why = [
    ...(swapped === undefined
      ? []
      : [`read as ${likely.form}, a guess: they may be ${swapped.form} as well; a schema settles it`]),
    ...(zones.length > 1 ? [`of ${zones.length} zones (${zones.slice(0, 3).join(", ")}), read as UTC`] : []),
  ].join("; ");
  return {
    kind: "date",
    ...common(tally, facts, why),
    form: likely.form,
    precision: likely.precision,
    ...(zone !== undefined && { zone }),
    minimum: first,
    maximum: first,
    resolution: 1,
    scale: "standard",
  };
}

function booleanColumn(tally: ColumnTally, facts: ColumnFacts): ColumnOf<"boolean"> | undefined {
  const texts = [...tally.texts.keys()];
  const pair = TRUTHS.map((truth) =>
    truth.map((one) => texts.find((text) => text.trim().toLowerCase() === one)),
  ).find((found) => found.every((text) => text !== undefined));
  const [no, yes] = pair ?? [];
  if (no === undefined || yes === undefined) return undefined;
  const counts = [tally.texts.get(no) ?? 0, tally.texts.get(yes) ?? 0] as const;
  return { kind: "boolean", ...common(tally, facts, ""), texts: [no, yes], counts: [...counts] };
}

/** What pooled levels are called. */
const POOLED = "(other)";

function categoryColumn(tally: ColumnTally, facts: ColumnFacts, why: string): ColumnOf<"category"> {
  const all = inOrder(tally.texts.keys());
  const countOf = (level: string): number => tally.texts.get(level) ?? 0;
  const { pool } = facts;
  const rare = pool === undefined ? [] : all.filter((level) => countOf(level) < pool);
  const isPooled = rare.length > 1 && rare.length < all.length;
  const left = new Set(isPooled ? rare : []);
  const levels = all
    .filter((level) => !left.has(level))
    .map((level) => ({
      level,
      count: countOf(level),
    }));
  const rest = rare.reduce((sum, level) => sum + countOf(level), 0);
  const pooling = `${rare.length} levels seen fewer than ${pool} times (${quoted(rare[0] ?? "")}, …) count as ${POOLED}`;
  return {
    kind: "category",
    ...common(tally, facts, [why, isPooled ? pooling : ""].filter((text) => text !== "").join("; ")),
    levels: isPooled ? [...levels, { level: POOLED, count: rest }] : levels,
    ...(isPooled && { pooled: { as: POOLED, levels: rare } }),
  };
}

/** Counts of levels of a hash are of the texts that were counted. */
function hashedColumn(tally: ColumnTally, facts: ColumnFacts, size: number): ColumnOf<"category"> {
  const counts = new Array<number>(size).fill(0);
  for (const [text, times] of tally.texts) {
    const place = hashOf(text, size);
    counts[place] = (counts[place] ?? 0) + times;
  }
  return {
    kind: "category",
    ...common(tally, facts, `${count(facts.distinct)} texts hashed into ${size} levels, #0, #1, …`),
    levels: counts.map((times, i) => ({ level: `#${i}`, count: times })),
    hash: size,
  };
}

/** A column of a declared kind, with what is wrong with its cells under it. */
export function declaredKind(tally: ColumnTally, facts: ColumnFacts, declared: ColumnDeclaration): Finding {
  const { cells, numbers, whole } = tally;
  const { name } = facts;
  const problems: string[] = [];
  const why = declared.why ?? "declared";
  const wrong = (what: string): void => {
    problems.push(`column "${name}" is declared as ${declared.kind}: ${what}`);
  };
  switch (declared.kind) {
    case "real":
    case "whole": {
      if (numbers < cells) wrong(`no number in ${places(tally.notNumbers, cells - numbers, facts)}`);
      if (declared.kind === "whole" && whole < numbers)
        wrong(`${count(numbers - whole)} numbers are not whole`);
      if (numbers === 0) {
        if (cells === 0) wrong("every cell is missing");
        return { column: leftOut("constant", tally, facts, why), problems };
      }
      const found = declared.kind === "whole" ? wholeColumn(tally, facts) : realColumn(tally, facts);
      const { resolution = found.resolution, scale = found.scale } = declared;
      const offset = declared.offset ?? (declared.resolution === undefined ? found.offset : undefined);
      const { minimum = -Infinity, maximum = Infinity } = declared.declared ?? {};
      if (found.minimum < minimum) wrong(`${found.minimum} is below the declared minimum ${minimum}`);
      if (found.maximum > maximum) wrong(`${found.maximum} is above the declared maximum ${maximum}`);
      const { offset: _found, ...others } = found;
      const kept = {
        why,
        scale,
        ...(offset !== undefined && { offset }),
        ...(declared.declared !== undefined && { declared: declared.declared }),
      };
      const column: TableColumn =
        found.kind === "whole"
          ? { ...others, ...kept, kind: "whole", resolution: resolution ?? 1 }
          : { ...others, ...kept, kind: "real", ...(resolution !== undefined && { resolution }) };
      return { column, problems };
    }
    case "date": {
      const form = declared.form ?? tally.nearlyForms[0]?.form;
      if (form !== undefined && tally.otherThanDates > 0)
        wrong(`no date (${form}) in ${places(tally.notDates, tally.otherThanDates, facts)}`);
      const found = dateColumn(tally, facts, true);
      if (found === undefined) {
        if (form === undefined || tally.otherThanDates === 0)
          wrong(
            `its cells are no dates of one form, as ${quoted([...tally.texts.keys()][0] ?? "")}; give the form`,
          );
        return { column: leftOut("text", tally, facts, why), problems };
      }
      const { zone = found.zone, resolution = found.resolution, scale = found.scale, offset } = declared;
      const column: ColumnOf<"date"> = {
        ...found,
        why: declared.form === undefined && found.why !== "" ? found.why : why,
        ...(zone !== undefined && { zone }),
        ...(declared.declared !== undefined && { declared: declared.declared }),
        resolution,
        ...(offset !== undefined && { offset }),
        scale,
      };
      return { column, problems };
    }
    case "boolean": {
      const [no, yes] = declared.texts ?? booleanColumn(tally, facts)?.texts ?? inOrder(tally.texts.keys());
      const other = [...tally.texts.keys()].filter((text) => text !== no && text !== yes);
      if (no === undefined || yes === undefined) wrong("it has not two texts; give them as texts");
      else if (other.length > 0)
        wrong(`${quoted(other[0] ?? "")} is neither ${quoted(no)} nor ${quoted(yes)}`);
      const texts: readonly [string, string] = [no ?? "", yes ?? ""];
      const counts = [tally.texts.get(texts[0]) ?? 0, tally.texts.get(texts[1]) ?? 0] as const;
      return {
        column: { kind: "boolean", ...common(tally, facts, why), texts: [...texts], counts: [...counts] },
        problems,
      };
    }
    case "category":
      return declaredCategory(tally, facts, declared, why, wrong, problems);
    default:
      return { column: leftOut(declared.kind, tally, facts, why), problems };
  }
}

function declaredCategory(
  tally: ColumnTally,
  facts: ColumnFacts,
  declared: Extract<ColumnDeclaration, { kind: "category" }>,
  why: string,
  wrong: (what: string) => void,
  problems: readonly string[],
): Finding {
  if (declared.hash !== undefined)
    return { column: { ...hashedColumn(tally, facts, declared.hash), why }, problems };
  if (declared.levels === undefined) return { column: categoryColumn(tally, facts, why), problems };
  const { pooled } = declared;
  const names = declared.levels.map(({ level }) => level);
  const counts = new Map(names.map((level) => [level, 0]));
  let [strange, cells] = ["", 0];
  for (const [text, times] of tally.texts) {
    const level = counts.has(text) ? text : pooled?.as;
    if (level !== undefined && counts.has(level)) counts.set(level, (counts.get(level) ?? 0) + times);
    else {
      if (cells === 0) strange = text;
      cells += times;
    }
  }
  if (pooled !== undefined && !counts.has(pooled.as))
    wrong(`the pooled level ${quoted(pooled.as)} is not among its levels`);
  if (cells > 0) wrong(`${count(cells)} cells hold levels that are not declared, as ${quoted(strange)}`);
  const levels = names.map((level) => ({ level, count: counts.get(level) ?? 0 }));
  return {
    column: {
      kind: "category",
      ...common(tally, facts, why),
      levels,
      ...(pooled !== undefined && { pooled }),
    },
    problems,
  };
}

/** The form of dates that a declaration gives. */
export function declaredForm(declared: ColumnDeclaration | undefined) {
  return declared?.kind === "date" && declared.form !== undefined ? dateForm(declared.form) : undefined;
}

/** Kinds in the order in which they are listed. */
export const kindOrder: readonly ColumnKind[] = [
  "real",
  "whole",
  "date",
  "boolean",
  "category",
  "constant",
  "identifier",
  "text",
  "index",
];
