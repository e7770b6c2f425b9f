import { OptionError } from "../../errors.ts";
import { accuracyOf, checkClasses, type FeatureRows, type LabeledFeatures } from "./features.ts";
import { type LbfgsOptions, lbfgs } from "./lbfgs.ts";

/** A fitted multinomial logistic regression: softmax(x Wᵀ + b). */
export interface LogisticRegression {
  readonly classes: number;
  readonly size: number;
  /** [classes, size]. */
  readonly weights: Float64Array;
  /** [classes]. */
  readonly bias: Float64Array;
  /** The mean negative log-likelihood and the penalty. */
  readonly loss: number;
  readonly iterations: number;
  readonly converged: boolean;
}

export interface LogisticOptions extends LbfgsOptions {
  /** Number of classes; default: the largest of the rows, and 1. */
  readonly classes?: number | undefined;
  /** λ of the penalty λ/2 ‖W‖². scikit-learn's C is 1 / (λ n). */
  readonly l2: number;
  /** Where the search begins: a regression of the same shape. */
  readonly start?: LogisticRegression | undefined;
}

/** Logits of a block of rows; [rows, classes]. */
function logitsOf(
  rows: FeatureRows,
  first: number,
  count: number,
  parameters: Float64Array,
  classes: number,
  target: Float64Array,
): void {
  const { size, data } = rows;
  const biases = classes * size;
  for (let row = 0; row < count; row++) {
    const at = (first + row) * size;
    // Four classes at once read a row a quarter as often.
    for (let k = 0; k < classes; k += 4) {
      const [p0, p1, p2, p3] = [k, k + 1, k + 2, k + 3].map((c) => Math.min(c, classes - 1) * size) as [
        number,
        number,
        number,
        number,
      ];
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let i = 0; i < size; i++) {
        const value = data[at + i] ?? 0;
        s0 += value * (parameters[p0 + i] ?? 0);
        s1 += value * (parameters[p1 + i] ?? 0);
        s2 += value * (parameters[p2 + i] ?? 0);
        s3 += value * (parameters[p3 + i] ?? 0);
      }
      const sums = [s0, s1, s2, s3];
      for (let c = k; c < Math.min(k + 4, classes); c++) {
        target[row * classes + c] = (sums[c - k] ?? 0) + (parameters[biases + c] ?? 0);
      }
    }
  }
}

const BLOCK = 256;

/** Weights and biases one after the other; zeros where nothing is given. */
function startOf(start: LogisticRegression | undefined, length: number): Float64Array {
  const parameters = new Float64Array(length);
  if (start !== undefined) {
    parameters.set(start.weights);
    parameters.set(start.bias, start.weights.length);
  }
  return parameters;
}

/**
 * Multinomial logistic regression in float64, to convergence: the minimum over W and b of
 *
 *     1/n Σ −log softmax(W xᵢ + b)[yᵢ] + λ/2 ‖W‖²
 *
 * which for λ > 0 is one point but for a constant in b. It is scikit-learn's `LogisticRegression(C=1 / (λ n))`.
 * @throws OptionError where λ is not above 0, or all rows are of one class
 */
export function logisticRegression(
  rows: LabeledFeatures,
  { classes: given, l2, start, ...search }: LogisticOptions,
): LogisticRegression {
  const { count, size, data, labels } = rows;
  if (!(l2 > 0) || !Number.isFinite(l2))
    throw new OptionError(`logistic regression: l2 must be above 0, not ${l2}`);
  checkClasses(labels, "logistic regression");
  const most = labels.reduce((a, b) => Math.max(a, b), 0) + 1;
  const classes = given ?? most;
  if (classes < most)
    throw new OptionError(`logistic regression: class ${most - 1}, where there are ${classes}`);
  const biases = classes * size;
  const block = new Float64Array(BLOCK * classes);
  const minimum = lbfgs(
    (parameters, gradient) => {
      let loss = 0;
      gradient.fill(0);
      for (let first = 0; first < count; first += BLOCK) {
        const held = Math.min(BLOCK, count - first);
        logitsOf(rows, first, held, parameters, classes, block);
        for (let row = 0; row < held; row++) {
          const own = block.subarray(row * classes, (row + 1) * classes);
          const top = own.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
          let sum = 0;
          for (const logit of own) sum += Math.exp(logit - top);
          const label = labels[first + row] ?? 0;
          loss += (Math.log(sum) + top - (own[label] ?? 0)) / count;
          const at = (first + row) * size;
          for (let c = 0; c < classes; c++) {
            const error = (Math.exp((own[c] ?? 0) - top) / sum - (c === label ? 1 : 0)) / count;
            gradient[biases + c] = (gradient[biases + c] ?? 0) + error;
            const to = c * size;
            for (let i = 0; i < size; i++)
              gradient[to + i] = (gradient[to + i] ?? 0) + error * (data[at + i] ?? 0);
          }
        }
      }
      let squares = 0;
      for (let i = 0; i < biases; i++) {
        const weight = parameters[i] ?? 0;
        squares += weight * weight;
        gradient[i] = (gradient[i] ?? 0) + l2 * weight;
      }
      return loss + (l2 / 2) * squares;
    },
    startOf(start, biases + classes),
    search,
  );
  return {
    classes,
    size,
    weights: minimum.x.slice(0, biases),
    bias: minimum.x.slice(biases),
    loss: minimum.value,
    iterations: minimum.iterations,
    converged: minimum.converged,
  };
}

/** The most probable class of each row. */
export function predictLogistic(model: LogisticRegression, rows: FeatureRows): Uint32Array {
  const { classes, weights, bias } = model;
  const parameters = startOf(model, weights.length + bias.length);
  const predicted = new Uint32Array(rows.count);
  const block = new Float64Array(BLOCK * classes);
  for (let first = 0; first < rows.count; first += BLOCK) {
    const held = Math.min(BLOCK, rows.count - first);
    logitsOf(rows, first, held, parameters, classes, block);
    for (let row = 0; row < held; row++) {
      let best = 0;
      for (let c = 1; c < classes; c++) {
        if ((block[row * classes + c] ?? 0) > (block[row * classes + best] ?? 0)) best = c;
      }
      predicted[first + row] = best;
    }
  }
  return predicted;
}

/** Penalties that a probe chooses from, the strongest first: each search begins where the one before ended. */
export const L2_GRID = [1, 0.1, 0.01, 1e-3, 1e-4, 1e-5] as const;

/** A logistic regression whose penalty was chosen. */
export interface ChosenLogistic {
  readonly model: LogisticRegression;
  readonly l2: number;
  /** Accuracy on the validation rows. */
  readonly validation: number;
}

/** Largest entry of the gradient at which penalties are compared. */
const COARSE = 1e-3;

/**
 * The logistic regression of the penalty that is best on validation rows, of equally good ones the strongest, fitted to convergence.
 * @throws OptionError as `logisticRegression`
 */
export function chosenLogistic(
  training: LabeledFeatures,
  validation: LabeledFeatures,
  { classes, grid = L2_GRID }: { readonly classes: number; readonly grid?: readonly number[] },
): ChosenLogistic {
  let start: LogisticRegression | undefined;
  let best: ChosenLogistic | undefined;
  for (const l2 of grid) {
    start = logisticRegression(training, { classes, l2, start, tolerance: COARSE });
    const accuracy = accuracyOf(predictLogistic(start, validation), validation);
    if (best === undefined || accuracy > best.validation) best = { model: start, l2, validation: accuracy };
  }
  if (best === undefined) throw new OptionError("logistic regression: name at least one penalty");
  const { l2 } = best;
  const model = logisticRegression(training, { classes, l2, start: best.model, tolerance: 1e-5 });
  return { model, l2, validation: accuracyOf(predictLogistic(model, validation), validation) };
}
