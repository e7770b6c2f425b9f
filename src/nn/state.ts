import { WeightsError } from "../errors.ts";
import { showCount } from "../memory.ts";
import { shortened } from "../printable.ts";
import type { State } from "../program/program.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { sameShape, showShape } from "../tensor/shape.ts";
import { type Module, namedTensors } from "./module.ts";

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
  const ordered = misfits.sort((a, b) => Number(a.counter) - Number(b.counter) || sizeOf(b) - sizeOf(a));
  return {
    taken,
    misshapen: ordered.filter(({ model, file }) => model !== undefined && file !== undefined),
    missing: ordered.filter(({ file }) => file === undefined),
    unexpected: ordered.filter(({ model }) => model === undefined),
  };
}

/** Counts of batches of batch normalization, and whole numbers and marks of a file, which are no weights. */
function isCounter(name: string, value: NdArray | undefined): boolean {
  return /(^|\.)num_batches_tracked$/.test(name) || value?.dtype === "int64" || value?.dtype === "bool";
}

function sizeOf({ model, file }: Misfit): number {
  return elementCount(model ?? file ?? []);
}

/** Names and shapes that say most of what something holds: the largest first, counters last. */
function telling(misfits: readonly Misfit[]): string {
  const named = misfits
    .slice(0, LISTED)
    .map(({ name, model, file }) => `${shortened(name)} ${showShape(model ?? file ?? [])}`);
  return `${named.join(", ")}${misfits.length > LISTED ? `, and ${misfits.length - LISTED} more` : ""}`;
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
  for (const [i, { misfits, why }] of [...groups]
    .sort((a, b) => a.misfits.length - b.misfits.length)
    .entries()) {
    const share = Math.min(misfits.length, Math.floor(rows / (groups.length - i)));
    shares.set(why, share);
    rows -= share;
  }
  const all = groups.map(({ misfits, why }) => ({ misfits, why, rows: misfits.slice(0, shares.get(why)) }));
  const width = Math.max(0, ...all.flatMap((group) => group.rows.map(({ name }) => shortened(name).length)));
  return all.flatMap(({ misfits, why, rows: shown }) => {
    const more = misfits.length - shown.length;
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

/**
 * The values of a file that fit a model by name and shape, to begin a fit with, and lines on what did not fit: a table whose first rows
 * say most.
 * @param fileName named in errors and lines
 * @throws WeightsError where nothing fits
 */
export function matchState(
  state: State,
  module: Module,
  fileName: string,
): { readonly taken: State; readonly report: readonly string[] } {
  const wanted = namedTensors(module);
  const fitting = fittingOf(state, wanted);
  const { taken, misshapen, missing, unexpected } = fitting;
  if (![...taken].some(([name, value]) => !isCounter(name, state.get(name) ?? value))) {
    const shapes = listed("; of another shape", misshapen.map(differing)).join("");
    const holds = unexpected.length > 0 || misshapen.length === 0;
    const names = holds
      ? `; it holds ${telling(unexpected) || "no tensors"}; the model wants ${telling(missing)}`
      : "";
    throw new WeightsError(`${fileName}: nothing in it fits this model by name and shape${shapes}${names}`);
  }
  return {
    taken,
    report: [`weights of ${fileName}: ${taken.size} of ${wanted.size} tensors taken`, ...tableOf(fitting)],
  };
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
