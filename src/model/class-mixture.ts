import { constant, type Dim, int64, stack, type Tensor } from "../tensor/index.ts";
import { classShares, type DataInfo } from "./data-info.ts";

/**
 * log Σ_k share_k p(x | k) inside a graph: the log-density of samples of any class, [rows], by the shares of the classes.
 * @param logProb log p(x | label) of classes [rows]
 */
export function classMixture(data: DataInfo, rows: Dim, logProb: (label: Tensor) => Tensor): Tensor {
  const terms = classShares(data).flatMap((share, k) =>
    share === 0 ? [] : [logProb(constant(int64([k], [1])).broadcastTo([rows])).add(Math.log(share))],
  );
  return stack(terms, 1).logSumExp(1);
}
