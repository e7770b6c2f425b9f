import { append } from "../append.ts";
import { OptionError } from "../errors.ts";
import type { Session } from "../program/program.ts";
import type { Random } from "../random.ts";
import { float32, int64, type NdArray, type Tensor } from "../tensor/index.ts";
import { type Conditionals, type Ensemble, type Factors, isOfClass } from "./conditionals.ts";

/** Rows, and numbers in them, that are drawn at once at most. */
export const PART_ROWS = 2048;
export const PART_ELEMENTS = 1 << 20;

/** A row to be drawn. */
export interface WantedRow {
  /** Gives the uniform numbers, by its child "elements". */
  readonly random: Random;
  /** Elements in data units and 1 where they are known (default: all unknown). */
  readonly given?: { readonly x: Float32Array; readonly known: Float32Array };
  /** Of an ensemble, the member to draw from (default: the first). */
  readonly member?: number;
  /** The class, where the conditionals are those of a class. */
  readonly label?: number;
  /** Of an ensemble that serves any order, the one to draw in; rows of one order share the array. */
  readonly order?: readonly number[];
}

/** Rows one after the other, and the log-weight of each. */
export interface DrawnRows {
  readonly x: Float32Array;
  readonly logKnown: Float32Array;
}

/** The same number with up to a quarter more, so that few shapes are compiled. */
function padded(count: number): number {
  const grain = Math.max(1, 2 ** (Math.floor(Math.log2(count)) - 2));
  return Math.ceil(count / grain) * grain;
}

/**
 * Draws rows, those of one member or order together. A row depends on its own generator alone, not on the others.
 * @param dimensions elements of a row
 */
export async function drawRows(
  conditionals: Conditionals | Ensemble,
  dimensions: number,
  session: Session,
  wanted: readonly WantedRow[],
  onProgress?: (share: number) => void,
): Promise<DrawnRows> {
  const x = new Float32Array(wanted.length * dimensions);
  const logKnown = new Float32Array(wanted.length);
  const groups = [...groupsOf(wanted).values()];
  const own = conditionals.kind === "ensemble" ? undefined : conditionals.rowsAtOnce;
  const limit = Math.max(1, Math.min(PART_ROWS, Math.floor(PART_ELEMENTS / dimensions), own ?? PART_ROWS));
  const size = padded(Math.min(limit, Math.max(1, ...groups.map((group) => group.length))));
  let done = 0;
  for (const group of groups) {
    for (let first = 0; first < group.length; first += size) {
      const part = group.slice(first, first + size);
      const rows = part.flatMap((i) => wanted[i] ?? []);
      const drawn = await drawPart(conditionals, dimensions, session, rows, size);
      part.forEach((i, k) => {
        x.set(drawn.x.subarray(k * dimensions, (k + 1) * dimensions), i * dimensions);
        logKnown[i] = drawn.logKnown[k] ?? 0;
      });
      done += part.length;
      onProgress?.(done / wanted.length);
    }
  }
  return { x, logKnown };
}

/** Indices of the rows that one run of the program can draw. */
function groupsOf(wanted: readonly WantedRow[]): ReadonlyMap<unknown, readonly number[]> {
  const groups = new Map<unknown, number[]>();
  wanted.forEach(({ member, order }, i) => {
    const key = order ?? member;
    append(groups, key, i);
  });
  return groups;
}

async function drawPart(
  conditionals: Conditionals | Ensemble,
  dimensions: number,
  session: Session,
  rows: readonly WantedRow[],
  size: number,
): Promise<DrawnRows> {
  const shape = [size, dimensions];
  const uniforms = new Float32Array(size * dimensions);
  const given = new Float32Array(size * dimensions);
  const known = new Float32Array(size * dimensions);
  rows.forEach((row, i) => {
    const [start, end] = [i * dimensions, (i + 1) * dimensions];
    row.random.split("elements").fillUniform(uniforms.subarray(start, end));
    if (row.given === undefined) return;
    known.set(row.given.known, start);
    // Unknown elements may be NaN, which spreads.
    for (let k = start; k < end; k++) if (known[k] === 1) given[k] = row.given.x[k - start] ?? 0;
  });
  const [first] = rows;
  const order = first?.order;
  const which: NdArray = order ? int64(order, [dimensions]) : int64([first?.member ?? 0], []);
  const program = session.compiled(
    conditionals,
    order ? "draw-in-order" : "draw",
    ["uniforms", "given", "known", "which", "label?"],
    ({ uniforms: u, given: g, known: k, which: w, label }) => {
      const factors = factorsOf(conditionals, w, order !== undefined);
      return { ...factors.draw({ uniforms: u, given: g, known: k, label }) };
    },
  );
  const drawn = await program.run({
    uniforms: float32(uniforms, shape),
    given: float32(given, shape),
    known: float32(known, shape),
    which,
    ...(isOfClass(conditionals) && {
      label: int64(
        Array.from({ length: size }, (_, i) => rows[i]?.label ?? 0),
        [size],
      ),
    }),
  });
  return { x: drawn.x.data as Float32Array, logKnown: drawn.logKnown.data as Float32Array };
}

/** @param which the number of a member, or an order */
function factorsOf(conditionals: Conditionals | Ensemble, which: Tensor, isOrder: boolean): Factors {
  if (conditionals.kind === "one-order") return conditionals;
  if (!isOrder) return conditionals.member(which);
  if (conditionals.inOrder === undefined) {
    throw new OptionError("this model was not trained to serve any order");
  }
  return conditionals.inOrder(which);
}
