import { COLORS } from "../raster/palette.ts";
import { type PlotLayer, renderSvg, SHORT_LABELS } from "./plot.ts";

/** Estimates of mutual information while a critic learns. */
export interface InformationCurve {
  /** Of training batches. */
  readonly points: readonly { readonly step: number; readonly nats: number }[];
  /** Of held-out rows, at the end. */
  readonly nats: number;
  /** The most that the estimator can say. */
  readonly limit?: number | undefined;
}

/**
 * The estimate on training batches against the step, as an SVG document, with lines at that on held-out rows and at the largest value that
 * there can be.
 */
export function informationCurve({ points, nats, limit }: InformationCurve): Promise<string> {
  const x = {
    field: "step",
    type: "quantitative",
    axis: { labelExpr: SHORT_LABELS, tickCount: 8, tickMinStep: 1, title: "training step" },
  } as const;
  const y = { field: "nats", type: "quantitative", title: "mutual information in nats" } as const;
  const levels = [
    { nats, text: `held-out rows: ${nats.toFixed(3)}` },
    ...(limit === undefined ? [] : [{ nats: limit, text: `at most ln N = ${limit.toFixed(3)}` }]),
  ];
  const layers: PlotLayer[] = [
    { data: { values: [...points] }, mark: { type: "line", color: COLORS.training }, encoding: { x, y } },
    {
      data: { values: levels },
      mark: { type: "rule", color: COLORS.validation, strokeDash: [5, 4] },
      encoding: { y },
    },
    {
      data: { values: levels },
      mark: { type: "text", color: COLORS.validation, align: "left", dy: -6, fontSize: 12 },
      encoding: { y, x: { value: 6 }, text: { field: "text", type: "nominal" } },
    },
  ];
  return renderSvg({
    width: 800,
    height: 300,
    title: "Mutual information while the critic learns",
    layer: layers,
  });
}
