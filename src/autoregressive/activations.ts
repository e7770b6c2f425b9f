import type { Activation } from "../nn/mlp.ts";

/** Functions between the layers of this room's perceptrons, by name. */
export const ACTIVATIONS = {
  relu: (x) => x.relu(),
  sigmoid: (x) => x.sigmoid(),
  tanh: (x) => x.tanh(),
  silu: (x) => x.silu(),
} as const satisfies Record<string, Activation>;

export const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as [keyof typeof ACTIVATIONS];
