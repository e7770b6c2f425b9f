import { matmul, type Tensor } from "../tensor/index.ts";

/** Distances of all pairs of rows, [n, d] and [m, d] → [n, m]. */
function distances(x: Tensor, y: Tensor): Tensor {
  const squares = (rows: Tensor): Tensor => rows.square().sum(1);
  const products = matmul(x, y, { transposeB: true });
  const squared = squares(x).unsqueeze(1).add(squares(y)).sub(products.mul(2));
  // Rounding may leave a hair below 0.
  return squared.maximum(0).sqrt();
}

/** Mean distance of two different rows of x, [n, d]. */
function meanWithin(x: Tensor): Tensor {
  const count = Number(x.shape[0]);
  return distances(x, x)
    .sum()
    .mul(1 / (count * (count - 1)));
}

/**
 * Squared energy distance between rows [n, d] of a model and rows [m, d] of data, 2 E|X − Y| − E|X − X′| − E|Y − Y′|
 * (Székely and Rizzo 2013, equation 5), without bias as long as n and m are at least 2. One row of data has no other to be
 * compared with: the model's rows then stand in, which is right where the two distributions are equal.
 */
export function symbolicEnergyDistance(model: Tensor, data: Tensor): Tensor {
  const own = meanWithin(model);
  const ofData = Number(data.shape[0]) > 1 ? meanWithin(data) : own;
  return distances(model, data).mean().mul(2).sub(own).sub(ofData);
}
