import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { openData } from "../../src/data/index.node.ts";
import type { SplitName } from "../../src/data/sources/data-set.ts";
import { type Evaluation, fitToPairs, openRun, type Run } from "../../src/index.ts";
import { Random } from "../../src/random.ts";
import { frechetToTest, samplerCells, scaledCount } from "./frechet-cells.ts";
import { conditions, type Entry, type Fitted, fitted, type Row, resultOf, type Suite, scale } from "./run.ts";

/** Images whose likelihood is measured: as many as are scored at once. */
const SCORED = 256;
/** Paths whose straightness is measured. */
const PATHS = 64;
const PAIRS = 4000;

// The networks, one for each path, that all tables of digits share.

const DDPM: Fitted = { name: "diffusion-ddpm-digits", model: "ddpm", data: "digits", seconds: 360 };
const SDE: Fitted = { name: "diffusion-score-sde-digits", model: "score-sde", data: "digits", seconds: 210 };
const FLOW: Fitted = {
  name: "diffusion-rectified-flow-digits",
  model: "rectified-flow",
  data: "digits",
  seconds: 240,
  options: { dequantize: true },
};
const REFLOW: Fitted = { ...FLOW, name: "diffusion-reflow-digits", seconds: 140 };

const folderOf = ({ name }: Fitted): string => `runs/acceptance/${name}`;

/** Runs that this call has fitted, or failed to. */
const tried = new Set<Fitted>();

/** Fits afresh, once a call. */
async function fittedOnce<T>(run: Fitted, measure: (opened: Run) => Promise<T>): Promise<T> {
  if (tried.has(run)) throw new Error(`${run.name} could not be fitted`);
  tried.add(run);
  if (run !== REFLOW) return fitted(run, measure);
  if (!isFinished(FLOW)) await fittedOnce(FLOW, async () => undefined);
  await reflow();
  return measureOpened(run, measure);
}

/** A fit writes its report last. */
const isFinished = (run: Fitted): boolean => existsSync(`${folderOf(run)}/report.html`);

/** Measures a finished fit, of this call or an earlier one, or a new one where there is none. */
function opened<T>(run: Fitted, measure: (opened: Run) => Promise<T>): Promise<T> {
  return isFinished(run) ? measureOpened(run, measure) : fittedOnce(run, measure);
}

async function measureOpened<T>(run: Fitted, measure: (opened: Run) => Promise<T>): Promise<T> {
  const open = await openRun(folderOf(run));
  try {
    return await measure(open);
  } finally {
    await open.release();
  }
}

/** Rectifies the flow once more. */
async function reflow(): Promise<void> {
  const out = folderOf(REFLOW);
  await rm(out, { recursive: true, force: true });
  process.stderr.write(`${REFLOW.name}: pairs, then ${REFLOW.seconds * scale.value} seconds\n`);
  await fitToPairs({
    kind: "reflow",
    run: folderOf(FLOW),
    pairs: { count: scaledCount(PAIRS, 128), steps: 16 },
    fit: { seconds: REFLOW.seconds * scale.value, seed: 0, out },
  });
}

/** What a row tells of the training of a run that is measured without `evaluate`. */
async function training({ loaded: { folder }, config }: Run): Promise<Row> {
  const last = (await folder.readMetrics()).at(-1);
  return {
    split: "test",
    seed: String(config.fit.seed),
    steps: String(last?.step ?? 0),
    seconds: (last?.seconds ?? 0).toFixed(0),
  };
}

// Likelihood: the fits, and what they say of test digits.

const bits = (value: number): string => value.toFixed(3);
const BOUND_PART = "of the bound, ";

function boundParts({ results }: Evaluation): string {
  return results
    .filter(({ name }) => name.startsWith(BOUND_PART))
    .map(({ name, value }) => `${name.slice(BOUND_PART.length)} ${bits(value)}`)
    .join(", ");
}

const likelihoods = [DDPM, SDE, FLOW].map(
  (run): Entry => ({
    name: run.name,
    section: "Digits: bits per dimension of test images",
    measure: () =>
      fittedOnce(run, async (open) => {
        const evaluation = await open.evaluate({ split: "test", slowScores: SCORED });
        const name = "bits per dimension";
        return {
          model: run === SDE ? "score-sde, vp" : run.model,
          ...conditions(evaluation),
          images: String(evaluation.results.find((result) => result.name === name)?.samples ?? 0),
          "bits/dim": `≤ ${bits(resultOf(evaluation, name))}`,
          by: evaluation.likelihoodDetail ?? "",
          parts: boundParts(evaluation),
        };
      }),
  }),
);

// Samples: Fréchet distances to the test split.

const floor = (["validation", "train"] as const).map(
  (split: SplitName): Entry => ({
    name: `diffusion-frechet-real-${split}`,
    section:
      "Digits: Fréchet distance of real images to the test split, which samples cannot be expected to beat",
    measure: async () => {
      const { splits } = await openData("digits");
      const count = Math.min(scaledCount(), splits[split].count);
      // Splits may stand in the order of classes.
      const { x } = splits[split].batch(new Random(0).permutation(splits[split].count).subarray(0, count));
      return { images: split, count: String(count), Fréchet: (await frechetToTest(x)).toFixed(2) };
    },
  }),
);

interface SamplerTrial {
  readonly title: string;
  readonly solver: string;
  /** Network evaluations of n steps. */
  readonly evaluations: string;
  readonly steps: readonly number[];
}

function samplerRows(run: Fitted, section: string, trials: readonly SamplerTrial[]): readonly Entry[] {
  return trials.map(({ title, solver, evaluations, steps }) => ({
    name: `diffusion-frechet-${run.model}-${solver}`,
    section,
    measure: () =>
      opened(run, async (open) => ({
        sampler: title,
        "evaluations of n steps": evaluations,
        ...(await training(open)),
        samples: String(scaledCount()),
        ...(await samplerCells(open, solver, steps)),
      })),
  }));
}

const FEW = [1, 2, 5, 10, 20];
const MANY = [...FEW, 50, 100];

const chain = samplerRows(DDPM, "DDPM on digits: Fréchet distance by sampler and steps", [
  { title: "DDPM, ancestral", solver: "ddpm", evaluations: "n", steps: [...MANY, 1000] },
  { title: "DDIM, η = 0", solver: "ddim", evaluations: "n", steps: MANY },
  { title: "DPM-Solver++(2M)", solver: "dpm++", evaluations: "n", steps: MANY },
]);

const equation = samplerRows(SDE, "VP-SDE on digits: Fréchet distance by sampler and steps", [
  { title: "Euler–Maruyama, reverse SDE", solver: "euler-maruyama", evaluations: "n", steps: MANY },
  {
    title: "predictor–corrector",
    solver: "predictor-corrector",
    evaluations: "2n − 1",
    steps: FEW,
  },
  { title: "Heun, probability flow", solver: "heun", evaluations: "2n − 1", steps: FEW },
  { title: "DPM-Solver++(2M)", solver: "dpm++", evaluations: "n", steps: FEW },
]);

const straightening = [FLOW, REFLOW].map(
  (run): Entry => ({
    name: run === FLOW ? "diffusion-straightness-flow" : "diffusion-straightness-reflow",
    section: `Rectified flow and reflow on digits: straightness of ${PATHS} paths, and Fréchet distance by steps of Euler's method`,
    // A reflow belongs to the flow that its pairs were drawn from.
    measure: () =>
      (run === REFLOW ? fittedOnce : opened)(run, async (open) => {
        const { model, session } = open.loaded;
        const measures = await model.straightness?.(session, { count: PATHS, seed: 0 });
        return {
          model: run === FLOW ? "rectified flow" : "reflow",
          ...(await training(open)),
          samples: String(scaledCount()),
          straightness: measures?.straightness.toFixed(1) ?? "",
          "transport cost": measures?.transportCost.toFixed(1) ?? "",
          ...(await samplerCells(open, "euler", [1, 2, 5, 10, 20, 50])),
        };
      }),
  }),
);

// The plane: test log-likelihood beside that of the true density.

const PLANE: readonly (Omit<Fitted, "name" | "data" | "seconds"> & { readonly title: string })[] = [
  { title: "ddpm", model: "ddpm" },
  { title: "score-sde, vp", model: "score-sde" },
  { title: "score-sde, ve", model: "score-sde", options: { path: "ve" } },
  { title: "edm", model: "edm" },
  { title: "rectified-flow", model: "rectified-flow" },
];

const plane = PLANE.map(({ title, ...run }): Entry => {
  const name = `diffusion-two-moons-${title.replaceAll(/[^a-z]+/g, "-")}`;
  return {
    name,
    section: "two-moons: test log-likelihood in nats beside that of the true density",
    measure: () =>
      fitted({ ...run, name, data: "two-moons", seconds: 15 }, async (open) => {
        const evaluation = await open.evaluate({ split: "test", slowScores: 1000 });
        const [nats, truth] = [
          resultOf(evaluation, "log-likelihood"),
          resultOf(evaluation, "log-likelihood of the true density"),
        ];
        return {
          model: title,
          ...conditions(evaluation),
          nats: evaluation.likelihood?.kind === "bound" ? `≥ ${bits(nats)}` : bits(nats),
          truth: bits(truth),
          "short of it": bits(truth - nats),
        };
      }),
  };
});

export const diffusion: Suite = {
  file: "bench/ACCEPTANCE-DIFFUSION.md",
  title: "Acceptance runs of the diffusion models",
  command: "npm run acceptance diffusion",
  introduction:
    "Weights are chosen by the validation split; numbers are of the test split. Networks are the default ones, with seed 0; one is " +
    "trained for each path, and all samplers of a table share it (`steps` and `seconds` are of that training). " +
    "Fréchet distances are squared, in the features of the classifier that `eidos eval` uses, between as many drawn digits as `samples` says and " +
    "the 1,000 of the test split, the same for all cells; samples are rounded to bytes and drawn with seed 0 from the same noise, their classes " +
    "by their shares in the training split, without guidance. A cell has the distance and the seconds that its samples took. " +
    "Bits per dimension are of images spread evenly over the test split; those by the probability flow are of uniformly dequantized bytes, and " +
    "score-sde and the rectified flow were trained on such. " +
    `The reflow is of ${PAIRS} pairs, drawn by Heun's method with 16 steps; it begins with the weights of the flow. ` +
    "Of the plane, log-likelihoods are of 1,000 test points and the true density of all.",
  entries: [...likelihoods, ...floor, ...chain, ...equation, ...straightening, ...plane],
};
