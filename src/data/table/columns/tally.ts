import { type DateWriting, dateNumber } from "./dates.ts";
import { type NumberFormat, numberIn } from "./numbers.ts";
import type { DatePrecision } from "./schema.ts";

// What a column's cells are, counted in one pass over their texts.

/** A form in which dates are written, and their precision. */
export type DateForm = Pick<DateWriting, "form" | "precision">;

const DAYS = [
  "yyyy-MM-dd",
  "yyyy/MM/dd",
  "yyyy.MM.dd",
  "dd.MM.yyyy",
  // Between slashes the month is first where either may be: spreadsheets and pandas read it so.
  "MM/dd/yyyy",
  "dd/MM/yyyy",
  "dd-MM-yyyy",
  "MM-dd-yyyy",
  "dd MMM yyyy",
  "dd-MMM-yyyy",
  "MMM dd, yyyy",
  "MMM dd yyyy",
  "dd MMMM yyyy",
  "MMMM dd, yyyy",
  "MMMM dd yyyy",
  "EEE, dd MMM yyyy",
  "yyyy年MM月dd日",
  "dd.MM.yy",
  "MM/dd/yy",
  "dd/MM/yy",
  "dd-MMM-yy",
  // Without leading zeros.
  "yyyy-M-d",
  "yyyy/M/d",
  "d.M.yyyy",
  "M/d/yyyy",
  "d/M/yyyy",
  "d-M-yyyy",
  "d MMM yyyy",
  "d-MMM-yyyy",
  "MMM d, yyyy",
  "d MMMM yyyy",
  "MMMM d, yyyy",
  "MMMM d yyyy",
  "EEE, d MMM yyyy",
  "yyyy年M月d日",
  "d.M.yy",
  "M/d/yy",
  "d/M/yy",
] as const;

const TIMES: readonly (readonly [form: string, precision: DatePrecision])[] = [
  ["HH:mm", "minute"],
  ["HH:mm:ss", "second"],
  ["HH:mm:ss.SSS", "millisecond"],
  ["HH:mm:ss.SSSSSS", "microsecond"],
  ["hh:mm AM", "minute"],
  ["hh:mm:ss AM", "second"],
  ["H:mm", "minute"],
  ["H:mm:ss", "second"],
  ["h:mm AM", "minute"],
  ["h:mm:ss AM", "second"],
];

const FORMS: readonly DateForm[] = [
  ...DAYS.map((form): DateForm => ({ form, precision: "day" })),
  { form: "yyyyMMdd", precision: "day" },
  { form: "yyyy-MM", precision: "month" },
  { form: "yyyy/MM", precision: "month" },
  { form: "MM/yyyy", precision: "month" },
  { form: "MMM yyyy", precision: "month" },
  { form: "MMMM yyyy", precision: "month" },
  { form: "yyyy年MM月", precision: "month" },
  { form: "yyyy年M月", precision: "month" },
  ...TIMES.map(([form, precision]): DateForm => ({ form, precision })),
  ...DAYS.flatMap((day) => {
    const joints = day === "yyyy-MM-dd" ? [" ", "T"] : day.endsWith("yyyy") ? [" ", ", "] : [" "];
    return joints.flatMap((joint) =>
      TIMES.flatMap(([time, precision]) =>
        (day.startsWith("yyyy-") && !time.endsWith("AM") ? ["", "zone", " zone"] : [""]).map(
          (zone): DateForm => ({ form: `${day}${joint}${time}${zone}`, precision }),
        ),
      ),
    );
  }),
];

/** The form of dates of that name, or one that is put together of the same parts. */
export function dateForm(form: string): DateForm | undefined {
  const known = FORMS.find((known) => known.form === form);
  if (known !== undefined) return known;
  const finest = (
    [
      [/SSSSSS/, "microsecond"],
      [/SSS/, "millisecond"],
      [/ss/, "second"],
      [/mm/, "minute"],
      [/H|h/, "hour"],
      [/d/, "day"],
      [/M/, "month"],
      [/yy/, "year"],
    ] as const
  ).find(([pattern]) => pattern.test(form));
  return finest && { form, precision: finest[1] };
}

/** A text that may be a date: digits and their marks first, or the name of a month or a weekday. */
const MAY_BE_DATE =
  /^\s*(\d{1,4}[-/.:\s]\d|\d{8}\s*$|\d{4}年\d|\d{1,2}[-\s][A-Za-z]{3,9}[-\s]|[A-Za-z]{3,9} \d|[A-Za-z]{3}, \d)/;

/** The greatest common divisor of two whole numbers. */
export function divisor(a: number, b: number): number {
  let [x, y] = [Math.abs(a), Math.abs(b)];
  while (y > 0) [x, y] = [y, x % y];
  return x;
}

/** What a whole number is beside multiples of a step: from 0 to below the step. */
export function beyond(value: number, step: number): number {
  const rest = value % step;
  return plainZero(rest < 0 ? rest + step : rest);
}

/** A number, and 0 for −0, which texts do not tell apart. */
export const plainZero = (value: number): number => (value === 0 ? 0 : value);

/** Offset of a date with a zone, as it is written: `Z`, `+02:00`. */
function zoneOf(text: string): string {
  const [, zone = "Z"] = /(Z|[+-]\d\d(?::?\d\d)?)\s*$/i.exec(text) ?? [];
  if (/^z$/i.test(zone)) return "Z";
  const [, hours, minutes = "00"] = /^([+-]\d\d):?(\d\d)?$/.exec(zone) ?? [];
  return `${hours}:${minutes}`;
}

/** A cell that is not as the others. */
export interface OddCell {
  readonly row: number;
  readonly text: string;
}

/** Odd cells that are kept. */
const KEPT = 3;

/** Texts that are no dates, beside a tenth of those that are, of a column that may still hold dates. */
const FEW_ODD = 3;

/** Digits that a double holds exactly, after which numbers are as fine as it is. */
const DOUBLE_DIGITS = 15;

/** Counts the cells of one column as they come. */
export class ColumnTally {
  rows = 0;
  gaps = 0;
  /** Cells that are finite numbers. */
  numbers = 0;
  /** Cells that are infinite. */
  infinite = 0;
  /** Numbers that are whole, however they are written. */
  whole = 0;
  /** Numbers with more digits than a double has. */
  tooLong = 0;
  /** Digits strings that begin with a zero. */
  leadingZeros = 0;
  /** Lengths of digit strings, to tell codes of one length. */
  readonly lengths = new Set<number>();
  minimum = Infinity;
  maximum = -Infinity;
  /** The most digits after the point; undefined where they are as many as a double has. */
  decimals: number | undefined = 0;
  /** Whether each number is its row's position plus that of the first. */
  counts = true;
  /** Cells that are no gaps and no numbers. */
  readonly notNumbers: OddCell[] = [];
  /** How many of each text, up to a number of texts. */
  readonly texts = new Map<string, number>();
  /** Whether there are more texts than are counted. */
  overflow = false;
  spaces = 0;
  longest = 0;
  readonly zones = new Set<string>();
  #forms: readonly DateForm[] | undefined;
  #first = 0;
  #step = 0;
  /** The first number in units of 10^−decimals. */
  #origin: number | undefined;

  /** Cells that are no dates of the form that is declared, or that nearly all others are written in. */
  readonly notDates: OddCell[] = [];
  otherThanDates = 0;
  /** Texts among them, where no form is declared. */
  readonly #oddTexts = new Set<string>();
  #dateTexts = 0;
  readonly #most: number;
  readonly #format: NumberFormat | undefined;
  readonly #declared: DateForm | undefined;

  /**
   * @param most different texts that are counted
   * @param declared the form of dates, where it is declared
   */
  constructor(most: number, format?: NumberFormat, declared?: DateForm) {
    this.#most = most;
    this.#format = format;
    this.#declared = declared;
  }

  /** Cells that are no gaps. */
  get cells(): number {
    return this.rows - this.gaps;
  }

  /** Forms in which all cells are dates, the likeliest first. */
  get dateForms(): readonly DateForm[] {
    return this.otherThanDates === 0 ? this.nearlyForms : [];
  }

  /** Forms in which nearly all cells are dates; what `notDates` holds are none. */
  get nearlyForms(): readonly DateForm[] {
    return this.#forms ?? [];
  }

  /** The greatest whole number of 10^−decimals of which all differences of numbers are multiples; 0 where there are none. */
  get step(): number {
    return this.#step;
  }

  /** What numbers are beside multiples of so many units of 10^−decimals, in these units. */
  offset(step: number): number {
    return beyond(this.#origin ?? 0, step);
  }

  gap(): void {
    this.rows++;
    this.gaps++;
    this.counts = false;
  }

  add(text: string): void {
    const row = this.rows++;
    const seen = this.texts.get(text);
    if (seen !== undefined) this.texts.set(text, seen + 1);
    else if (this.texts.size < this.#most) this.texts.set(text, 1);
    else this.overflow = true;
    const number = numberIn(text, this.#format);
    if (number !== undefined && !Number.isFinite(number)) this.infinite++;
    if (number === undefined || !Number.isFinite(number)) this.#addOther(row, text);
    else this.#addNumber(row, text, number);
    if (this.#declared !== undefined) this.#checkDate(row, text, this.#declared);
    else if (seen === undefined) this.#addForm(row, text);
    else if (this.#oddTexts.has(text)) this.otherThanDates++;
  }

  #addOther(row: number, text: string): void {
    this.counts = false;
    if (this.notNumbers.length < KEPT) this.notNumbers.push({ row, text });
    if (/\s/.test(text.trim())) this.spaces++;
    if (text.length > this.longest) this.longest = text.length;
  }

  #addNumber(row: number, text: string, value: number): void {
    if (this.numbers === 0) this.#first = value - row;
    this.numbers++;
    if (value - row !== this.#first) this.counts = false;
    if (Number.isInteger(value)) this.whole++;
    if (value < this.minimum) this.minimum = value;
    if (value > this.maximum) this.maximum = value;
    const trimmed = text.trim();
    if (/^\d+$/.test(trimmed)) {
      if (this.lengths.size < 3) this.lengths.add(trimmed.length);
      if (trimmed.length > 1 && trimmed.startsWith("0")) this.leadingZeros++;
    }
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER && /^[+-]?\d+$/.test(trimmed)) this.tooLong++;
    this.#addDigits(value);
  }

  /** The shortest writing of a number tells how fine it is. */
  #addDigits(value: number): void {
    if (this.decimals === undefined) return;
    if (Number.isSafeInteger(value)) {
      this.#addStep(value * 10 ** this.decimals);
      return;
    }
    const [digits = "", exponent = "0"] = String(Math.abs(value)).split("e");
    const [before = "", after = ""] = digits.split(".");
    const decimals = Math.max(0, after.length - Number(exponent));
    const significant = `${before}${after}`.replace(/^0+/, "").length;
    if (significant > DOUBLE_DIGITS || decimals > 300) {
      this.decimals = undefined;
      return;
    }
    if (decimals > this.decimals) {
      const finer = 10 ** (decimals - this.decimals);
      this.#step *= finer;
      if (this.#origin !== undefined) this.#origin *= finer;
      this.decimals = decimals;
    }
    this.#addStep(Math.round(value * 10 ** this.decimals));
  }

  #addStep(units: number): void {
    this.#origin ??= units;
    if (this.#step === 1) return;
    const apart = units - this.#origin;
    const isExact = [this.#step, units, this.#origin, apart].every(Number.isSafeInteger);
    this.#step = isExact ? divisor(this.#step, apart) : 1;
  }

  #checkDate(row: number, text: string, form: DateForm): void {
    this.#forms = [form];
    if (dateNumber(form, text) !== undefined) {
      if (form.form.endsWith("zone")) this.zones.add(zoneOf(text));
      return;
    }
    this.otherThanDates++;
    if (this.notDates.length < KEPT) this.notDates.push({ row, text });
  }

  /** Narrows down the forms in which all dates are written, or nearly all of them. */
  #addForm(row: number, text: string): void {
    if (this.#forms?.length === 0) return;
    const left = MAY_BE_DATE.test(text)
      ? (this.#forms ?? FORMS).filter((form) => dateNumber(form, text) !== undefined)
      : [];
    if (left.length > 0) {
      this.#forms = left;
      this.#dateTexts++;
      if (left[0]?.form.endsWith("zone")) this.zones.add(zoneOf(text));
      return;
    }
    this.#oddTexts.add(text);
    this.otherThanDates++;
    if (this.notDates.length < KEPT) this.notDates.push({ row, text });
    // Texts of another kind are soon told from dates with a fault.
    if (this.#oddTexts.size > FEW_ODD + this.#dateTexts / 10) this.#forms = [];
  }
}
