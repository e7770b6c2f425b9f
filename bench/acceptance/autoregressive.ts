import { existsSync } from "node:fs";
import { openData } from "../../src/data/index.node.ts";
import { range, type Split } from "../../src/data/sources/data-set.ts";
import { type BinaryRows, chowLiuLogLikelihood, independentLogLikelihood } from "./chow-liu.ts";
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

const SETS = "../shared/data/binary";
const nats = (value: number): string => value.toFixed(3);

/** The published figures of the data's own README, nats a sample. */
const PUBLISHED: Readonly<Record<string, string>> = {
  nltcs: "RAT-SPN −6.011, EiNet −6.015",
  plants: "RAT-SPN −13.44, EiNet −13.68",
  baudio: "RAT-SPN −39.96, EiNet −39.88",
  mushrooms: "MADE −9.68, NADE −9.81, EoNADE −9.68",
  dna: "MADE −83.63 (one mask), −79.66 (sampled masks), NADE −84.81, EoNADE −82.31",
};

type Options = Readonly<Record<string, unknown>>;

interface Trial {
  readonly title: string;
  readonly model: string;
  readonly seconds: number;
  readonly options?: Options;
  /** What one set has in place of these, where its validation split has preferred that. */
  readonly own?: Readonly<Record<string, Partial<Pick<Trial, "options" | "seconds">>>>;
}

const REGULARISED: Options = { dropout: 0.5, inputDropout: 0.2, learningRate: 3e-3 };
const SMALL_TRANSFORMER: Options = { width: 32, layers: 2, heads: 2, batchSize: 32, learningRate: 5e-3 };
const SAMPLED_MASKS: Options = { masks: 16, direct: true, learningRate: 5e-3 };

const MODELS: readonly Trial[] = [
  { title: "FVSBN", model: "fvsbn", seconds: 15 },
  { title: "NADE", model: "nade", seconds: 60, own: { dna: { options: REGULARISED } } },
  {
    title: "NADE, order-agnostic (EoNADE)",
    model: "nade",
    seconds: 60,
    options: { orders: "agnostic" },
    // Its validation loss was still falling after 60.
    own: { dna: { seconds: 120 } },
  },
  {
    title: "MADE, one mask",
    model: "made",
    seconds: 45,
    own: { dna: { options: { ...REGULARISED, direct: true } }, mushrooms: { options: { direct: true } } },
  },
  {
    title: "MADE, sampled masks",
    model: "made",
    seconds: 45,
    options: SAMPLED_MASKS,
    own: { dna: { options: { ...SAMPLED_MASKS, masks: 32, learningRate: 1e-2, inputDropout: 0.1 } } },
  },
  {
    title: "causal Transformer",
    model: "causal-transformer",
    seconds: 90,
    options: SMALL_TRANSFORMER,
    own: { dna: { options: { ...SMALL_TRANSFORMER, learningRate: 1e-2 } } },
  },
];

function rowsOf(split: Split): BinaryRows {
  const { x } = split.batch(range(0, split.count));
  return { values: x.data, count: split.count, width: x.data.length / split.count };
}

/** A table's row for a density that is fitted in closed form. */
async function baseline(
  set: string,
  title: string,
  logLikelihood: typeof chowLiuLogLikelihood,
): Promise<Row> {
  const { splits } = await openData(`${SETS}/${set}`, { binary: true });
  const value = logLikelihood(rowsOf(splits.train), rowsOf(splits.test));
  const fit = { seed: "", parameters: "", steps: "", seconds: "", validation: "" };
  return { model: title, options: "", split: "test", ...fit, nats: nats(value), published: "" };
}

const sets = Object.entries(PUBLISHED).flatMap(([set, published]): readonly Entry[] => {
  const section = `${set}: test log-likelihood in nats`;
  const closed = [
    ["independent variables", independentLogLikelihood],
    ["Chow–Liu tree", chowLiuLogLikelihood],
  ] as const;
  return [
    ...closed.map(([title, fit], i) => ({
      name: `autoregressive-${set}-closed-${i}`,
      section,
      measure: () => baseline(set, title, fit),
    })),
    ...MODELS.map(({ own, ...trial }): Entry => {
      const name = `autoregressive-${set}-${trial.title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
      return {
        name,
        section,
        measure: () => measured(name, `${SETS}/${set}`, { ...trial, ...own?.[set] }, { published }),
      };
    }),
  ];
});

/** Digits binarized by one fixed draw. */
const DIGITS: readonly Trial[] = [
  { title: "FVSBN", model: "fvsbn", seconds: 30 },
  { title: "NADE", model: "nade", seconds: 60 },
  { title: "MADE", model: "made", seconds: 60 },
  { title: "PixelCNN", model: "pixel-cnn", seconds: 100 },
  {
    title: "causal Transformer",
    model: "causal-transformer",
    seconds: 100,
    options: { ...SMALL_TRANSFORMER, batchSize: 16, window: 84 },
  },
];

const digits = DIGITS.map((trial): Entry => {
  const name = `autoregressive-digits-${trial.model}`;
  const options = { binary: true, binarize: "stochastic", ...trial.options };
  return {
    name,
    section: "Binarized digits: test log-likelihood in nats an image",
    measure: () => measured(name, "digits", { ...trial, options }, {}),
  };
});

/** Options in words, but for those that every row shares. */
function told(options: Options = {}): string {
  return Object.entries(options)
    .filter(([key]) => key !== "binary" && key !== "binarise")
    .map(([key, value]) => (value === true ? key : `${key} ${value}`))
    .join(", ");
}

async function measured(name: string, data: string, trial: Trial, more: Row): Promise<Row> {
  const { title, model, seconds, options } = trial;
  const run: Fitted = { name, model, data, seconds, ...(options && { options }) };
  return fitted(run, async (opened) => {
    const evaluation = await testOf(opened);
    const validated = (await opened.loaded.folder.readMetrics()).map(
      ({ validationLoss }) => validationLoss ?? Infinity,
    );
    return {
      model: title,
      options: told(options),
      ...conditions(evaluation),
      validation: nats(-Math.min(...validated)),
      nats: nats(resultOf(evaluation, "log-likelihood")),
      ...more,
    };
  });
}

export const autoregressive: Suite = {
  file: "bench/ACCEPTANCE-AUTOREGRESSIVE.md",
  title: "Acceptance runs of the autoregressive models",
  command: "npm run acceptance autoregressive",
  introduction:
    "Options are the defaults but for those named; where they differ between sets, and weights always, they were chosen by " +
    "the validation split (its best value is the column `validation`, in nats as trained: for order-agnostic NADE the mean " +
    "over orders, not their mixture); " +
    "numbers are of the test split, whole. Digits are the 10,000 of the package `mnist`, split 8,000 / 1,000 / 1,000, " +
    "each pixel one where a uniform number of seed 0 lies below its grey value (one fixed draw for all epochs and " +
    "splits). The published figures are those of the README beside the data, of other implementations on the same splits.",
  entries: existsSync(SETS) ? [...sets, ...digits] : digits,
};
