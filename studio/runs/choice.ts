import type { FormField, OfferedData, OfferedModel } from "eidos/serve";

// Which models suit data and wish, which is suggested, and what a form's texts mean.

export const PURPOSES = ["draw", "find", "score", "embed"] as const;
export type Purpose = (typeof PURPOSES)[number];

type Kind = OfferedData["kind"];

/** Models that take data of a kind. What is in a folder is seen when it is opened: photographs, with boxes or without. */
export function modelsFor(
  models: readonly OfferedModel[],
  kind: Kind,
  purpose: Purpose,
): readonly OfferedModel[] {
  const kinds: readonly string[] = kind === "folder" ? ["image", "detection"] : [kind];
  return models.filter(
    (model) => model.purpose === purpose && model.dataKinds.some((taken) => kinds.includes(taken)),
  );
}

/** What one may want of data of a kind. */
export function purposesFor(models: readonly OfferedModel[], kind: Kind): readonly Purpose[] {
  return PURPOSES.filter((purpose) => modelsFor(models, kind, purpose).length > 0);
}

/** Models that are suggested for a wish, the first of them that takes the data. Each has a reason in the catalogue of texts. */
const SUGGESTED = {
  draw: ["rectified-flow"],
  find: ["yolo"],
  score: ["spline-flow", "glow", "made"],
  embed: ["simclr", "autoencoder"],
} as const satisfies Readonly<Record<Purpose, readonly string[]>>;

export type Suggested = (typeof SUGGESTED)[Purpose][number];

/** The model that is suggested; undefined where none of them takes the data. */
export function suggestedModel(found: readonly OfferedModel[], purpose: Purpose): Suggested | undefined {
  return SUGGESTED[purpose].find((name) => found.some((model) => model.name === name));
}

/** What a text of a field stands for. */
export type FieldValue =
  | { readonly kind: "default" }
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "wrong" };

const DEFAULT: FieldValue = { kind: "default" };
const WRONG: FieldValue = { kind: "wrong" };

const numberOf = (text: string): number | undefined => {
  const value = Number(text);
  return text.trim() === "" || !Number.isFinite(value) ? undefined : value;
};

/** The value of an option that a text of its field stands for; an empty one leaves the default. */
export function fieldValue(field: FormField, text: string): FieldValue {
  const trimmed = text.trim();
  if (trimmed === "") return DEFAULT;
  switch (field.kind) {
    case "boolean":
      return { kind: "value", value: trimmed === "yes" };
    case "choice":
    case "text":
      return { kind: "value", value: trimmed };
    case "integer":
    case "number": {
      const value = numberOf(trimmed);
      const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = field;
      const isSound =
        value !== undefined &&
        value >= minimum &&
        value <= maximum &&
        (field.kind === "number" || Number.isInteger(value));
      return isSound ? { kind: "value", value } : WRONG;
    }
    case "texts":
      return {
        kind: "value",
        value: trimmed
          .split(",")
          .map((part) => part.trim())
          .filter((part) => part !== ""),
      };
    case "numbers": {
      const values = trimmed.split(/[\s,]+/).map(numberOf);
      return values.includes(undefined) ? WRONG : { kind: "value", value: values };
    }
  }
}
