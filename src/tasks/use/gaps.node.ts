import { type Column, columnsSchema, columnWidth, gapsOfColumn } from "../../data/sources/columns.ts";
import { encodeUnknown, isMissing } from "../../data/table/codec/index.ts";
import { OptionError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import type { RunConfig } from "../../train/run-config.ts";
import type { LoadedRun } from "../run/load.node.ts";

// Models that were fitted to rows with gaps draw rows with gaps. Here their gaps are filled in.

/** How rows are drawn anew, for models that cannot fill in gaps. */
type Draw = (count: number, seed: number) => Promise<NdArray<"float32">>;

/** Rounds of drawing in place of rows with gaps. */
const ROUNDS = 40;

/** The columns of a run's table, where the model knows gaps of some. */
function gappedColumns({ dataInfo }: RunConfig): readonly Column[] | undefined {
  if (dataInfo.columns === undefined) return undefined;
  const columns = columnsSchema.parse(dataInfo.columns);
  return columns.some((column) => gapsOfColumn(column) !== undefined) ? columns : undefined;
}

/** Positions of the columns that are missing in a row of samples, and where they begin. */
function gapsOfRow(
  columns: readonly Column[],
  data: Float32Array,
  start: number,
): readonly { readonly column: Column; readonly at: number }[] {
  let at = start;
  return columns.flatMap((column) => {
    const own = at;
    at += columnWidth(column);
    return isMissing(column, data, own) ? [{ column, at: own }] : [];
  });
}

/** Rows are filled in together, so that each shard has draws of its own. */
function ofShard(random: Random, first: number): Random {
  return first === 0 ? random : random.split("shard").split(first);
}

/** Whether samples of a run may have gaps. */
export function drawsGaps({ config }: Pick<LoadedRun, "config">): boolean {
  return gappedColumns(config) !== undefined;
}

/**
 * Samples whose gaps are filled in from the model's conditional density given the other cells and that nothing is missing. Of models that
 * cannot complete rows, rows with gaps are replaced by others that are drawn until they have none.
 * @throws OptionError where such a model draws too few rows without gaps
 */
export async function withoutGaps(
  run: LoadedRun,
  samples: NdArray<"float32">,
  draw: Draw,
  {
    seed,
    label,
    first = 0,
  }: { readonly seed: number; readonly label?: number | undefined; readonly first?: number | undefined },
): Promise<NdArray<"float32">> {
  const columns = gappedColumns(run.config);
  if (columns === undefined) return samples;
  const width = samples.shape[1] ?? 1;
  const rowsOf = ({ data, shape }: NdArray<"float32">, wanted: boolean): readonly number[] =>
    Array.from({ length: shape[0] ?? 0 }, (_, row) => row).filter(
      (row) => gapsOfRow(columns, data, row * width).length > 0 === wanted,
    );
  const gapped = rowsOf(samples, true);
  if (gapped.length === 0) return samples;
  const filled = Float32Array.from(samples.data);
  const { model, session } = run;
  if (model.inpaint !== undefined) {
    const random = ofShard(new Random(seed).split("gaps"), first);
    const x = new Float32Array(gapped.length * width);
    const known = new Float32Array(x.length).fill(1);
    for (const [i, row] of gapped.entries()) {
      x.set(samples.data.subarray(row * width, (row + 1) * width), i * width);
      for (const { column, at } of gapsOfRow(columns, x, i * width)) {
        const open = at + encodeUnknown(column, random.split(row), x, at);
        known.fill(0, open, at + columnWidth(column));
      }
    }
    const shape = [gapped.length, width];
    const completed = await model.inpaint(session, {
      x: float32(x, shape),
      known: float32(known, shape),
      draws: 1,
      seed: random.integer(2 ** 31),
      ...(label !== undefined && { label }),
    });
    for (const [i, row] of gapped.entries()) {
      filled.set(completed.data.subarray(i * width, (i + 1) * width), row * width);
    }
    return float32(filled, samples.shape);
  }
  const random = ofShard(new Random(seed).split("complete rows"), first);
  let left = gapped;
  for (let round = 0; left.length > 0 && round < ROUNDS; round++) {
    const more = await draw(samples.shape[0] ?? 1, random.split(round).integer(2 ** 31));
    const complete = rowsOf(more, false).slice(0, left.length);
    for (const [i, row] of complete.entries()) {
      const place = left[i] ?? 0;
      filled.set(more.data.subarray(row * width, (row + 1) * width), place * width);
    }
    left = left.slice(complete.length);
  }
  if (left.length > 0) {
    throw new OptionError(
      `sample: ${left.length} of ${samples.shape[0]} rows still have gaps after ${ROUNDS} rounds of drawing, as nearly all rows of the data do; take them with gaps (--gaps), or a model that fills them in (eidos models)`,
    );
  }
  return float32(filled, samples.shape);
}
