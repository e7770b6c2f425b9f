import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { openRun } from "../../src/index.ts";
import { startFit } from "../../src/tasks/fit/fit.node.ts";
import { type ProbeRow, probeRun } from "../../src/tasks/measure/probe.node.ts";
import { type Entry, type Row, type Suite, scale } from "./run.ts";

const PHOTOS = "../shared/data/cifar10";
const SUPERVISED = fileURLToPath(new URL("supervised.ts", import.meta.url));

/** An encoder that is fitted without labels, but for the last. */
interface Way {
  readonly name: string;
  readonly title: string;
  readonly model: string;
  readonly options?: Readonly<Record<string, unknown>>;
}

const infomax = (objective: "local" | "global", estimator: string, prior: boolean): Way => ({
  name: `dim-${objective}-${estimator}${prior ? "" : "-no-prior"}`,
  title: `DIM(${objective === "local" ? "L" : "G"}), ${estimator}${prior ? "" : ", without prior"}`,
  model: "deep-infomax",
  options: { objective, estimator, ...(!prior && { gamma: 0 }) },
});

const SIMCLR: Way = { name: "simclr", title: "SimCLR", model: "simclr" };
const VICREG: Way = { name: "vicreg", title: "VICReg", model: "vicreg" };
const AUTOENCODER: Way = {
  name: "autoencoder",
  title: "autoencoder",
  model: "autoencoder",
  options: { corrupt: "none" },
};
const VAE: Way = { name: "vae", title: "VAE, mean code", model: "vae" };
const LABELS: Way = {
  name: "supervised",
  title: "supervised, the same encoder",
  model: SUPERVISED,
  options: { classCount: 10 },
};

/** Data, and what is fitted to it. */
interface Setting {
  readonly name: string;
  readonly section: string;
  readonly data: string;
  readonly steps: number;
  readonly ways: readonly Way[];
}

const SETTINGS: readonly Setting[] = [
  {
    name: "digits",
    section: "Digits: 8,000 for training, accuracy on 1,000 of the test split",
    data: "digits",
    steps: 2500,
    ways: [
      AUTOENCODER,
      VAE,
      infomax("global", "infonce", true),
      ...["donsker-varadhan", "jensen-shannon", "infonce"].flatMap((estimator) => [
        infomax("local", estimator, true),
        infomax("local", estimator, false),
      ]),
      SIMCLR,
      VICREG,
      LABELS,
    ],
  },
  {
    name: "photos",
    section: "CIFAR-10: accuracy on 2,000 photographs of the test split",
    data: PHOTOS,
    steps: 2000,
    ways: [
      AUTOENCODER,
      VAE,
      infomax("global", "infonce", true),
      infomax("local", "infonce", true),
      infomax("local", "jensen-shannon", true),
      SIMCLR,
      LABELS,
    ],
  },
];

const percent = (share: number | undefined): string => (share === undefined ? "" : (100 * share).toFixed(1));

function rowOf(title: string, { size, linear, mlp, neighbors, few }: ProbeRow, more: Row): Row {
  const hundred = few.find(({ labels }) => labels === 100);
  return {
    features: title,
    numbers: String(size),
    ...more,
    linear: percent(linear?.accuracy),
    MLP: percent(mlp?.accuracy),
    "10 neighbors": percent(neighbors?.accuracy),
    "linear, 100 labels":
      hundred === undefined ? "" : `${percent(hundred.accuracy)} ± ${(100 * hundred.deviation).toFixed(1)}`,
  };
}

/** Fits afresh and probes the code; the first fit of a data set also gives the rows that stand beside all. */
async function measured(setting: Setting, way: Way, withReferences: boolean): Promise<readonly Row[]> {
  const name = `representation-${setting.name}-${way.name}`;
  const out = `runs/acceptance/${name}`;
  await rm(out, { recursive: true, force: true });
  const steps = Math.ceil(setting.steps * scale.value);
  process.stderr.write(`${name}: ${steps} steps\n`);
  const { seconds } = await startFit({
    model: way.model,
    data: setting.data,
    steps,
    seed: 0,
    out,
    ...way.options,
  });
  const run = await openRun(out, { trust: true });
  try {
    const { rows } = await probeRun(run.loaded, undefined, {
      labels: [100],
      references: withReferences ? ["untrained", "pca", "pixels"] : [],
    });
    const of = { steps: String(steps), seconds: seconds.toFixed(0) };
    return rows.map((row, i) => rowOf(i === 0 ? way.title : row.name, row, i === 0 ? of : {}));
  } finally {
    await run.release();
  }
}

export const representation: Suite = {
  file: "bench/ACCEPTANCE-REPRESENTATION.md",
  title: "Acceptance runs of representations",
  command: "npm run acceptance representation",
  introduction:
    "Encoders learn without labels, all of a section for the same number of steps, with seed 0 and the default options but for those named; the autoencoder has no corruption. " +
    "Then their codes are probed: logistic regression to convergence and an MLP on the codes of the training split, its penalty and step chosen on the validation split; the " +
    "classes of the ten nearest training samples; logistic regression on 100 labels, mean and deviation of ten draws. Accuracies are percent of the test split. The untrained encoder is the network of the first row " +
    "with the weights that it begins with; PCA-64 and raw samples need no encoder.",
  entries: SETTINGS.filter(({ data }) => data === "digits" || existsSync(data)).flatMap((setting) =>
    setting.ways.map(
      (way, i): Entry => ({
        name: `representation-${setting.name}-${way.name}`,
        section: setting.section,
        measure: () => measured(setting, way, i === 0),
      }),
    ),
  ),
};
