import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { fileError } from "../data/files/files.node.ts";
import type { DataSet } from "../data/sources/data-set.ts";
import type { MeanLikelihood } from "../metrics/index.ts";
import type { LeaderboardGallery, LeaderboardPanel } from "../report/index.ts";
import { fixed, significant } from "../report/statistics.ts";
import type { CompareFolder, ControlResult, ModelResult } from "./compare-folder.node.ts";
import { MEASURES, type MeasureName } from "./measures.ts";

/** What pictures there are, and what to write above them. */
export interface GallerySource {
  readonly folder: CompareFolder;
  readonly data: DataSet;
  readonly control: ControlResult;
  /** In the order of the leaderboard. */
  readonly results: readonly ModelResult[];
  /** The measure that models are ranked by. */
  readonly ranking: MeasureName | undefined;
}

/** Pictures beside each other: the data first, then the models in the order of the leaderboard. */
export async function galleriesOf(source: GallerySource): Promise<readonly LeaderboardGallery[]> {
  const { data, control, results, ranking } = source;
  if (results.length === 0) return [];
  const distance = ({ distances }: ModelResult): string => {
    const value = distances.find(({ measure }) => measure === ranking)?.value;
    return ranking === undefined || value === undefined
      ? ""
      : `${MEASURES[ranking].short} ${significant(value, 2)}`;
  };
  const inPlane = data.kind === "points";
  const samples: LeaderboardGallery = {
    title: "Samples",
    note: inPlane
      ? "Drawn points (blue) over points of the test split (grey), all in one frame."
      : "Drawn with the seed of the comparison, none chosen by hand.",
    // Where there is no picture of the data, that of each model shows the data besides, and is large.
    wide: control.picture === undefined,
    panels: await panelsOf(source, [
      [control.picture, "data", "test split"],
      ...results.map((result) => [result.picture, result.name, distance(result)] as const),
    ]),
  };
  if (!inPlane) return [samples];
  const { top, trueLogDensity } = control;
  const truth = trueLogDensity === undefined ? "" : likelihoodText({ kind: "exact", nats: trueLogDensity });
  const densities: LeaderboardGallery = {
    title: "Densities",
    note: "All in one frame and on one scale of colors, with the mean log-likelihood of the test split. Where a model has no density, a panel shows its samples.",
    wide: false,
    ...(top !== undefined && { top }),
    panels: await panelsOf(source, [
      [control.picture, "data", "test split"],
      [control.density, "true density", truth],
      ...results.map(
        ({ density, name, likelihood }) =>
          [density, name, likelihood === undefined ? "samples" : likelihoodText(likelihood)] as const,
      ),
    ]),
  };
  return [densities, samples];
}

function likelihoodText(likelihood: MeanLikelihood): string {
  return likelihood.kind === "exact"
    ? `${fixed(likelihood.nats, 3)} nats`
    : `≥ ${fixed(likelihood.atLeastNats, 3)} nats`;
}

type Entry = readonly [file: string | undefined, name: string, caption: string];

/** Panels of the pictures that there are. @throws FileError */
async function panelsOf(
  { folder }: GallerySource,
  entries: readonly Entry[],
): Promise<readonly LeaderboardPanel[]> {
  const panels: LeaderboardPanel[] = [];
  for (const [file, name, caption] of entries) {
    if (file === undefined) continue;
    const path = folder.file("pictures", file);
    const bytes = await readFile(path).catch((cause) => {
      throw fileError(cause, "read the picture", path);
    });
    const picture =
      extname(file) === ".svg"
        ? ({ format: "svg", text: bytes.toString("utf8") } as const)
        : ({ format: "png", bytes } as const);
    panels.push({ name, caption, picture, file: `pictures/${file}` });
  }
  return panels;
}
