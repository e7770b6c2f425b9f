import { UMAP } from "umap-js";
import { type DataSet, isPicture, type Split } from "../../data/sources/data-set.ts";
import { principalComponents } from "../../metrics/index.ts";
import { isEmbedder } from "../../model/capabilities.ts";
import { Random } from "../../random.ts";
import { latentMap, type ReportFigure } from "../../report/index.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { embedding } from "../use/embed.node.ts";

/** How codes come into the plane. */
export type Projection = "pca" | "umap";

const MAPPED = 1000;
/** Fewer samples make no map. */
const LEAST = 10;
/** Axes that UMAP is given: distances along the others are noise for the most part, and take time. */
const UMAP_AXES = 50;
const UMAP_NEIGHBORS = 15;

/** Samples spread evenly over a split, which may be sorted by class. */
function spread(split: Split, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * split.count) / count));
}

/**
 * Rows [n, d] in the plane by UMAP (McInnes, Healy and Melville 2018, arXiv:1802.03426), with 15 neighbors and a least distance of 0.1: near rows stay near, and
 * far distances mean little. The same seed gives the same map.
 */
export function umapPlane(rows: NdArray<"float32">, seed: number): NdArray<"float32"> {
  const [count = 0, size = 0] = rows.shape;
  const { scores } =
    size > UMAP_AXES && count > UMAP_AXES ? principalComponents(rows, UMAP_AXES) : { scores: rows };
  const width = scores.shape[1] ?? 0;
  const random = new Random(seed).split("umap");
  const umap = new UMAP({
    nNeighbors: Math.min(UMAP_NEIGHBORS, count - 1),
    minDist: 0.1,
    nComponents: 2,
    random: () => random.uniform() % 1,
  });
  const points = umap.fit(
    Array.from({ length: count }, (_, i) => [...scores.data.subarray(i * width, (i + 1) * width)]),
  );
  return float32(points.flat(), [count, 2]);
}

/** A map of the codes of samples that no class was needed for; undefined where a model has none, or there are few samples. */
export async function featureMap(
  run: LoadedRun,
  data: DataSet,
  projection: Projection,
  seed: number,
): Promise<ReportFigure | undefined> {
  if (!isEmbedder(run.model) || data.kind === "points") return undefined;
  const name = data.splits.test.count > 0 ? "test" : "train";
  const split = data.splits[name];
  const count = Math.min(split.count, MAPPED);
  if (count < LEAST) return undefined;
  const { x, label } = split.batch(spread(split, count));
  const codes = await embedding(run)(x);
  const size = codes.shape[1] ?? 0;
  if (size < 3) return undefined;
  const { scores, shares } =
    projection === "pca" ? principalComponents(codes, 2) : { scores: umapPlane(codes, seed), shares: [] };
  const axis = (i: 0 | 1): string =>
    projection === "pca"
      ? `${["first", "second"][i]} principal axis (${((shares[i] ?? 0) * 100).toFixed(0)} % of the variance)`
      : (["UMAP 1", "UMAP 2"] as const)[i];
  const labels = label && Array.from(label.data, Number);
  const classes = data.classes;
  const what = isPicture(data) ? "images" : "rows";
  const text = await latentMap(
    { codes: scores, labels, classes, axes: [axis(0), axis(1)] },
    `Features of ${name} ${what}`,
  );
  const how =
    projection === "pca" ? "in the plane of their first two principal axes" : `by UMAP, seed ${seed}`;
  return {
    title: projection === "pca" ? "Features" : "Features by UMAP",
    picture: { format: "svg", text },
    caption: `codes of ${size} numbers of ${count} ${what} of the ${name} split ${how}${labels === undefined ? "" : ", colored by class"}`,
  };
}
