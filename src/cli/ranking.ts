import type { CsvWriting } from "../data/files/csv.ts";
import { writeTable } from "../data/table/write.node.ts";
import type { AnomalyRanking } from "../tasks/use/anomalies.node.ts";
import { mainReasons, reasonLine, reasonNote } from "../tasks/use/reasons.node.ts";
import { print, printLine, showNumber, showTable } from "./format.ts";

/** What names the sample at a position: its file, or its row. */
function nameOf({ files }: AnomalyRanking, position: number): string | number {
  return files?.[position] ?? position;
}

/** Reasons that a row has at most where they are shown. */
const SHOWN_REASONS = 3;

/** Writes all samples of a ranking, the most unusual first: row (or file), anomalyScore, rank from 1, and why, of rows that have reasons. */
export function writeRanking(path: string, ranking: AnomalyRanking, writing?: CsvWriting): Promise<void> {
  function* rows() {
    for (const [i, position] of ranking.order.entries()) {
      const own = ranking.why?.rows[i];
      yield [
        nameOf(ranking, position),
        ranking.scores[position] ?? 0,
        i + 1,
        ...(ranking.why === undefined ? [] : [own === undefined ? "" : reasonLine(own)]),
      ];
    }
  }
  return writeTable(
    path,
    [
      ranking.files === undefined ? "row" : "file",
      "anomalyScore",
      "rank",
      ...(ranking.why === undefined ? [] : ["why"]),
    ],
    rows(),
    undefined,
    writing,
  );
}

/** The top of a ranking and how well it finds the labeled rows, as plain values. */
export function rankingSummary(ranking: AnomalyRanking, top: number): Readonly<Record<string, unknown>> {
  const name = ranking.files === undefined ? "row" : "file";
  return {
    count: ranking.order.length,
    ...(ranking.why !== undefined && { why: reasonNote(ranking.why) }),
    top: Array.from(ranking.order.subarray(0, top), (position, i) => {
      const own = ranking.why?.rows[i];
      return {
        [name]: nameOf(ranking, position),
        anomalyScore: ranking.scores[position],
        ...(own !== undefined && { cells: own.cells, reasons: mainReasons(own, SHOWN_REASONS) }),
      };
    }),
    ...(ranking.measures !== undefined && { measures: ranking.measures }),
  };
}

/** Prints the top of a ranking and, where labels are known, the area under the ROC curve and average precision. */
export function printRanking(what: string, ranking: AnomalyRanking, top: number): void {
  const { order, scores, files, measures } = ranking;
  const { why } = ranking;
  const rows = Array.from(order.subarray(0, top), (position, i) => {
    const own = why?.rows[i];
    return [
      String(nameOf(ranking, position)),
      scores[position] ?? 0,
      ...(why === undefined ? [] : [own === undefined ? "" : reasonLine(own, SHOWN_REASONS)]),
    ];
  });
  const head = [files === undefined ? "row" : "file", "anomaly score", ...(why === undefined ? [] : ["why"])];
  print(showTable(head, rows));
  const count = `${order.length} ${files === undefined ? "rows" : "images"}`;
  print("");
  if (why !== undefined) {
    const isCut = why.rows.length < Math.min(top, order.length);
    printLine(`${reasonNote(why)}${isCut ? `; of the first ${why.rows.length} rows alone` : ""}`);
  }
  if (measures === undefined) {
    printLine(`${what}: ${count}`);
    return;
  }
  const { column, anomalies, areaUnderRoc, averagePrecision } = measures;
  const evaluated =
    areaUnderRoc === undefined || averagePrecision === undefined
      ? "a ranking is evaluated where there are both"
      : `area under the ROC curve (AUROC) ${showNumber(areaUnderRoc)}, average precision ${showNumber(averagePrecision)}`;
  printLine(
    `${what}: ${count}, of which ${anomalies} are anomalies by ${files === undefined ? "the column " : ""}${column}; ${evaluated}`,
  );
}
