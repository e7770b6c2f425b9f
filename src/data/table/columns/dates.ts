import { DataError } from "../../../errors.ts";
import type { ColumnOf, DatePrecision } from "./schema.ts";

// Dates as they are written in tables, and the whole numbers that they are to a model.

/** A date as far as its number and its writing need it. */
export type DateWriting = Pick<ColumnOf<"date">, "name" | "form" | "precision" | "zone">;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH_NAMES = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** The position of a name among some, however it is capitalized. */
const named = (names: readonly string[], text: string): number =>
  names.findIndex((name) => name.toLowerCase() === text.toLowerCase());

/** Parts of a form: what each matches, and the format of SQL's `strptime`. The longest stands first. */
const PARTS = [
  { part: "SSSSSS", pattern: "\\d{1,9}", sql: "%f" },
  { part: "SSS", pattern: "\\d{3}", sql: "%g" },
  { part: "yyyy", pattern: "\\d{4}", sql: "%Y" },
  { part: "zone", pattern: "Z|[+-]\\d\\d(?::?\\d\\d)?", sql: "%z" },
  { part: "MMMM", pattern: MONTH_NAMES.join("|"), sql: "%B" },
  { part: "EEE", pattern: WEEKDAYS.join("|"), sql: "%a" },
  { part: "MMM", pattern: MONTHS.join("|"), sql: "%b" },
  { part: "MM", pattern: "\\d\\d", sql: "%m" },
  { part: "yy", pattern: "\\d{2}", sql: "%y" },
  { part: "dd", pattern: "\\d\\d", sql: "%d" },
  { part: "HH", pattern: "\\d\\d", sql: "%H" },
  { part: "hh", pattern: "\\d\\d", sql: "%I" },
  { part: "mm", pattern: "\\d\\d", sql: "%M" },
  { part: "ss", pattern: "\\d\\d", sql: "%S" },
  { part: "AM", pattern: "[AaPp][Mm]", sql: "%p" },
  // Without leading zeros.
  { part: "M", pattern: "\\d\\d?", sql: "%m" },
  { part: "d", pattern: "\\d\\d?", sql: "%d" },
  { part: "H", pattern: "\\d\\d?", sql: "%H" },
  { part: "h", pattern: "\\d\\d?", sql: "%I" },
] as const;

type Part = (typeof PARTS)[number]["part"];

/** A form taken apart: parts and the texts between them. */
function takeApart(form: string): readonly ({ readonly part: Part } | { readonly between: string })[] {
  const found: ({ readonly part: Part } | { readonly between: string })[] = [];
  for (let at = 0; at < form.length; ) {
    const next = PARTS.find(({ part }) => form.startsWith(part, at));
    if (next === undefined) found.push({ between: form.charAt(at) });
    else found.push({ part: next.part });
    at += next === undefined ? 1 : next.part.length;
  }
  return found;
}

const partNamed = (name: Part) => {
  const found = PARTS.find(({ part }) => part === name);
  if (found === undefined) throw new RangeError(`dates have no part ${name}`);
  return found;
};

/** The format of SQL's `strptime` for a form. */
export function sqlDateFormat(form: string): string {
  return takeApart(form)
    .map((piece) => ("part" in piece ? partNamed(piece.part).sql : piece.between.replace("%", "%%")))
    .join("");
}

const readers = new Map<string, { readonly expression: RegExp; readonly parts: readonly Part[] }>();

function readerOf(form: string) {
  const known = readers.get(form);
  if (known !== undefined) return known;
  const pieces = takeApart(form);
  const source = pieces
    .map((piece) =>
      "part" in piece
        ? `(${partNamed(piece.part).pattern})`
        : piece.between.replace(/[$()*+.?[\\\]^{|}/]/, "\\$&"),
    )
    .join("")
    // Programs leave out a fraction of zero.
    .replace("\\.(\\d{1,9})", "(?:\\.(\\d{1,9}))?");
  const reader = {
    expression: new RegExp(`^\\s*${source}\\s*$`, "i"),
    parts: pieces.flatMap((piece) => ("part" in piece ? [piece.part] : [])),
  };
  readers.set(form, reader);
  return reader;
}

const offsetMinutes = (zone: string): number => {
  if (zone === "Z" || zone === "z") return 0;
  const [, sign, hours, minutes = "0"] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? [];
  return (sign === "-" ? -1 : 1) * (60 * Number(hours) + Number(minutes));
};

/** Microseconds of a precision that counts time. */
const MICROSECONDS: Readonly<Record<Exclude<DatePrecision, "year" | "month">, number>> = {
  day: 86_400_000_000,
  hour: 3_600_000_000,
  minute: 60_000_000,
  second: 1_000_000,
  millisecond: 1_000,
  microsecond: 1,
};

/** Milliseconds since 1970 of a day and time; undefined where there is no such day or time. */
function milliseconds(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number | undefined {
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  return date.setUTCHours(hour, minute, second);
}

/**
 * The whole number of a date: how many of its precision's units lie between 1970-01-01T00:00 and it (`month`: 12 · year + month − 1;
 * `year`: the year itself). With a zone, the time is that of UTC; without, that which is written. A time of day counts since midnight.
 * Parts finer than the precision are dropped.
 * @returns undefined where the text is no such date
 */
export function dateNumber(writing: Omit<DateWriting, "name">, text: string): number | undefined {
  const { expression, parts } = readerOf(writing.form);
  const found = expression.exec(text);
  if (found === null) return undefined;
  const values = new Map(parts.map((part, i) => [part, found[i + 1] ?? ""]));
  const number = (part: Part, short: Part, otherwise: number) =>
    Number(values.get(part) ?? values.get(short) ?? otherwise);
  const [shortName, longName, weekday] = [values.get("MMM"), values.get("MMMM"), values.get("EEE")];
  const shortYear = values.get("yy");
  const year =
    shortYear === undefined
      ? Number(values.get("yyyy") ?? 1970)
      : Number(shortYear) + (Number(shortYear) < 69 ? 2000 : 1900);
  const month =
    longName !== undefined
      ? named(MONTH_NAMES, longName) + 1
      : shortName !== undefined
        ? named(MONTHS, shortName) + 1
        : number("MM", "M", 1);
  const half = values.get("AM")?.toUpperCase();
  const clock = number("hh", "h", 12);
  if (half !== undefined && (clock < 1 || clock > 12)) return undefined;
  const hour = half === undefined ? number("HH", "H", 0) : (clock % 12) + (half === "PM" ? 12 : 0);
  const whole = milliseconds(
    year,
    month,
    number("dd", "d", 1),
    hour,
    Number(values.get("mm") ?? 0),
    Number(values.get("ss") ?? 0),
  );
  if (whole === undefined) return undefined;
  // A date that is not of its own weekday is none.
  if (weekday !== undefined && new Date(whole).getUTCDay() !== named(WEEKDAYS, weekday)) return undefined;
  const { precision } = writing;
  if (precision === "year") return year;
  if (precision === "month") return 12 * year + month - 1;
  const zone = values.get("zone");
  const fraction = values.get("SSSSSS") || values.get("SSS") || "";
  const micro = Number(fraction.padEnd(6, "0").slice(0, 6));
  const minutes = zone === undefined ? 0 : offsetMinutes(zone);
  // Whole units first: all of the microseconds of a late year have more digits than a number holds.
  const unit = MICROSECONDS[precision];
  const inMilliseconds = whole - 60_000 * minutes;
  if (unit >= 1000)
    return Math.floor(inMilliseconds / (unit / 1000) + (unit === 1000 ? Math.floor(micro / 1000) : 0));
  return inMilliseconds * 1000 + micro;
}

/** The date of a whole number, as it is written in the column: `dateNumber` inverted. @throws DataError where it lies outside of the years 1 to 9999 */
export function dateText({ name, form, precision, zone }: DateWriting, number: number): string {
  const months = precision === "year" ? 12 * number : number;
  const isCalendar = precision === "year" || precision === "month";
  const unit = isCalendar ? 0 : MICROSECONDS[precision];
  const minutes = zone === undefined || !form.includes("zone") ? 0 : offsetMinutes(zone);
  const inMilliseconds = isCalendar
    ? milliseconds(Math.floor(months / 12), (((months % 12) + 12) % 12) + 1, 1, 0, 0, 0)
    : (unit >= 1000 ? number * (unit / 1000) : Math.floor(number / 1000)) + 60_000 * minutes;
  const date = new Date(inMilliseconds ?? Number.NaN);
  const year = date.getUTCFullYear();
  if (!(year >= 1 && year <= 9999)) {
    throw new DataError(
      `column "${name}": ${number} as a date (${precision}) lies outside of the years 1 to 9999`,
    );
  }
  const micro = date.getUTCMilliseconds() * 1000 + (unit === 1 ? ((number % 1000) + 1000) % 1000 : 0);
  const digits = (value: number, length = 2) => String(value).padStart(length, "0");
  const written: Readonly<Record<Part, () => string>> = {
    SSSSSS: () => digits(micro, 6),
    SSS: () => digits(Math.floor(micro / 1000), 3),
    yyyy: () => digits(year, 4),
    yy: () => digits(year % 100),
    zone: () => zone ?? "Z",
    MMMM: () => MONTH_NAMES[date.getUTCMonth()] ?? "",
    EEE: () => WEEKDAYS[date.getUTCDay()] ?? "",
    MMM: () => MONTHS[date.getUTCMonth()] ?? "",
    MM: () => digits(date.getUTCMonth() + 1),
    dd: () => digits(date.getUTCDate()),
    HH: () => digits(date.getUTCHours()),
    hh: () => digits(((date.getUTCHours() + 11) % 12) + 1),
    mm: () => digits(date.getUTCMinutes()),
    ss: () => digits(date.getUTCSeconds()),
    M: () => String(date.getUTCMonth() + 1),
    d: () => String(date.getUTCDate()),
    H: () => String(date.getUTCHours()),
    h: () => String(((date.getUTCHours() + 11) % 12) + 1),
    AM: () => (date.getUTCHours() < 12 ? "AM" : "PM"),
  };
  return takeApart(form)
    .map((piece) => ("part" in piece ? written[piece.part]() : piece.between))
    .join("");
}
