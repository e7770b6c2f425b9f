import { COLORS } from "../raster/palette.ts";
import { significant } from "../statistics.ts";
import { renderSvg, SHORT_LABELS } from "./plot.ts";

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
  const below = decoder <= 0 ? `; L₀, ${significant(decoder)}, is not positive and lies below the frame` : "";
  return renderSvg({
    width: 800,
    height: 240,
    title: { text: "Terms of the bound", subtitle: `in all ${significant(total)} ${unit}${below}` },
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
