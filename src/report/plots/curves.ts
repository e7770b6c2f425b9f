import { COLORS } from "../raster/palette.ts";
import { logTicks, mean, quantile, significant, sorted, thin } from "../statistics.ts";
import { type PlotLayer, PlotNames, renderSvg, SHORT_LABELS } from "./plot.ts";

/** A row of the metrics of a run; what was not measured at that step is left out. */
export interface MetricRow {
  readonly step: number;
  readonly epoch?: number;
  /** Seconds of training so far. */
  readonly seconds?: number;
  readonly loss?: number;
  readonly validationLoss?: number;
  readonly learningRate?: number;
  readonly gradientNorm?: number;
  /** Named parts of the training loss. */
  readonly parts?: Readonly<Record<string, number>>;
  /** Measures of a validation by name, 0 … 1, the larger the better. */
  readonly measures?: Readonly<Record<string, number>>;
}

interface CurvePoint {
  readonly step: number;
  readonly value: number;
}

/** More than a curve of the plot's width can show. */
const MOST_POINTS = 500;
const FEW_VALIDATIONS = 60;
const WIDTH = 800;
const stepAxis = { labelExpr: SHORT_LABELS, tickCount: 8, tickMinStep: 1, title: "training step" } as const;

function pointsOf(rows: readonly MetricRow[], value: (row: MetricRow) => number | undefined): CurvePoint[] {
  return rows.flatMap((row) => {
    const found = value(row);
    return found !== undefined && Number.isFinite(found) ? [{ step: row.step, value: found }] : [];
  });
}

/** Means of at most `MOST_POINTS` stretches of equal length. */
function averaged(points: readonly CurvePoint[]): CurvePoint[] {
  const size = Math.ceil(points.length / MOST_POINTS);
  if (size <= 1) return [...points];
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const part = points.slice(i * size, (i + 1) * size);
    return {
      step: Math.round(mean(part.map(({ step }) => step))),
      value: mean(part.map(({ value }) => value)),
    };
  });
}

/** A moving mean over a twentieth of the curve, centered, narrower towards the steep start. */
function smoothed(points: readonly CurvePoint[]): CurvePoint[] {
  const reach = Math.floor(points.length / 40);
  return points.map(({ step }, i) => {
    const half = Math.min(reach, i);
    return { step, value: mean(points.slice(i - half, i + half + 1).map(({ value }) => value)) };
  });
}

interface ValueScale {
  readonly scale: { readonly type: "log" | "linear"; readonly domain: number[] };
  readonly axis: { readonly values?: number[]; readonly tickCount?: number };
  /** What the frame leaves out. */
  readonly note?: string;
}

/**
 * The scale of a loss or norm: logarithmic where all values are positive and the largest is over five times the
 * smallest; otherwise linear, and a steep start lies above the frame so that the rest can be read.
 */
function valueScale(values: readonly number[]): ValueScale {
  const ordered = sorted(values);
  const [low, most, high] = [quantile(ordered, 0), quantile(ordered, 0.9), quantile(ordered, 1)];
  if (low > 0 && high > 5 * low) {
    const domain: [number, number] = [low / 1.15, high * 1.1];
    return { scale: { type: "log", domain }, axis: { values: logTicks(...domain) } };
  }
  const steep = most > low && high > most + 4 * (most - low);
  const top = steep ? most + 0.5 * (most - low) : high;
  const margin = 0.08 * (top - low) || 0.05 * Math.abs(top) || 1;
  const linear: ValueScale = {
    scale: { type: "linear", domain: [low - 1.5 * margin, top + margin] },
    axis: { tickCount: 6 },
  };
  if (!steep) return linear;
  const note = `values from ${significant(top + margin, 3)} to ${significant(high, 3)} lie above the frame`;
  return { ...linear, note };
}

/**
 * Training and validation loss against the step, as an SVG document. The training loss is drawn as measured, pale, and
 * as a moving mean; the lowest validation loss is marked.
 * @param label What the loss is, with its unit: "bits per dimension", "mean squared error of the velocity", …
 * @returns undefined where no row has a loss.
 */
export async function lossCurves(rows: readonly MetricRow[], label: string): Promise<string | undefined> {
  const training = averaged(pointsOf(rows, (row) => row.loss));
  const validation = pointsOf(rows, (row) => row.validationLoss);
  if (training.length + validation.length === 0) return undefined;
  const { scale, axis, note } = valueScale([...training, ...validation].map(({ value }) => value));
  const best = validation.reduce<CurvePoint | undefined>(
    (least, point) => (least === undefined || point.value < least.value ? point : least),
    undefined,
  );
  const curve = (name: string, points: readonly CurvePoint[]) =>
    thin(points, MOST_POINTS).map((point) => ({ ...point, name }));
  const lines = [...curve("training (moving mean)", smoothed(training)), ...curve("validation", validation)];
  const y = { field: "value", type: "quantitative", title: label, scale, axis } as const;
  const x = { field: "step", type: "quantitative", axis: stepAxis } as const;
  const names = [
    ...(training.length > 0 ? [["training (moving mean)", COLORS.training] as const] : []),
    ...(validation.length > 0 ? [["validation", COLORS.validation] as const] : []),
  ];
  const color = {
    field: "name",
    type: "nominal",
    scale: { domain: names.map(([name]) => name), range: names.map(([, color]) => color) },
  } as const;
  const point = { type: "point", color: COLORS.validation, opacity: 1, clip: true } as const;
  const marks: PlotLayer[] = [];
  if (validation.length <= FEW_VALIDATIONS) {
    marks.push({
      data: { values: validation },
      mark: { ...point, filled: true, size: 22 },
      encoding: { x, y },
    });
  }
  if (best !== undefined) {
    const late = best.step > (rows.at(-1)?.step ?? 0) * 0.9;
    const text = {
      type: "text",
      color: COLORS.validation,
      fontSize: 12,
      dy: 17,
      align: late ? "right" : "center",
    } as const;
    marks.push({
      data: { values: [{ ...best, text: `best ${significant(best.value)}` }] },
      encoding: { x, y },
      layer: [
        { mark: { ...point, size: 90, strokeWidth: 1.5 } },
        { mark: { ...text, stroke: "white", strokeWidth: 4 }, encoding: { text: { field: "text" } } },
        { mark: text, encoding: { text: { field: "text" } } },
      ],
    });
  }
  return renderSvg({
    width: WIDTH,
    height: 280,
    title: {
      text: "Loss",
      ...(note === undefined ? {} : { subtitle: note }),
    },
    layer: [
      {
        data: { values: training },
        mark: { type: "line", color: COLORS.training, opacity: 0.25, strokeWidth: 1, clip: true },
        encoding: { x, y },
      },
      {
        data: { values: lines },
        mark: { type: "line", strokeWidth: 2, clip: true },
        encoding: { x, y, color },
      },
      ...marks,
    ],
  });
}

/** The learning rate against the step, as a low SVG plot; undefined where fewer than two rows have it. */
export async function learningRateCurve(rows: readonly MetricRow[]): Promise<string | undefined> {
  const points = averaged(pointsOf(rows, (row) => row.learningRate));
  if (points.length < 2) return undefined;
  const y = { title: "learning rate", scale: { zero: true }, axis: { tickCount: 4, format: ".3~g" } };
  return stepCurve("Learning rate", points, y);
}

/** The norm of the gradient before clipping, as a low SVG plot; undefined where fewer than two rows have it. */
export async function gradientNormCurve(rows: readonly MetricRow[]): Promise<string | undefined> {
  const points = averaged(pointsOf(rows, (row) => row.gradientNorm));
  if (points.length < 2) return undefined;
  const { scale, axis, note } = valueScale(points.map(({ value }) => value));
  return stepCurve("Norm of the gradient", points, { title: "global L2 norm", scale, axis }, note);
}

function stepCurve(
  text: string,
  values: readonly CurvePoint[],
  y: { readonly title: string; readonly scale: object; readonly axis: object },
  subtitle?: string,
): Promise<string> {
  return renderSvg({
    width: WIDTH,
    height: 120,
    title: { text, ...(subtitle === undefined ? {} : { subtitle }) },
    data: { values: [...values] },
    mark: { type: "line", color: COLORS.ink, strokeWidth: 1.5, clip: true },
    encoding: {
      x: { field: "step", type: "quantitative", axis: stepAxis },
      y: { field: "value", type: "quantitative", ...y },
    },
  });
}

/** Numbers of a row by their names, and those of a name: an object's own words are no names of it. */
const namesOf = (rows: readonly MetricRow[], kind: "measures" | "parts"): readonly string[] => [
  ...new Set(rows.flatMap((row) => Object.keys(row[kind] ?? {}))),
];
const numberOf = (row: MetricRow, kind: "measures" | "parts", name: string): number | undefined => {
  const numbers = row[kind];
  return numbers !== undefined && Object.hasOwn(numbers, name) ? numbers[name] : undefined;
};

/** The colors of curves by their positions, and a legend of their names. */
function colorOf(names: PlotNames) {
  return {
    field: "curve",
    type: "nominal",
    scale: { scheme: "tableau10", domain: names.positions },
    legend: { labelExpr: names.labelExpr },
  } as const;
}

/** Measures of validations against the step; undefined where fewer than two rows have any. */
export async function measureCurves(rows: readonly MetricRow[]): Promise<string | undefined> {
  const names = namesOf(rows, "measures");
  const values = names.flatMap((name, curve) =>
    thin(
      pointsOf(rows, (row) => numberOf(row, "measures", name)),
      MOST_POINTS,
    ).map((point) => ({ ...point, curve })),
  );
  if (values.length < 2 * names.length || values.length === 0) return undefined;
  const shown = new PlotNames("measures", names);
  return renderSvg({
    params: [shown.param],
    width: WIDTH,
    height: 200,
    title: "Measures on the validation split",
    data: { values },
    mark: { type: "line", strokeWidth: 2, point: { filled: true, size: 18 }, clip: true },
    encoding: {
      x: { field: "step", type: "quantitative", axis: stepAxis },
      y: {
        field: "value",
        type: "quantitative",
        title: null,
        scale: { domain: [0, 1] },
        axis: { tickCount: 6 },
      },
      color: colorOf(shown),
    },
  });
}

/** The named parts of the training loss against the step; undefined where there are fewer than two parts. */
export async function lossPartCurves(rows: readonly MetricRow[]): Promise<string | undefined> {
  const names = namesOf(rows, "parts");
  const values = names.flatMap((name, curve) =>
    averaged(pointsOf(rows, (row) => numberOf(row, "parts", name))).map((point) => ({ ...point, curve })),
  );
  if (names.length < 2 || values.length === 0) return undefined;
  const { scale, axis } = valueScale(values.map(({ value }) => value));
  const shown = new PlotNames("parts", names);
  return renderSvg({
    params: [shown.param],
    width: WIDTH,
    height: 200,
    title: "Parts of the training loss",
    data: { values },
    mark: { type: "line", strokeWidth: 1.5, clip: true },
    encoding: {
      x: { field: "step", type: "quantitative", axis: stepAxis },
      y: { field: "value", type: "quantitative", title: "loss", scale, axis },
      color: colorOf(shown),
    },
  });
}
