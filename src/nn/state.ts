import { WeightsError } from "../errors.ts";
import { counted, showCount } from "../memory.ts";
import { shortened } from "../printable.ts";
import type { State } from "../program/program.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { sameShape, showShape } from "../tensor/shape.ts";
import { type Module, namedTensors } from "./module.ts";
import { bestReading, type ForeignNames, fittingNumbers, isCounter, type Reading } from "./names.ts";

/** Names listed in a message before "and n more". */
const LISTED = 5;

/** Rows of a table on what did not fit. */
const ROWS = 18;

/** A tensor that does not fit; where it is missing in one of the two, there is no shape. */
interface Misfit {
  readonly name: string;
  /** A count of steps or a mark rather than something learnt. */
  readonly counter: boolean;
  readonly model: readonly number[] | undefined;
  readonly file: readonly number[] | undefined;
}

/** How values of some file fit a model, by name and shape; what does not fit is in order of weight, the largest first, counters last. */
interface Fitting {
  /** Those that fit, as float32. */
  readonly taken: State;
  /** What the file has in another shape. */
  readonly misshapen: readonly Misfit[];
  /** What the model has and the file has not. */
  readonly missing: readonly Misfit[];
  /** What the file has and the model has not. */
  readonly unexpected: readonly Misfit[];
}

/**
 * Refuses tensors with a number that is NaN or infinite: nothing can begin with them.
 * @param fileName named in errors
 * @param nameInFile what the file calls a tensor
 * @throws WeightsError naming the tensor, and how many others there are
 */
export function checkFinite(
  state: State,
  fileName: string,
  nameInFile: (name: string) => string = (name) => name,
): void {
  const faults = [...state].flatMap(([name, { dtype, data }]) => {
    if (dtype !== "float32" && dtype !== "float64") return [];
    const fault = (data as Float32Array | Float64Array).find((value) => !Number.isFinite(value));
    return fault === undefined ? [] : [{ name, fault }];
  });
  const [first] = faults;
  if (first === undefined) return;
  const others = faults.length === 1 ? "" : `, and ${counted(faults.length - 1, "other tensor")} too`;
  const what = Number.isNaN(first.fault) ? "NaN" : "an infinite number";
  throw new WeightsError(
    `${fileName}: ${shortened(nameInFile(first.name))} has ${what} in it${others}; training cannot begin with it: fetch or save the file again, or take weights of before the training that made them diverged`,
  );
}

type Wanted = ReturnType<typeof namedTensors>;

function fittingOf(state: State, wanted: Wanted): Fitting {
  const taken = new Map<string, NdArray>();
  const misfits: Misfit[] = [];
  for (const [name, { shape }] of wanted) {
    const value = state.get(name);
    if (value !== undefined && sameShape(value.shape, shape)) taken.set(name, toFloat32(value));
    else misfits.push({ name, counter: isCounter(name, value), model: shape, file: value?.shape });
  }
  for (const [name, value] of state) {
    if (wanted.has(name)) continue;
    misfits.push({ name, counter: isCounter(name, value), model: undefined, file: value.shape });
  }
  const ordered = inOrder(misfits);
  return {
    taken,
    misshapen: ordered.filter(({ model, file }) => model !== undefined && file !== undefined),
    missing: ordered.filter(({ file }) => file === undefined),
    unexpected: ordered.filter(({ model }) => model === undefined),
  };
}

function sizeOf({ model, file }: Misfit): number {
  return elementCount(model ?? file ?? []);
}

/** Names and shapes that say most of what something holds: the largest first, counters never. */
function telling(misfits: readonly Misfit[]): string {
  const named = misfits
    .filter(({ counter }) => !counter)
    .slice(0, LISTED)
    .map(({ name, model, file }) => `${shortened(name)} ${showShape(model ?? file ?? [])}`);
  return `${named.join(", ")}${misfits.length > LISTED ? `, and ${misfits.length - named.length} more` : ""}`;
}

function listed(what: string, names: readonly string[]): readonly string[] {
  if (names.length === 0) return [];
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return [`${what}: ${names.slice(0, LISTED).join(", ")}${more}`];
}

/** The groups of what does not fit, each with what becomes of it. */
function groupsOf({ misshapen, missing, unexpected }: Fitting) {
  return [
    { misfits: misshapen, why: "of another shape, begun afresh" },
    { misfits: missing, why: "not in the file, begun afresh" },
    { misfits: unexpected, why: "not in the model, not used" },
  ].filter(({ misfits }) => misfits.length > 0);
}

/** Lines on what does not fit: for each reason a count and a table of the most telling names, all together of about twenty lines. */
function tableOf(fitting: Fitting): readonly string[] {
  const groups = groupsOf(fitting);
  // Small groups are shown whole, and leave their rows to the others.
  const shares = new Map<string, number>();
  let rows = ROWS;
  const told = groups.map(({ misfits, why }) => ({
    misfits,
    why,
    told: misfits.filter(({ counter }) => !counter),
  }));
  for (const [i, group] of [...told].sort((a, b) => a.misfits.length - b.misfits.length).entries()) {
    const share = Math.min(group.told.length, Math.floor(rows / (groups.length - i)));
    shares.set(group.why, share);
    rows -= share;
  }
  const all = told.map((group) => ({ ...group, rows: group.told.slice(0, shares.get(group.why)) }));
  const width = Math.max(0, ...all.flatMap((group) => group.rows.map(({ name }) => shortened(name).length)));
  return all.flatMap(({ misfits, why, rows: shown }) => {
    const more = misfits.length - shown.length;
    if (shown.length === 0) return [`${counted(more, "counter")} ${why}`];
    return [
      `${showCount(misfits.length)} ${why}:`,
      ...shown.map((misfit) => `  ${shortened(misfit.name).padEnd(width)}  ${shapesOf(misfit)}`),
      ...(more > 0 ? [`  and ${showCount(more)} more`] : []),
    ];
  });
}

function shapesOf({ model, file }: Misfit): string {
  if (model === undefined || file === undefined) return showShape(model ?? file ?? []);
  return `${showShape(file)}, the model wants ${showShape(model)}`;
}

const differing = (misfit: Misfit): string => `${shortened(misfit.name)} is ${shapesOf(misfit)}`;

/** The smallest share of a part's numbers that must be in a file whose names are those of that part. */
const LEAST_OF_PART = 0.5;

/** @throws WeightsError where a file that is read as a part of a model has too little of it */
function checkPart({ state, mapping }: Reading, wanted: Wanted, fileName: string): void {
  if (mapping === undefined) return;
  const part = new Map([...wanted].filter(([name]) => name.startsWith(mapping.part)));
  const all = [...part].reduce(
    (sum, [name, { shape }]) => sum + (isCounter(name, undefined) ? 0 : elementCount(shape)),
    0,
  );
  const share = fittingNumbers(state, part) / all;
  if (share < LEAST_OF_PART) {
    throw new WeightsError(
      `${fileName}: read as ${mapping.source}, it has ${Math.round(100 * share)} % of the numbers of ${mapping.part.slice(0, -1)}; it is most likely another architecture`,
    );
  }
}

/** The first line on what was taken: how many tensors, and by which names. */
function takenLine({ mapping, prefix }: Reading, taken: number, wanted: number, fileName: string): string {
  const by = mapping === undefined ? "" : `, by the names of ${mapping.source}`;
  const without = prefix === "" ? "" : `, without the prefix ${shortened(prefix)}`;
  return `weights of ${fileName}: ${showCount(taken)} of ${showCount(wanted)} ${wanted === 1 ? "tensor" : "tensors"} taken${by}${without}`;
}

/** One line on what the file has and no model of this kind takes. */
function leftOutLines({ leftOut }: Reading, state: State): readonly string[] {
  const values = leftOut.flatMap((name): Misfit[] => {
    const file = state.get(name);
    return file === undefined
      ? []
      : [{ name, counter: isCounter(name, file), model: undefined, file: file.shape }];
  });
  if (values.length === 0) return [];
  const ordered = values.sort((a, b) => sizeOf(b) - sizeOf(a));
  return [`${showCount(values.length)} of its classifier, not used: ${telling(ordered)}`];
}

/** One line on the tensors of the model outside of the part that a file is about: how many, by the first two fields of their names. */
function besideLines(missing: readonly Misfit[]): readonly string[] {
  if (missing.length === 0) return [];
  const counts = new Map<string, number>();
  for (const { name } of missing) {
    const path = name.split(".");
    const field = path.slice(0, path[0] === "features" ? 2 : 1).join(".");
    counts.set(field, (counts.get(field) ?? 0) + 1);
  }
  const each = [...counts].map(([field, count]) => `${shortened(field)} (${showCount(count)})`);
  return [`${showCount(missing.length)} beside it, begun afresh: ${each.join(", ")}`];
}

/**
 * The values of a file that fit a model by name and shape, to begin a fit with, and lines on what was read how and what did not fit: a
 * table whose first rows say most. Names are read as they are, without a prefix, or as others call a part of the model, whichever
 * makes the most numbers fit.
 * @param fileName named in errors and lines
 * @param foreign how others name parts of the model
 * @param source what the file is called where it is from, such as a model of the hub
 * @throws WeightsError where nothing fits, a number that is taken is NaN or infinite, or the file holds another architecture, which is named
 */
export function matchState(
  state: State,
  module: Module,
  fileName: string,
  foreign?: ForeignNames,
  source = fileName,
): { readonly taken: State; readonly report: readonly string[] } {
  const wanted = namedTensors(module);
  const refusal = foreign?.refusal(state);
  if (refusal !== undefined) throw new WeightsError(`${fileName}: ${refusal}`);
  const reading = bestReading(state, wanted, foreign);
  checkPart(reading, wanted, fileName);
  const fitting = namedAsInFile(fittingOf(reading.state, wanted), reading, state);
  const { taken, misshapen, missing, unexpected } = fitting;
  if (![...taken].some(([name, value]) => !isCounter(name, reading.state.get(name) ?? value))) {
    const shapes = listed("; of another shape", misshapen.map(differing)).join("");
    const holds = unexpected.length > 0 || misshapen.length === 0;
    const names = holds
      ? `; it holds ${telling(unexpected) || "no tensors"}; the model wants ${telling(missing)}`
      : "";
    throw new WeightsError(`${fileName}: nothing in it fits this model by name and shape${shapes}${names}`);
  }
  checkFinite(taken, fileName, (name) => reading.originals.get(name) ?? name);
  const { mapping } = reading;
  const caution = mapping?.caution?.(source);
  const isBeside = ({ name }: Misfit): boolean => mapping !== undefined && !name.startsWith(mapping.part);
  return {
    taken,
    report: [
      takenLine(reading, taken.size, wanted.size, fileName),
      ...(caution === undefined ? [] : [`warning: ${caution}`]),
      ...leftOutLines(reading, state),
      ...besideLines(missing.filter(isBeside)),
      ...tableOf({ ...fitting, missing: missing.filter((misfit) => !isBeside(misfit)) }),
    ],
  };
}

/** What the model has not by the names that the file gives it, and what of the file was not read at all among it. */
function namedAsInFile(fitting: Fitting, { originals, outside }: Reading, state: State): Fitting {
  const others = outside.flatMap((name): Misfit[] => {
    const value = state.get(name);
    return value === undefined
      ? []
      : [{ name, counter: isCounter(name, value), model: undefined, file: value.shape }];
  });
  const own = fitting.unexpected.map((misfit) => ({
    ...misfit,
    name: originals.get(misfit.name) ?? misfit.name,
  }));
  return { ...fitting, unexpected: inOrder([...own, ...others]) };
}

/** In order of weight, the largest first, counters last. */
function inOrder(misfits: readonly Misfit[]): readonly Misfit[] {
  return [...misfits].sort((a, b) => Number(a.counter) - Number(b.counter) || sizeOf(b) - sizeOf(a));
}

/**
 * Checks that values fit a model exactly, and returns them in the model's order as float32 (a PyTorch state_dict may
 * hold int64 counters and float64 values).
 * @param fileName named in errors
 * @throws WeightsError listing missing, unexpected and wrong-shaped names
 */
export function checkState(state: State, module: Module, fileName: string): State {
  const { taken, missing, unexpected, misshapen } = fittingOf(state, namedTensors(module));
  const names = (misfits: readonly Misfit[]) => misfits.map(({ name }) => shortened(name));
  const problems = [
    ...listed("missing", names(missing)),
    ...listed("unexpected", names(unexpected)),
    ...listed("of another shape", misshapen.map(differing)),
  ];
  if (problems.length > 0) {
    throw new WeightsError(`${fileName}: does not fit this model; ${problems.join("; ")}`);
  }
  return taken;
}

function toFloat32(array: NdArray): NdArray {
  if (array.dtype === "float32") return array;
  return { dtype: "float32", shape: array.shape, data: Float32Array.from(array.data, Number) };
}
