import { DataError } from "../errors.ts";
import { shortened } from "../printable.ts";

// Shapes of what a file holds, as small as a page wants them: values are checked strictly, and come out as what they are checked to be.

/** Checks a value and gives it back. @throws DataError naming where it is wrong @param at where in the file it stands */
export type Shape<T> = (value: unknown, at: string) => T;

/** @throws DataError */
function wrong(at: string, wanted: string): never {
  throw new DataError(`${shortened(at) || "the record"} is not ${wanted}`);
}

/** A text of at most so many characters. */
export const text =
  (most: number): Shape<string> =>
  (value, at) =>
    typeof value === "string" && value.length <= most
      ? value
      : wrong(at, `a text of at most ${most} characters`);

/** A number, whole if asked for, within bounds. */
export const number =
  (
    {
      whole = false,
      least = -Number.MAX_VALUE,
      most = Number.MAX_VALUE,
      above = Number.NEGATIVE_INFINITY,
    } = {},
    wanted = "a number",
  ): Shape<number> =>
  (value, at) =>
    typeof value === "number" &&
    Number.isFinite(value) &&
    (!whole || Number.isSafeInteger(value)) &&
    value >= least &&
    value <= most &&
    value > above
      ? value
      : wrong(at, wanted);

/** One of a few values. */
export const oneOf =
  <const T extends readonly unknown[]>(...values: T): Shape<T[number]> =>
  (value, at) =>
    values.includes(value) ? value : wrong(at, `one of ${JSON.stringify(values)}`);

/** A list of so many values. */
export const list =
  <T>(of: Shape<T>, most: number, least = 0): Shape<readonly T[]> =>
  (value, at) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) {
      return wrong(at, `a list of ${least} to ${most} values`);
    }
    return Array.from(value, (item: unknown, i) => of(item, `${at}[${i}]`));
  };

/** The first of two shapes that fits. */
export const either =
  <A, B>(a: Shape<A>, b: Shape<B>): Shape<A | B> =>
  (value, at) => {
    try {
      return a(value, at);
    } catch {
      return b(value, at);
    }
  };

/** A value that may be absent. */
interface Optional<T> {
  readonly optional: Shape<T>;
}

/** Marks a key of a record that may be absent. */
export const optional = <T>(shape: Shape<T>): Optional<T> => ({ optional: shape });

type Field = Shape<unknown> | Optional<unknown>;

type Fields = Readonly<Record<string, Field>>;

type RequiredKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends Optional<unknown> ? never : K;
}[keyof F];

/** What a record of some fields holds. */
type RecordOf<F extends Fields> = {
  readonly [K in RequiredKeys<F>]: F[K] extends Shape<infer T> ? T : never;
} & {
  readonly [K in Exclude<keyof F, RequiredKeys<F>>]?: F[K] extends Optional<infer T> ? T | undefined : never;
};

/** A record of these keys and no others. */
export const record =
  <F extends Fields>(fields: F): Shape<RecordOf<F>> =>
  (value, at) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong(at, "a record");
    const given = value as Readonly<Record<string, unknown>>;
    const other = Object.keys(given).find((key) => !Object.hasOwn(fields, key));
    if (other !== undefined) {
      throw new DataError(
        `${shortened(at) || "the record"} has the key ${JSON.stringify(shortened(other))}, which is unknown here`,
      );
    }
    const found: Record<string, unknown> = {};
    for (const [key, field] of Object.entries(fields)) {
      const own = Object.hasOwn(given, key) ? given[key] : undefined;
      if (typeof field !== "function" && own === undefined) continue;
      const shape = typeof field === "function" ? field : field.optional;
      found[key] = shape(own, at === "" ? key : `${at}.${key}`);
    }
    return found as RecordOf<F>;
  };
