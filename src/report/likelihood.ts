import { significant } from "./format.ts";
import { COLOURS, renderSvg } from "./plot.ts";
import { binEdges, finite, histogram, quantile, sorted } from "./statistics.ts";

/** One number a sample, of one split or one file. */
export interface LikelihoodSet {
  readonly name: string;
  readonly values: ArrayLike<number>;
}

/**
 * Histograms of log-likelihoods, one outline a set with its median as a dashed rule, as an SVG document. The lowest
 * half per cent and the highest fifth of one lie outside the frame and are counted in the subtitle, as is −∞.
 * @param label Axis title with the unit.
 * @returns undefined where no value is finite.
 */
export async function likelihoodHistogram(
  sets: readonly LikelihoodSet[],
  label = "log-likelihood (nats per sample)",
): Promise<string | undefined> {
  const all = sorted(finite(sets.flatMap(({ values }) => Array.from(values))));
  if (all.length === 0) return undefined;
  const edges = binEdges(
    quantile(all, 0.005),
    quantile(all, 0.998),
    Math.min(60, Math.ceil(2 * Math.cbrt(all.length))),
  );
  const low = edges[0] ?? 0;
  const high = edges.at(-1) ?? 1;
  const outside = sets.reduce(
    (sum, { values }) => sum + Array.from(values).filter((value) => !(value >= low && value <= high)).length,
    0,
  );
  const outlines = sets.flatMap(({ name, values }) => {
    const density = histogram(Array.from(values), edges);
    return [
      { at: low, density: 0, name },
      ...density.map((value, i) => ({ at: edges[i] ?? low, density: value, name })),
      { at: high, density: density.at(-1) ?? 0, name },
      { at: high, density: 0, name },
    ];
  });
  const medians = sets.map(({ name, values }) => ({
    at: quantile(sorted(Array.from(values)), 0.5),
    name,
  }));
  const range = [COLOURS.samples, COLOURS.validation, COLOURS.data, "#0f9d76", "#8b5cf6", "#c026a3"];
  const color = {
    field: "name",
    type: "nominal",
    scale: { domain: sets.map(({ name }) => name), range },
  } as const;
  const x = {
    field: "at",
    type: "quantitative" as const,
    title: label,
    scale: { domain: [low, high] as number[], nice: false, zero: false },
    axis: { tickCount: 8 },
  };
  return renderSvg({
    width: 800,
    height: 220,
    title: {
      text: "Log-likelihoods",
      subtitle: `dashed: medians${outside > 0 ? `; ${significant(outside)} values outside the frame` : ""}`,
    },
    layer: [
      {
        data: { values: outlines },
        mark: { type: "area", interpolate: "step-after", line: { strokeWidth: 1.5 }, fillOpacity: 0.15 },
        encoding: {
          x,
          y: {
            field: "density",
            type: "quantitative",
            title: "density",
            stack: null,
            axis: { tickCount: 4 },
          },
          color,
        },
      },
      {
        data: { values: medians.filter(({ at }) => Number.isFinite(at)) },
        mark: { type: "rule", strokeDash: [5, 4], strokeWidth: 1.5 },
        encoding: { x, color },
      },
    ],
  });
}
