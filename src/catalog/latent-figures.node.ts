import { type DataSet, isPicture } from "../data/sources/data-set.ts";
import { principalComponents } from "../metrics/index.ts";
import { encodePng, imageGrid, latentMap } from "../report/index.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import { decodeCodes, encodeSamples } from "./codec.node.ts";
import type { FigureMaker } from "./figures.node.ts";
import { toBytes } from "./pictures.node.ts";
import type { OpenRun } from "./run.node.ts";
import { isClassConditional } from "./score.node.ts";

const MAPPED = 1500;
/** Codes beyond this length are those of models that keep all of a sample; their covariance would take long. */
const LONGEST_CODE = 256;

/** Where a model with short codes puts samples. */
export const codeMap: FigureMaker = {
  name: "codes",
  async make({ run, data }) {
    const { dimensions = 0, encode, path } = run.model;
    // A model whose codes become samples step by step shows that instead.
    if (!encode || path !== undefined || dimensions < 2 || dimensions > LONGEST_CODE) return undefined;
    const name = data.splits.test.count > 0 ? "test" : "train";
    const { z, labels } = await codesOf(run, data, name);
    if ((z.shape[0] ?? 0) < 2) return undefined;
    const isPlane = dimensions === 2;
    const { scores, shares } = isPlane ? { scores: z, shares: [] } : principalComponents(z, 2);
    const axis = (i: 0 | 1): string =>
      isPlane
        ? (["z₁", "z₂"] as const)[i]
        : `${["first", "second"][i]} principal axis (${((shares[i] ?? 0) * 100).toFixed(0)} % of the variance)`;
    const classes = data.classes;
    const text = await latentMap(
      { codes: scores, labels, classes, axes: [axis(0), axis(1)] },
      `Codes of ${name} samples`,
    );
    return {
      title: "Codes",
      picture: { format: "svg", text },
      caption: `${isPlane ? "codes" : `codes of ${dimensions} numbers in the plane of their first two principal axes`} of samples of the ${name} split${labels === undefined ? "" : ", colored by class"}`,
    };
  },
};

/** Codes of samples spread evenly over a split, which may be sorted by class. */
async function codesOf(
  run: OpenRun,
  data: DataSet,
  name: "test" | "train",
): Promise<{ readonly z: NdArray<"float32">; readonly labels: readonly number[] | undefined }> {
  const split = data.splits[name];
  const count = Math.min(MAPPED, split.count);
  const places = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * split.count) / count));
  const { x, label } = split.batch(places);
  const labels = label && Array.from(label.data, Number);
  return { z: await encodeSamples(run, x, isClassConditional(run) ? labels : undefined), labels };
}

const SIDE = 18;

/**
 * The quantile function of the standard Gaussian to two thousandths, which a picture does not show (Winitzki 2008, "A
 * handy approximation for the error function and its inverse").
 */
function gaussianQuantile(share: number): number {
  const a = 0.147;
  const x = 2 * share - 1;
  const log = Math.log(1 - x * x);
  const half = 2 / (Math.PI * a) + log / 2;
  return Math.sign(x) * Math.SQRT2 * Math.sqrt(Math.sqrt(half * half - log / a) - half);
}

/** Pictures of codes all over the plane, as dense as the prior has them. */
export const codeGrid: FigureMaker = {
  name: "code-grid",
  async make({ run, data }) {
    const { dimensions, decode, hasGaussianCodes, path, codeContext } = run.model;
    const isPlane = dimensions === 2 && hasGaussianCodes === true && path === undefined;
    if (!isPlane || !isPicture(data) || !decode || !codeContext || isClassConditional(run)) return undefined;
    const quantiles = Array.from({ length: SIDE }, (_, i) => gaussianQuantile((i + 0.5) / SIDE));
    // As in a plot: z₁ grows to the right, z₂ upwards.
    const codes = quantiles.toReversed().flatMap((up) => quantiles.flatMap((right) => [right, up]));
    const images = await decodeCodes(run, float32(codes, [SIDE * SIDE, 2]));
    const grid = imageGrid(toBytes(images, data.kind), { columns: SIDE, padding: 0 });
    return {
      title: "Pictures of codes",
      picture: { format: "png", bytes: await encodePng(grid) },
      caption: `decoded codes at the quantiles of the prior: z₁ to the right, z₂ upwards, from ${quantiles[0]?.toFixed(2)} to ${quantiles.at(-1)?.toFixed(2)}`,
    };
  },
};
