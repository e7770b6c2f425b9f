import { openData } from "../../src/data/index.node.ts";
import { columnsSchema } from "../../src/data/sources/columns.ts";
import { range, type Split } from "../../src/data/sources/data-set.ts";
import { logUnits } from "../../src/data/table/codec/index.ts";
import { streamTable } from "../../src/data/table/stream.node.ts";
import type { Run } from "../../src/index.ts";
import { areaUnderRoc, averagePrecision } from "../../src/metrics/index.ts";
import { fitGaussian, gaussianLogProb } from "./gaussian.ts";
import {
  conditions,
  type Entry,
  type Fitted,
  fitted,
  type Row,
  resultOf,
  type Suite,
  testOf,
} from "./run.ts";

const TABLES = "../shared/data/tables";
const digitsOf = (value: number, digits = 3): string => value.toFixed(digits);

// Images: bits per dimension of the test digits.

const DIGITS: readonly Omit<Fitted, "name" | "data">[] = [
  { model: "nice", seconds: 240 },
  { model: "real-nvp", seconds: 240 },
  { model: "glow", seconds: 240 },
];

const digits = DIGITS.map((run): Entry => {
  const name = `${run.model}-digits`;
  return {
    name: `flows-${name}`,
    section: "Digits: bits per dimension",
    measure: () =>
      fitted({ ...run, name: `flows-${name}`, data: "digits" }, async (opened) => {
        const evaluation = await testOf(opened);
        return {
          model: run.model,
          ...conditions(evaluation),
          "bits/dim": digitsOf(resultOf(evaluation, "bits per dimension")),
        };
      }),
  };
});

// Tables: log-likelihood of the test rows in the table's own units.

const TABLE_MODELS: readonly Omit<Fitted, "name" | "data">[] = [
  { model: "maf", seconds: 45 },
  { model: "spline-flow", seconds: 45 },
  { model: "continuous-flow", seconds: 60 },
];

const wholeSplit = (split: Split): Float32Array => split.batch(range(0, split.count)).x.data;

async function gaussianOfTable(file: string): Promise<Row> {
  const { splits, columns, sampleShape } = await openData(file, { label: "quality" });
  const dimensions = sampleShape[0] ?? 1;
  const begun = performance.now();
  const gaussian = fitGaussian(wholeSplit(splits.train), dimensions);
  const seconds = (performance.now() - begun) / 1000;
  const values = gaussianLogProb(gaussian, wholeSplit(splits.test));
  const own = columnsSchema.parse(columns);
  const test = wholeSplit(splits.test);
  const mean =
    values.reduce((sum, value, row) => sum + value + logUnits(own, test, row * dimensions), 0) /
    values.length;
  return {
    split: "test",
    seed: "0",
    parameters: String((dimensions * (dimensions + 3)) / 2),
    steps: "",
    seconds: seconds.toFixed(0),
    nats: digitsOf(mean),
  };
}

const tables = ["wine-red", "wine-white"].flatMap((table): readonly Entry[] => {
  const data = `${TABLES}/${table}.csv`;
  const section = "Tables: test log-likelihood in nats a row, in the table's own units";
  return [
    {
      name: `flows-gaussian-${table}`,
      section,
      measure: async () => ({
        data: table,
        model: "Gaussian, full covariance",
        ...(await gaussianOfTable(data)),
      }),
    },
    ...TABLE_MODELS.map(
      (run): Entry => ({
        name: `flows-${run.model}-${table}`,
        section,
        measure: () => {
          const options = { label: "quality", ...run.options };
          return fitted({ ...run, name: `flows-${run.model}-${table}`, data, options }, async (opened) => {
            const evaluation = await testOf(opened);
            return {
              data: table,
              model: run.model,
              ...conditions(evaluation),
              nats: digitsOf(resultOf(evaluation, "log-likelihood")),
            };
          });
        },
      }),
    ),
  ];
});

// Anomalies: every second normal row trains, the others and all anomalies are ranked.

const ANOMALY_MODELS: readonly Omit<Fitted, "name" | "data">[] = [
  { model: "maf", seconds: 40 },
  { model: "spline-flow", seconds: 40 },
];

/** The halves of a table with a column `anomaly`: normal rows of odd number, and of the rest those asked for. */
function half(table: string, which: "training" | "normal" | "anomalies"): string {
  const numbered = `select *, row_number() over () as place from '${TABLES}/${table}.csv'`;
  const rows = {
    training: "anomaly = 0 and place % 2 = 1",
    normal: "anomaly = 0 and place % 2 = 0",
    anomalies: "anomaly = 1",
  };
  return `select * exclude (anomaly, place) from (${numbered}) where ${rows[which]}`;
}

async function logLikelihoods(run: Run, query: string): Promise<number[]> {
  return [...(await run.score(query)).logLikelihood];
}

function ranking(normal: readonly number[], anomalies: readonly number[]): Row {
  const scores = [...normal, ...anomalies].map((value) => -value);
  const labels = [...normal.map(() => 0), ...anomalies.map(() => 1)];
  return {
    AUROC: digitsOf(areaUnderRoc(scores, labels)),
    "average precision": digitsOf(averagePrecision(scores, labels)),
  };
}

type ColumnScale = "found" | "standard";

/** All rows of a query, scaled by the training rows as a model sees them. */
async function scaled(
  table: string,
  columnScale: ColumnScale,
): Promise<readonly [Float32Array, Float32Array, Float32Array, number]> {
  const { splits, columns, sampleShape } = await openData(half(table, "training"), {
    validation: 0,
    test: 0,
    columnScale,
  });
  const stored = columnsSchema.parse(columns);
  const read = async (which: Parameters<typeof half>[1]): Promise<Float32Array> => {
    const parts: number[] = [];
    for await (const { x } of streamTable({ sql: half(table, which) }, stored)) parts.push(...x.data);
    return Float32Array.from(parts);
  };
  return [wholeSplit(splits.train), await read("normal"), await read("anomalies"), sampleShape[0] ?? 1];
}

/** Each table with its columns on the scales that are found for them, and standardized alone. */
const RANKED = ["cardio", "vowels", "pendigits"].flatMap((table) =>
  (["found", "standard"] as const).map((columnScale) => ({ table, columnScale })),
);

const anomalies = RANKED.flatMap(({ table, columnScale }): readonly Entry[] => {
  const section = "Anomalies: every second normal row trains, the others and all anomalies are ranked";
  const ending = columnScale === "found" ? table : `${table}-${columnScale}`;
  return [
    {
      name: `flows-gaussian-${ending}`,
      section,
      measure: async () => {
        const [training, normal, unusual, width] = await scaled(table, columnScale);
        const gaussian = fitGaussian(training, width);
        return {
          data: table,
          model: "Gaussian, full covariance",
          scales: columnScale,
          split: "as above",
          seed: "0",
          ...ranking(
            gaussianLogProb(gaussian, [...normal]) as number[],
            gaussianLogProb(gaussian, [...unusual]) as number[],
          ),
        };
      },
    },
    ...ANOMALY_MODELS.map(
      (run): Entry => ({
        name: `flows-${run.model}-${ending}`,
        section,
        measure: () => {
          const options = { validation: 0.15, test: 0, columnScale, ...run.options };
          const name = `flows-${run.model}-${ending}`;
          return fitted({ ...run, name, data: half(table, "training"), options }, async (opened) => {
            const last = (await opened.loaded.folder.readMetrics()).at(-1);
            const [normal, unusual] = [
              await logLikelihoods(opened, half(table, "normal")),
              await logLikelihoods(opened, half(table, "anomalies")),
            ];
            return {
              data: table,
              model: run.model,
              scales: columnScale,
              split: "as above",
              seed: "0",
              steps: String(last?.step ?? 0),
              seconds: (last?.seconds ?? 0).toFixed(0),
              ...ranking(normal, unusual),
            };
          });
        },
      }),
    ),
  ];
});

// The plane: test log-likelihood beside that of the true density.

const PLANE_MODELS: readonly (Omit<Fitted, "name" | "data"> & { readonly title?: string })[] = [
  { model: "planar", seconds: 20 },
  { model: "radial", seconds: 20 },
  { model: "nice", seconds: 20 },
  { model: "real-nvp", seconds: 20 },
  { model: "glow", seconds: 20 },
  { model: "maf", seconds: 20 },
  { model: "iaf", seconds: 20 },
  { model: "spline-flow", seconds: 60 },
  { model: "flow-plus-plus", seconds: 20 },
  { model: "continuous-flow", seconds: 20 },
];

const plane = ["eight-gaussians", "two-moons", "rings"].flatMap((data): readonly Entry[] =>
  PLANE_MODELS.map((run): Entry => {
    const name = `flows-${run.model}-${data}`;
    return {
      name,
      section: "The plane: test log-likelihood in nats beside that of the true density",
      measure: () =>
        fitted({ ...run, name, data }, async (opened) => {
          const evaluation = await testOf(opened);
          const fitted = resultOf(evaluation, "log-likelihood");
          const truth = resultOf(evaluation, "log-likelihood of the true density");
          return {
            data,
            model: run.title ?? run.model,
            ...conditions(evaluation),
            nats: digitsOf(fitted),
            truth: digitsOf(truth),
            "short of it": digitsOf(truth - fitted),
          };
        }),
    };
  }),
);

export const flows: Suite = {
  file: "bench/ACCEPTANCE-FLOWS.md",
  title: "Acceptance runs of the flows",
  command: "npm run acceptance flows",
  introduction:
    "Weights are chosen by the validation split; numbers are of data that took no part in training or choosing. " +
    "Images are uniformly dequantized bytes. The pictures are in `runs/acceptance/*/samples`.",
  entries: [...digits, ...tables, ...anomalies, ...plane],
};
