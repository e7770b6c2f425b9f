import { append } from "../../append.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import type { Runtime } from "../../program/runtime.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";
import {
  accuracyOf,
  checkClasses,
  featureRows,
  type LabeledFeatures,
  pickRows,
  standardizationOf,
  withLabels,
} from "./features.ts";
import { chosenLogistic, logisticRegression, predictLogistic } from "./logistic.ts";
import { predictMlp } from "./mlp.ts";
import { predictNeighbors } from "./neighbors.ts";
import { type ProbeOptions, probeOptions } from "./options.ts";

/** Features of a split's samples, [n, …], and the class of each. */
export interface FeatureSplit {
  readonly features: NdArray<"float32">;
  readonly labels: ArrayLike<number>;
}

/** Features of all splits. */
export type FeatureSplits = Readonly<Record<"train" | "validation" | "test", FeatureSplit>>;

/** How well few labels serve. */
export interface FewLabels {
  readonly labels: number;
  readonly draws: number;
  /** Mean accuracy on test rows, and its deviation over draws; 0 of one draw. */
  readonly accuracy: number;
  readonly deviation: number;
}

/** What features are worth: shares of test rows whose class is found. */
export interface Probed {
  /** Numbers of a sample, and those of them that are the same in all training rows, which are left out. */
  readonly size: number;
  readonly constant: number;
  readonly linear?: {
    readonly accuracy: number;
    readonly validation: number;
    /** The penalty that was best on validation rows. */
    readonly l2: number;
    /** Whether the search for the minimum ended at it. */
    readonly converged: boolean;
  };
  readonly mlp?: { readonly accuracy: number };
  readonly neighbors?: { readonly accuracy: number; readonly k: number };
  readonly few: readonly FewLabels[];
  /** Few labels that were asked for and left out: they are more than there are training rows. */
  readonly tooMany: readonly number[];
}

/** What may be watched while features are probed. */
export interface ProbeWatch {
  readonly signal?: AbortSignal | undefined;
  /** What is done next, and the share of the work before it. */
  onProgress?(what: string, share: number): void;
}

/**
 * Probes of features whose classes are known. Columns are standardized by the training rows. What is chosen (the penalty of the linear probe, the step of
 * the MLP) is chosen on validation rows, and accuracies are of test rows.
 *
 *     const { linear, few } = await probeFeatures({ train, validation, test }, { labels: [100] }, await nodeRuntime());
 *
 * @throws OptionError where a split is empty, rows are all of one class, no column varies, a value is not finite, or there are fewer training rows than
 * neighbors or few labels
 */
export async function probeFeatures(
  splits: FeatureSplits,
  options: ProbeOptions,
  runtime: Runtime,
  { signal, onProgress }: ProbeWatch = {},
): Promise<Probed> {
  const {
    probes,
    labels: few,
    draws,
    neighbors,
    hidden,
    steps,
    seed,
  } = parseOptions("probe", probeOptions, options);
  const all = (["train", "validation", "test"] as const).map((name) => {
    const what = `probe, ${name} split`;
    return withLabels(featureRows(splits[name].features, what), splits[name].labels, what);
  });
  const standardized = standardizationOf(all[0] as LabeledFeatures, "probe");
  const [train, validation, test] = all.map((rows) => standardized.apply(rows)) as [
    LabeledFeatures,
    LabeledFeatures,
    LabeledFeatures,
  ];
  checkClasses(train.labels, "probe, train split");
  const classes = 1 + Math.max(...all.map(({ labels }) => labels.reduce((a, b) => Math.max(a, b), 0)));
  if (probes.includes("neighbors") && neighbors > train.count) {
    throw new OptionError(
      `option neighbors: ${neighbors}, and there are ${train.count} training rows; ask for fewer`,
    );
  }
  const possible = few.filter((count) => count <= train.count);
  const parts = probes.length + possible.length;
  let done = 0;
  const next = (what: string): void => {
    signal?.throwIfAborted();
    onProgress?.(what, done++ / parts);
  };
  let linear: Probed["linear"];
  if (probes.includes("linear")) {
    next("linear probe");
    const { model, l2, validation: chosen } = chosenLogistic(train, validation, { classes });
    const accuracy = accuracyOf(predictLogistic(model, test), test);
    linear = { accuracy, validation: chosen, l2, converged: model.converged };
  }
  let mlp: Probed["mlp"];
  if (probes.includes("mlp")) {
    next("mlp");
    const [predicted = []] = await predictMlp(
      train,
      validation,
      [test],
      { classes, hidden, steps, seed, signal },
      runtime,
    );
    mlp = { accuracy: accuracyOf(predicted, test) };
  }
  let nearest: Probed["neighbors"];
  if (probes.includes("neighbors")) {
    next("nearest neighbors");
    nearest = { accuracy: accuracyOf(predictNeighbors(train, test, neighbors), test), k: neighbors };
  }
  const curve: FewLabels[] = [];
  for (const count of possible) {
    next(`${count} labels`);
    curve.push(fewLabels({ train, validation, test }, { classes, count, draws, seed }));
  }
  return {
    size: all[0]?.size ?? 0,
    constant: standardized.constant,
    ...(linear && { linear }),
    ...(mlp && { mlp }),
    ...(nearest && { neighbors: nearest }),
    few: curve,
    tooMany: few.filter((count) => count > train.count),
  };
}

/**
 * The linear probe of so many training rows, drawn several times. The penalty is that which is best on validation rows for the first draw.
 */
function fewLabels(
  { train, validation, test }: Readonly<Record<"train" | "validation" | "test", LabeledFeatures>>,
  {
    classes,
    count,
    draws,
    seed,
  }: { readonly classes: number; readonly count: number; readonly draws: number; readonly seed: number },
): FewLabels {
  const random = new Random(seed).split("labels").split(count);
  const accuracies: number[] = [];
  let l2: number | undefined;
  for (let draw = 0; draw < draws; draw++) {
    const some = pickRows(train, drawRows(train.labels, count, random.split(draw)));
    l2 ??= chosenLogistic(some, validation, { classes }).l2;
    const model = logisticRegression(some, { classes, l2, tolerance: 1e-5 });
    accuracies.push(accuracyOf(predictLogistic(model, test), test));
  }
  const mean = accuracies.reduce((a, b) => a + b, 0) / draws;
  const squares = accuracies.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    labels: count,
    draws,
    accuracy: mean,
    deviation: draws > 1 ? Math.sqrt(squares / (draws - 1)) : 0,
  };
}

/**
 * Positions of `count` rows at random, with every class among them where there are as many rows as classes, and equally many of each as far as they go.
 */
export function drawRows(labels: ArrayLike<number>, count: number, random: Random): readonly number[] {
  const ofClass = new Map<number, number[]>();
  for (const position of random.permutation(labels.length)) {
    const label = labels[position] ?? 0;
    append(ofClass, label, position);
  }
  const drawn: number[] = [];
  for (let turn = 0; drawn.length < count; turn++) {
    const before = drawn.length;
    for (const rows of ofClass.values()) {
      const position = rows[turn];
      if (position !== undefined && drawn.length < count) drawn.push(position);
    }
    if (drawn.length === before) {
      throw new OptionError(`few labels: ${count} rows are asked for, and there are ${labels.length}`);
    }
  }
  return drawn;
}
