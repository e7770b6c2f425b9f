import type { Tensor } from "../tensor/index.ts";

/**
 * How data turns to noise: x_t for every time t, with t = 0 data and t = 1 noise. Independent of what a network
 * predicts and of how samples are integrated.
 */
export interface Path {
  /**
   * The state at time t between data and noise.
   * @param t broadcastable to `data`: [n, 1, …]
   */
  state(data: Tensor, noise: Tensor, t: Tensor): Tensor;
  /** The time derivative of the state, which a velocity field is fitted to. */
  velocity(data: Tensor, noise: Tensor, t: Tensor): Tensor;
}

/**
 * The straight line x_t = (1 − t) x₀ + t ε, whose velocity ε − x₀ does not depend on the time.
 * Liu, Gong and Liu 2022, "Flow Straight and Fast", equation 1 (there with time running from noise to data).
 */
export const linearPath: Path = {
  state: (data, noise, t) => data.add(noise.sub(data).mul(t)),
  velocity: (data, noise) => noise.sub(data),
};
