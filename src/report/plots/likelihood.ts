import { binEdges, finite, histogram, quantile, significant, sorted } from "../statistics.ts";
import { COLORS, renderSvg, SHORT_LABELS } from "./plot.ts";

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
  const range = [COLORS.samples, COLORS.validation, COLORS.data, "#0f9d76", "#8b5cf6", "#c026a3"];
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

/** Consecutive terms L_first + … + L_last of a variational bound, together `value`. */
export interface TermOfBound {
  readonly first: number;
  readonly last: number;
  readonly value: number;
}

/**
 * The terms of a variational bound against the step of the chain, both logarithmic, as an SVG document: where several stand
 * together, their mean at the middle of their steps. L_0, at the left edge, stands at a half; where it is negative, as it may be of a
 * density, the subtitle tells it.
 * @param unit of a term, for the axis
 * @returns undefined where no term is positive
 */
export async function boundTermsPlot(
  terms: readonly TermOfBound[],
  unit: string,
): Promise<string | undefined> {
  const end = terms.at(-1)?.last ?? 0;
  const points = terms.flatMap(({ first, last, value }) => {
    const each = value / (last - first + 1);
    const kind = first === 0 ? "L₀, decoder" : first === end ? "L_T, prior" : "divergences of steps";
    return each > 0 && Number.isFinite(each)
      ? [{ step: first === 0 ? 0.5 : Math.sqrt(first * last), value: each, kind }]
      : [];
  });
  if (points.length === 0) return undefined;
  const ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].filter((step) => step <= end);
  const total = terms.reduce((sum, { value }) => sum + value, 0);
  const decoder = terms[0]?.value ?? 0;
  const below =
    decoder <= 0 ? `; L₀, ${decoder.toPrecision(4)}, is not positive and lies below the frame` : "";
  return renderSvg({
    width: 800,
    height: 240,
    title: { text: "Terms of the bound", subtitle: `in all ${total.toPrecision(4)} ${unit}${below}` },
    data: { values: points },
    mark: { type: "point", filled: true, size: 26, opacity: 0.9 },
    encoding: {
      x: {
        field: "step",
        type: "quantitative",
        scale: { type: "log", domain: [0.4, 1.2 * Math.max(1, end)] },
        axis: { title: "step of the chain", labelExpr: SHORT_LABELS, values: ticks },
      },
      y: {
        field: "value",
        type: "quantitative",
        scale: { type: "log" },
        axis: { title: `${unit}, each`, tickCount: 6, format: ".0e" },
      },
      color: {
        field: "kind",
        type: "nominal",
        scale: {
          domain: ["L₀, decoder", "divergences of steps", "L_T, prior"],
          range: [COLORS.validation, COLORS.samples, COLORS.data],
        },
        legend: { title: null },
      },
    },
  });
}
