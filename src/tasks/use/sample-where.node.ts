import { columnsSchema } from "../../data/sources/columns.ts";
import { decodeTable } from "../../data/table/codec/index.ts";
import { openCondition } from "../../data/table/condition.node.ts";
import { OptionError } from "../../errors.ts";
import { Interrupted } from "../../program/deadline.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { sampleRun } from "./sample.node.ts";

// Rows that fulfil a condition: rows are drawn, and those that do not fulfil it are left out.

/** How many rows were drawn, and how many of them fulfil the condition. */
export interface Acceptance {
  readonly drawn: number;
  readonly accepted: number;
}

/** Rows that are drawn at most: so many for each that is wanted, and at least so many. */
const TRIES = { each: 100, least: 20_000 } as const;

/** Rows that are drawn at once. */
const BATCH = { least: 64, most: 4096 } as const;

const percent = ({ drawn, accepted }: Acceptance): string =>
  `${accepted} of ${drawn} drawn rows fulfil it (${Number(((100 * accepted) / Math.max(1, drawn)).toPrecision(2))} %)`;

/**
 * Draws rows of a table that fulfil a condition, by rejection: they follow the model's distribution given that it holds. Rows are put to it as they are
 * written, within the bounds of columns.
 * @param where an expression over column names; see `openCondition`
 * @param options as those of `sampleRun`; `onAccepted` is called when all are drawn
 * @throws OptionError where the condition is wrong, the run is of no table, or too few rows fulfil it
 */
export async function sampleWhere(
  run: LoadedRun,
  where: string,
  {
    onAccepted,
    ...options
  }: Parameters<typeof sampleRun>[1] & { readonly onAccepted?: (acceptance: Acceptance) => void },
): Promise<NdArray<"float32">> {
  const { columns: stored, sampleShape } = run.config.dataInfo;
  if (stored === undefined) {
    throw new OptionError(
      `option where: is of rows of a table, and ${run.config.data} is none; leave it out`,
    );
  }
  if (options.shard !== undefined) {
    throw new OptionError(
      "option where: one process draws until enough rows are accepted; leave it out, or give no shard",
    );
  }
  const columns = columnsSchema.parse(stored);
  const condition = await openCondition(where, columns);
  const { count, seed, onProgress } = options;
  const width = elementCount(sampleShape);
  const most = Math.max(TRIES.least, TRIES.each * count);
  const random = new Random(seed).split("where");
  const kept = new Float32Array(count * width);
  let [drawn, accepted, filled] = [0, 0, 0];
  try {
    for (let round = 0; filled < count && drawn < most; round++) {
      // As many as the share of accepted ones asks for, with some to spare.
      const rate = drawn === 0 ? 1 : Math.max(accepted, 0.5) / drawn;
      const wanted = Math.ceil((1.1 * (count - filled)) / rate);
      const size = Math.min(BATCH.most, Math.max(BATCH.least, wanted), most - drawn);
      const samples = await sampleRun(run, {
        ...options,
        count: size,
        seed: random.split(round).integer(2 ** 31),
        onProgress: (share) => onProgress?.((filled + share * Math.min(count - filled, size * rate)) / count),
      });
      const holds = await condition.holds(decodeTable(columns, samples));
      for (const [row, isHeld] of holds.entries()) {
        if (!isHeld) continue;
        accepted++;
        if (filled === count) continue;
        kept.set(samples.data.subarray(row * width, (row + 1) * width), filled * width);
        filled++;
      }
      drawn += size;
    }
  } catch (error) {
    if (!(error instanceof Interrupted) || filled === 0) throw error;
    throw new Interrupted(error.reason, float32(kept.slice(0, filled * width), [filled, width]));
  } finally {
    condition.close();
  }
  if (filled < count) {
    throw new OptionError(
      accepted === 0
        ? `option where: none of ${drawn} drawn rows fulfils it; correct it, or take a condition that rows of the data fulfil`
        : `option where: ${percent({ drawn, accepted })}, and no more are drawn; ask for fewer (--count ${filled}) or take a wider condition`,
    );
  }
  onAccepted?.({ drawn, accepted });
  return float32(kept, [count, width]);
}

/** The acceptance for a person. */
export function acceptanceLine(where: string, acceptance: Acceptance): string {
  return `where ${where}: ${percent(acceptance)}`;
}
