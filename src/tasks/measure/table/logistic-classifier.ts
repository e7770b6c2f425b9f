import type { TableClassifier } from "../../../metrics/index.ts";
import { logisticRegression, withLabels } from "../../../representation/probe/index.ts";

/**
 * Logistic regression to convergence on standardized numbers and one-hot levels, of the penalty that scikit-learn has by default: what SDMetrics'
 * `LogisticDetection` looks with. It sees means and shares, no shapes and no pairs.
 */
export const logisticTableClassifier: TableClassifier = {
  design: "linear",
  fit(rows, labels) {
    // The penalty of two classes' weights, ±w/2 each, is half of that of one w.
    const { weights, bias, size } = logisticRegression(withLabels(rows, labels), {
      classes: 2,
      l2: 2 / rows.count,
      tolerance: 1e-8,
    });
    return ({ count, data }) =>
      Float64Array.from({ length: count }, (_, row) => {
        let odds = (bias[1] ?? 0) - (bias[0] ?? 0);
        for (let k = 0; k < size; k++)
          odds += ((weights[size + k] ?? 0) - (weights[k] ?? 0)) * (data[row * size + k] ?? 0);
        return odds;
      });
  },
};
