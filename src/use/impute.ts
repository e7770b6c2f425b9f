import { DataError, InverseError, OptionError, RuntimeError } from "../errors.ts";
import { type ChainFeeds, type CompletionRow, completeRows, wayOf } from "../flows/completion/chains.ts";
import { plainSpace } from "../flows/completion/space.ts";
import { fillNoise } from "../flows/densities/base-noise.ts";
import type {
  ExportedAbility,
  ExportedImputation,
  ExportedModel,
  ExportedPart,
  ExportedPort,
} from "../model/exported.ts";
import { Random } from "../random.ts";
import { anyCell, at, columnOf, feedsOfRows, isGap, rowsOfOutputs } from "./cells.ts";
import { type Values, valuesOf } from "./tensors.ts";
import type { ImputeOptions, Row } from "./types.ts";

// Gaps of rows, filled in as `eidos impute` does it, by the loop that it runs, on the files of an exported model.

/** Runs a file of the model. */
type RunFile = (
  part: Pick<ExportedPart, "file" | "inputs" | "outputs">,
  feeds: Readonly<Record<string, Values>>,
) => Promise<Readonly<Record<string, Values>>>;

/** Name of the column that counts the completions of each row, as `eidos impute` has it. */
const DRAW = "draw";

/** Whether a row says that the cell of a column is missing. A row without the column does not. */
const isMissing = (row: Row, port: ExportedPort): boolean =>
  typeof row === "object" &&
  row !== null &&
  Object.hasOwn(row, columnOf(port)) &&
  isGap(row[columnOf(port)], port);

/** What of an ability is read here. @throws DataError */
function parts({ completion, inputs }: ExportedAbility) {
  if (completion === undefined) throw new DataError("model.json: impute does not say how gaps are filled in");
  const { keys, firstRow, columns } = completion;
  const ports = inputs.filter(({ name }) => name !== keys?.input && name !== firstRow);
  if (ports.length !== columns.length)
    throw new DataError(
      `model.json: impute has ${ports.length} columns in and says what ${columns.length} are`,
    );
  return { completion, ports };
}

/** Where in a sample a column lies. */
interface Span {
  readonly start: number;
  readonly value: number;
  readonly end: number;
}

function spansOf({ columns }: ExportedImputation): readonly Span[] {
  let end = 0;
  return columns.map(({ gap, size }) => {
    const start = end;
    end += gap + size;
    return { start, value: start + gap, end };
  });
}

/** The values that a file takes. */
const taken = (
  { inputs }: ExportedPart,
  feeds: Readonly<Record<string, Values>>,
): Readonly<Record<string, Values>> =>
  Object.fromEntries(Object.entries(feeds).filter(([name]) => inputs.some((port) => port.name === name)));

/** The only values of a run, as floats. */
function floats(found: Readonly<Record<string, Values>>, name: string, length: number): Float32Array {
  const { data } = found[name] ?? {};
  if (data instanceof Float32Array && data.length === length) return data;
  throw new DataError(`the file gives no ${name} of ${length} numbers; export the model again`);
}

/** The model as the loop takes it. */
function flowOf(
  { classes = [], kind }: ExportedModel,
  completion: ExportedImputation,
  size: number,
  run: RunFile,
) {
  const { noise, course, draw, drawKnown, density, mixture, columns, shares } = completion;
  const fed = ({ count, x, labels }: ChainFeeds): Readonly<Record<string, Values>> => ({
    x: { type: "float32", shape: [count, size], data: x },
    ...(labels !== undefined && { label: valuesOf("int64", labels) }),
  });
  return {
    data: {
      kind: kind === "points" ? kind : ("table" as const),
      sampleShape: [size],
      columns: columns.flatMap(({ gap, size: own }) =>
        [...(gap > 0 ? [gap] : []), own].map((width) => ({ name: "", size: width })),
      ),
      ...(shares && { classes: shares.length, classShares: shares }),
    },
    classes: shares === undefined ? 0 : classes.length,
    space: plainSpace,
    course,
    noiseSize: noise.size,
    drawNoise: (target: Float32Array, random: Random) => fillNoise(noise.kind, target, random),
    async draw(feeds: ChainFeeds, numbers: Float32Array, known?: Float32Array) {
      const part = known === undefined ? draw : drawKnown;
      if (part === undefined) throw new InverseError("the model has no inverse");
      const found = await run(part, {
        // Draws do not depend on x but of models that are given columns.
        ...taken(part, fed(feeds)),
        noise: { type: "float32", shape: [feeds.count, noise.size], data: numbers },
        ...(known && { known: { type: "float32", shape: [feeds.count, size], data: known } }),
      });
      return floats(found, "drawn", feeds.count * size);
    },
    async logDensity(feeds: ChainFeeds) {
      const part = feeds.labels === undefined ? (mixture ?? density) : density;
      const found = await run(part, taken(part, fed(feeds)));
      return {
        logDensity: floats(found, "logDensity", feeds.count),
        gradient: floats(found, "gradient", feeds.count * size),
      };
    },
  };
}

/** Classes of rows; undefined where they are not known. @throws OptionError, DataError */
function labelsOf(
  { model, classes = [] }: ExportedModel,
  { shares, classColumn }: ExportedImputation,
  rows: readonly Row[],
  label: ImputeOptions["label"],
): readonly (number | undefined)[] {
  if (shares === undefined) {
    if (label === undefined) return rows.map(() => undefined);
    throw new OptionError(`option label: ${model} knows no classes; leave it out`);
  }
  if (label !== undefined) {
    const labels = typeof label === "number" ? rows.map(() => label) : label;
    if (labels.length !== rows.length)
      throw new OptionError(`option label: ${labels.length} classes for ${rows.length} rows`);
    const wrong = labels.find((one) => !Number.isInteger(one) || one < 0 || one >= shares.length);
    if (wrong === undefined) return labels;
    throw new OptionError(`option label: must be a class from 0 to ${shares.length - 1}, not ${wrong}`);
  }
  if (classColumn === undefined || !rows.some((row) => Object.hasOwn(row, classColumn)))
    return rows.map(() => undefined);
  return rows.map((row, i) => {
    const found = classes.indexOf(String(row[classColumn]));
    if (found >= 0) return found;
    throw new DataError(
      `rows[${i}]: column ${JSON.stringify(classColumn)}: no class of the model, which is conditioned on it; correct it, or leave the column out to weigh classes by their shares`,
    );
  });
}

/** Some rows that are completed with one seed. */
interface Block {
  readonly first: number;
  readonly rows: readonly Row[];
  /** Positions of missing columns in each row. */
  readonly gaps: readonly (readonly number[])[];
}

/** Fills in gaps of rows. @throws DataError, OptionError, RuntimeError */
export async function imputed(
  record: ExportedModel,
  ability: ExportedAbility,
  rows: readonly Row[],
  { draws = 5, seed = 0, label, steps }: Omit<ImputeOptions, "signal">,
  run: RunFile,
): Promise<readonly Row[]> {
  const { completion, ports } = parts(ability);
  const counted = rows.findIndex(
    (row) => typeof row === "object" && row !== null && Object.hasOwn(row, DRAW),
  );
  if (counted >= 0) {
    throw new DataError(
      `rows[${counted}] has a column "${DRAW}", which counts the draws of the result; rename it`,
    );
  }
  const spans = spansOf(completion);
  const size = spans.at(-1)?.end ?? 0;
  const flow = flowOf(record, completion, size, run);
  const labels = labelsOf(record, completion, rows, label);
  const modeled = new Set(completion.modeled);
  const result: Row[] = [];
  for (let first = 0; first < rows.length; first += completion.block) {
    const some = rows.slice(first, first + completion.block);
    const gaps = some.map((row) => ports.flatMap((port, c) => (isMissing(row, port) ? [c] : [])));
    for (const [row, missing] of gaps.entries()) {
      const given = missing.find((c) => !modeled.has(spans[c]?.value ?? -1));
      if (given === undefined) continue;
      throw new DataError(
        `${at(first + row, ports[given] as ExportedPort)}: the cell is missing, but the model is conditioned on this column`,
      );
    }
    const block = { first, rows: some, gaps };
    const x = await encoded(ability, completion, ports, block, { seed, size, run });
    const incomplete = [...gaps.keys()].filter((row) => gaps[row]?.length);
    const found = incomplete.map((row, index): CompletionRow => {
      const known = new Float32Array(size).fill(1);
      for (const c of gaps[row] ?? []) known.fill(0, spans[c]?.value, spans[c]?.end);
      const own = labels[first + row];
      const order = completion.shares === undefined || own !== undefined ? completion.order : undefined;
      const way = wayOf(known, completion.modeled, completion.drawKnown && order);
      return { index, x: x.subarray(row * size, (row + 1) * size), known, label: own, way };
    });
    const filled = await completeRows(flow, found, {
      draws,
      seed: new Random(seed)
        .split("impute")
        .split(first)
        .integer(2 ** 31),
      iterations: steps,
    });
    if (!filled.every(Number.isFinite))
      throw new RuntimeError(
        "a draw is not finite; the model has diverged, fit it with a lower learning rate",
      );
    const cells = await decoded(completion.cells, filled, incomplete.length * draws, size, run);
    const order = new Map(incomplete.map((row, i) => [row, i]));
    for (const [row, own] of some.entries()) {
      for (let draw = 0; draw < draws; draw++) {
        const made = cells[(order.get(row) ?? 0) * draws + draw];
        const names = (gaps[row] ?? []).map((c) => columnOf(ports[c] as ExportedPort));
        result.push({
          ...own,
          ...Object.fromEntries(names.map((name) => [name, made?.[name] ?? null])),
          [DRAW]: draw,
        });
      }
    }
  }
  return result;
}

/** Rows as the model sees them, with any value where a cell is missing. @throws DataError */
async function encoded(
  ability: ExportedAbility,
  { keys, firstRow }: ExportedImputation,
  ports: readonly ExportedPort[],
  { first, rows, gaps }: Block,
  { seed, size, run }: { readonly seed: number; readonly size: number; readonly run: RunFile },
): Promise<Float32Array> {
  const whole = rows.map((row, i) => ({
    ...row,
    ...Object.fromEntries(
      (gaps[i] ?? []).map((c) => [columnOf(ports[c] as ExportedPort), anyCell(ports[c] as ExportedPort)]),
    ),
  }));
  const random = new Random(seed).split("table");
  const words = keys?.columns.flatMap((name) => random.split(name).key.map((word) => word >>> 0)) ?? [];
  const [output] = ability.outputs;
  const found = await run(ability, {
    ...feedsOfRows(ports, whole, first),
    ...(firstRow !== undefined && { [firstRow]: valuesOf("int64", [first]) }),
    ...(keys && { [keys.input]: valuesOf("int64", words, [keys.columns.length, 4]) }),
  });
  const x = floats(found, output?.name ?? "", rows.length * size);
  const wrong = x.findIndex(Number.isNaN);
  if (wrong >= 0)
    throw new DataError(`rows[${first + Math.floor(wrong / size)}]: a cell that its column cannot hold`);
  return x;
}

/** Samples as rows in their own units. */
async function decoded(
  part: ExportedPart,
  x: Float32Array,
  count: number,
  size: number,
  run: RunFile,
): Promise<readonly Row[]> {
  if (count === 0) return [];
  const [input] = part.inputs;
  const found = await run(part, { [input?.name ?? ""]: { type: "float32", shape: [count, size], data: x } });
  return rowsOfOutputs(part.outputs, found, count);
}
