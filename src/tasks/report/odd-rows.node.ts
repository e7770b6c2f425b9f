import type { OddRows } from "../../report/index.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { rankAnomalies } from "../use/anomalies.node.ts";
import { hasReasons, reasonLine, reasonNote } from "../use/reasons.node.ts";

/** Rows that a report lists. */
const LISTED = 10;

/**
 * The rows of the validation split that are oddest to a run's model, and why; undefined for data that is no table, a model without a likelihood, or
 * without a validation split.
 * @throws Interrupted where the run's deadline comes first
 */
export async function oddRowsOf(run: LoadedRun): Promise<OddRows | undefined> {
  // What scores slowly takes longer than a report may.
  if (!hasReasons(run) || run.model.scoresSlowly === true) return undefined;
  const { count } = (await run.data()).splits.validation;
  if (count === 0) return undefined;
  const { order, scores, why } = await rankAnomalies(run, undefined, { split: "validation", why: LISTED });
  if (why === undefined) return undefined;
  return {
    caption: `the ${why.rows.length} oddest of ${count} validation rows, and the cells that make them so; ${reasonNote(why)}`,
    rows: why.rows.map((own, i) => {
      const row = order[i] ?? 0;
      return { row, score: scores[row] ?? Number.NaN, why: reasonLine(own) };
    }),
  };
}
