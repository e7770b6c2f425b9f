import type { ServedColumn, UsableModel } from "eidos/serve";
import type { ExportedModel } from "eidos/use";

// What an exported model can be asked for, in the words of the room in which runs are used.

type Port = NonNullable<ExportedModel["abilities"]["score"]>["inputs"][number];

/** The first dimension of a port of columns. */
const ROWS = "rows";

function columnsOf(ports: readonly Port[]): readonly ServedColumn[] {
  return ports
    .filter(
      ({ shape, noise, optional, name }) =>
        shape.length === 1 && shape[0] === ROWS && !noise && !optional && name !== "label",
    )
    .map(({ name, column = name, categories }) =>
      categories === undefined
        ? { kind: "numeric", name: column }
        : { kind: "categorical", name: column, categories },
    );
}

/** Sides of the pictures that a port takes or gives, [channels, height, width]. */
function pictureOf(ports: readonly Port[]): readonly number[] | undefined {
  for (const { type, shape } of ports) {
    const [, height, width, channels] = shape;
    if (type === "uint8" && shape.length === 4) return [Number(channels), Number(height), Number(width)];
  }
  return undefined;
}

/** The input by which a sampler takes classes; undefined where it knows none. */
export function classPort({ abilities: { sample } }: ExportedModel): Port | undefined {
  return sample?.inputs.find(({ name, type }) => name === "label" && type === "int64");
}

/** The model of a record. */
export function describeRecord(record: ExportedModel): UsableModel {
  const { abilities, model, classes = [], step } = record;
  const { detect, score, impute, sample, embed } = abilities;
  const ports = (score ?? impute ?? embed)?.inputs ?? sample?.outputs ?? [];
  const shape = pictureOf(ports);
  const isPicture = detect !== undefined || shape !== undefined;
  const known = (["detect", "score", "impute", "sample", "embed"] as const).filter(
    (name) => abilities[name] !== undefined,
  );
  return {
    model,
    abilities: known,
    sample: isPicture
      ? { kind: "picture", shape: shape ?? [], binary: false }
      : { kind: "rows", columns: columnsOf(ports) },
    // Elsewhere classes are those that can be asked for.
    classes: detect !== undefined || classPort(record) !== undefined ? classes : [],
    given: [],
    sampleOptions: [],
    reasons: false,
    forms: isPicture && sample?.steps !== undefined,
    version: step === undefined ? undefined : String(step),
  };
}
