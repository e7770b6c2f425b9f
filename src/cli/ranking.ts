import type { CsvWriting } from "../data/files/csv.ts";
import { writeTable } from "../data/table/write.node.ts";
import type { AnomalyRanking } from "../tasks/use/score.node.ts";
import { print, printLine, showNumber, showTable } from "./format.ts";

/** What names the sample at a position: its file, or its row. */
function nameOf({ files }: AnomalyRanking, position: number): string | number {
  return files?.[position] ?? position;
}

/** Writes all samples of a ranking, the most unusual first: row (or file), anomalyScore, rank from 1. */
export function writeRanking(path: string, ranking: AnomalyRanking, writing?: CsvWriting): Promise<void> {
  function* rows() {
    for (const [i, position] of ranking.order.entries()) {
      yield [nameOf(ranking, position), ranking.scores[position] ?? 0, i + 1];
    }
  }
  return writeTable(
    path,
    [ranking.files === undefined ? "row" : "file", "anomalyScore", "rank"],
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
    top: Array.from(ranking.order.subarray(0, top), (position) => ({
      [name]: nameOf(ranking, position),
      anomalyScore: ranking.scores[position],
    })),
    ...(ranking.measures !== undefined && { measures: ranking.measures }),
  };
}

/** Prints the top of a ranking and, where labels are known, the area under the ROC curve and average precision. */
export function printRanking(what: string, ranking: AnomalyRanking, top: number): void {
  const { order, scores, files, measures } = ranking;
  const rows = Array.from(order.subarray(0, top), (position) => [
    String(nameOf(ranking, position)),
    scores[position] ?? 0,
  ]);
  print(showTable([files === undefined ? "row" : "file", "anomaly score"], rows));
  const count = `${order.length} ${files === undefined ? "rows" : "images"}`;
  if (measures === undefined) {
    print("");
    printLine(`${what}: ${count}`);
    return;
  }
  const { column, anomalies, areaUnderRoc, averagePrecision } = measures;
  const evaluated =
    areaUnderRoc === undefined || averagePrecision === undefined
      ? "a ranking is evaluated where there are both"
      : `area under the ROC curve (AUROC) ${showNumber(areaUnderRoc)}, average precision ${showNumber(averagePrecision)}`;
  print("");
  printLine(
    `${what}: ${count}, of which ${anomalies} are anomalies by ${files === undefined ? "the column " : ""}${column}; ${evaluated}`,
  );
}
