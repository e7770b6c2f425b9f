import { columnsSchema } from "../data/sources/columns.ts";
import { isPicture } from "../data/sources/data-set.ts";
import { isDetector } from "../detection/models/detector.ts";
import { OptionError } from "../errors.ts";
import type { Run } from "../tasks/open-run.node.ts";
import { sampleSchema } from "../tasks/run/definition.node.ts";
import { codecOf } from "../tasks/use/codes.node.ts";
import { layerShape } from "../tasks/use/embed.node.ts";
import { hasReasons } from "../tasks/use/reasons.node.ts";
import type { ServedAbility, ServedColumn, ServedModel } from "./abilities.ts";

// What an open run can be asked for.

const POINTS: readonly ServedColumn[] = ["x", "y"].map((name) => ({ kind: "numeric", name }));

/** Whether a step succeeds. */
function can(step: () => unknown): boolean {
  try {
    step();
    return true;
  } catch (error) {
    if (error instanceof OptionError) return false;
    throw error;
  }
}

/** What a run is served for, as clients see it. */
export function describeRun(name: string, { loaded, config, classes, weightsStep }: Run): ServedModel {
  const { model, definition } = loaded;
  const { dataInfo, modelOptions } = config;
  const rows = !isPicture(dataInfo);
  const other = isDetector(model) ? undefined : model;
  // A conditional model has an encoder, but no features of a sample alone.
  const hasFeatures = can(() => layerShape(loaded, {}));
  const abilities: ServedAbility[] = [];
  if (other === undefined) abilities.push("detect");
  if (other?.logProb !== undefined) abilities.push("score");
  if (other?.inpaint !== undefined && rows) abilities.push("impute");
  // Samples of a model between two data sets begin at samples of one, which a server has not.
  if (other?.sample !== undefined && definition.needsSource !== true) abilities.push("sample");
  if (hasFeatures) abilities.push("embed");
  if (other !== undefined) {
    if (other.inpaint !== undefined && !rows) abilities.push("inpaint");
    if (other.edit !== undefined) abilities.push("edit");
    if (can(() => codecOf(loaded, "interpolate"))) abilities.push("interpolate");
  }
  // Each of these is a function of its sample alone: no noise is drawn in the graph.
  const plain = rows && !other?.scoresSlowly && other?.score === undefined && other?.scoreParts === undefined;
  const merged = abilities.filter(
    (ability) => ability === "detect" || ability === "embed" || (ability === "score" && plain),
  );
  const { given } = modelOptions;
  const schema = sampleSchema(definition);
  return {
    name,
    model: config.model,
    abilities,
    sample: rows
      ? {
          kind: "rows",
          columns:
            dataInfo.columns === undefined ? POINTS : columnsSchema.parse(dataInfo.columns).map(columnOf),
        }
      : { kind: "picture", shape: dataInfo.sampleShape, binary: dataInfo.kind === "binary" },
    classes,
    given: Array.isArray(given) ? given.map(String) : [],
    sampleOptions: schema === undefined ? [] : Object.keys(schema.shape),
    ...(hasFeatures && { features: layerShape(loaded, {}) }),
    reasons: hasReasons(loaded),
    forms: abilities.includes("sample") && other?.sampleStates !== undefined,
    version: weightsStep === undefined ? undefined : String(weightsStep),
    merged,
  };
}

function columnOf(column: ReturnType<typeof columnsSchema.parse>[number]): ServedColumn {
  const { kind, name } = column;
  return kind === "categorical" ? { kind, name, categories: column.categories } : { kind, name };
}
