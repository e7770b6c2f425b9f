import { arange, gather, type Tensor, where, whileLoop } from "../tensor/index.ts";

/** How noise and data of a batch are joined. */
export const COUPLINGS = ["independent", "optimal-transport"] as const;

export type Coupling = (typeof COUPLINGS)[number];

/** Passes over all pairs, and rounds at most; a pass has as many rounds as there are rows. */
const PASSES = 2;
const MOST_ROUNDS = 256;

/**
 * Noise in an order in which it lies closer to the data of a batch, [n, …]: minibatch optimal transport (Tong et al. 2023,
 * "Improving and generalizing flow-based generative models with minibatch optimal transport", section 3.2; Pooladian et al.
 * 2023, "Multisample flow matching"), here by exchanges. In round s the rows i and s − i (mod n) exchange their noise where
 * that shortens ‖x_i − ε_i‖² + ‖x_j − ε_j‖². Rounds go over all pairs, twice in batches of up to 128 rows and over a part of
 * them in batches of more than 256. What is left is a permutation, so the noise of the batch stays what it was; without a
 * pair to exchange no two straight lines cross, ⟨x_i − x_j, ε_i − ε_j⟩ ≥ 0.
 */
export function coupledNoise(data: Tensor, noise: Tensor): Tensor {
  const rows = Number(data.shape[0]);
  if (rows < 2) return noise;
  const flat = (x: Tensor): Tensor => x.reshape([rows, -1]);
  // ⟨x_i, ε_k⟩, [n · n]: all that exchanges depend on.
  const products = flat(data)
    .matmul(flat(noise).transpose())
    .reshape([rows * rows]);
  const own = arange(0, rows);
  const productOf = (data: Tensor, noise: Tensor): Tensor => gather(products, data.mul(rows).add(noise));
  const rounds = Math.min(PASSES * rows, MOST_ROUNDS);
  const [order = own] = whileLoop(
    [own],
    ([held = own], round) => {
      const rest = round.sub(own);
      // (round − i) modulo n.
      const partner = rest.sub(
        rest
          .cast("float32")
          .mul(1 / rows)
          .floor()
          .cast("int64")
          .mul(rows),
      );
      const other = gather(held, partner);
      // Sums of two commute, so that both rows of a pair decide alike.
      const after = productOf(own, other).add(productOf(partner, held));
      const before = productOf(own, held).add(productOf(partner, other));
      return { state: [where(after.greater(before), other, held)] };
    },
    { maximum: rounds },
  );
  return gather(noise, order);
}
