import * as z from "zod";
import { list, MOST, text } from "../../../bounds.ts";
import { DataError } from "../../../errors.ts";
import { nearest } from "../../../nearest.ts";
import { tableColumnSchema, tableColumnsSchema } from "./schema.ts";
import { dateForm } from "./tally.ts";

// Schema files: what a person says of the columns of a table. What eidos writes is a whole one; of what is written by hand, a name and a kind
// are enough, and the rest is found in the data.

const [real, whole, date, boolean, category, ...leftOut] = tableColumnSchema.unwrap().options;

/** Of a column, what may be declared: its name, its kind, and any of what eidos finds. */
export const columnDeclarationSchema = z
  .discriminatedUnion("kind", [
    real.partial().required({ kind: true, name: true }),
    whole.partial().required({ kind: true, name: true }),
    date.partial().required({ kind: true, name: true }),
    boolean.partial().required({ kind: true, name: true }),
    category.partial().required({ kind: true, name: true }),
    leftOut[0].partial().required({ kind: true, name: true }),
    leftOut[1].partial().required({ kind: true, name: true }),
    leftOut[2].partial().required({ kind: true, name: true }),
    leftOut[3].partial().required({ kind: true, name: true }),
  ])
  .readonly();

/** What a person says of a column. */
export type ColumnDeclaration = z.infer<typeof columnDeclarationSchema>;

/** What a person says of the columns of a table. */
export const declarationsSchema = list(columnDeclarationSchema, MOST.names).readonly();

/** A schema file. */
export const tableSchemaSchema = z
  .strictObject({
    /** So that a file is known for what it is. */
    eidos: z.literal("table schema"),
    columns: declarationsSchema,
  })
  .readonly();

/** The text of a schema file. @throws as zod does where these are no columns */
export function encodeSchema(columns: z.input<typeof tableColumnsSchema>): string {
  const whole = { eidos: "table schema", columns: tableColumnsSchema.parse(columns) };
  return `${JSON.stringify(whole, null, 2)}\n`;
}

const envelope = z.object({
  eidos: z.literal("table schema"),
  columns: z.array(z.unknown()).max(MOST.names),
});

const named = z.object({ name: text() });

/**
 * Reads a schema file, or a value that was one.
 * @param label what messages call it
 * @throws DataError that names every column at fault
 */
export function parseSchema(given: unknown, label: string): readonly ColumnDeclaration[] {
  const whole = envelope.safeParse(given);
  if (!whole.success) {
    throw new DataError(
      `${label}: not a table schema, which is { "eidos": "table schema", "columns": [{ "name": …, "kind": … }, …] }; eidos data FILE --schema-out writes one`,
    );
  }
  const problems: string[] = [];
  const columns: ColumnDeclaration[] = [];
  const seen = new Set<string>();
  for (const [i, column] of whole.data.columns.entries()) {
    const name = named.safeParse(column);
    const place = name.success ? `column "${name.data.name}"` : `columns[${i}]`;
    const parsed = columnDeclarationSchema.safeParse(column);
    if (!parsed.success) {
      for (const issue of parsed.error.issues) problems.push(`${place}: ${describeIssue(issue)}`);
      continue;
    }
    if (seen.has(parsed.data.name)) problems.push(`${place} stands there twice`);
    seen.add(parsed.data.name);
    if (
      parsed.data.kind === "date" &&
      parsed.data.form !== undefined &&
      dateForm(parsed.data.form) === undefined
    ) {
      problems.push(
        `${place}: form ${JSON.stringify(parsed.data.form)} has no parts of a date, such as yyyy, MM, dd`,
      );
    }
    columns.push(parsed.data);
  }
  if (problems.length > 0) throw new DataError(`${label}: ${listed(problems)}`);
  return columns;
}

/** What is wrong with a field, for a person. */
function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    const known = tableColumnSchema.unwrap().options.flatMap((option) => Object.keys(option.shape));
    const meant = nearest(key, known);
    return `${JSON.stringify(key)} is no field of this kind${meant === undefined || meant === key ? "" : `; did you mean "${meant}"?`}`;
  }
  if (issue.code === "invalid_union") {
    const kinds = tableColumnSchema.unwrap().options.map((option) => option.shape.kind.value);
    return `kind must be one of ${kinds.join(", ")}`;
  }
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

/** Problems that messages list. */
const LISTED = 20;

/** Problems as one message. */
export function listed(problems: readonly string[]): string {
  const shown = problems.slice(0, LISTED).join("; ");
  return problems.length > LISTED ? `${shown}; and ${problems.length - LISTED} more` : shown;
}

/** What is wrong where columns are declared that the table has not. */
export function missingColumns(
  declared: readonly ColumnDeclaration[],
  names: readonly string[],
): readonly string[] {
  const known = new Set(names);
  const missing = declared.filter(({ name }) => !known.has(name));
  return missing.map(({ name }, i) => {
    // No more than these are named.
    const meant = i < LISTED ? nearest(name, names) : undefined;
    return `the schema has a column "${name}", the table has not${meant === undefined ? "" : ` (did you mean "${meant}"?)`}`;
  });
}
