import { z } from "zod";
import {
  type EnergyName,
  energyDensity,
  energyNames,
  isEnergyName,
  WALL,
} from "../../data/sources/energies.ts";
import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { slice, type Tensor } from "../../tensor/index.ts";

/** An energy of samples, for a flow that is fitted to the density exp(−energy) / Z. */
export interface Energy {
  /** [n, …sample] → [n]. */
  of(x: Tensor): Tensor;
  /** log Z, where it is known. */
  readonly logNormalizer?: number;
}

/** ½ ((x − center) / deviation)² */
const bump = (x: Tensor, center: number | Tensor, deviation: number): Tensor =>
  x
    .sub(center)
    .mul(Math.SQRT1_2 / deviation)
    .square();

/** −log(exp(−a) + exp(−b)) */
const merged = (a: Tensor, b: Tensor): Tensor => a.sub(a.sub(b).softplus());

const wall = (x: Tensor): Tensor =>
  x
    .abs()
    .sub(WALL.from)
    .relu()
    .mul(Math.SQRT1_2 / WALL.deviation)
    .square();

const wave = (x: Tensor): Tensor => x.mul(Math.PI / 2).sin();
const arch = (x: Tensor): Tensor => bump(x, 1, 0.6).neg().exp().mul(3);
const ramp = (x: Tensor): Tensor =>
  x
    .sub(1)
    .mul(1 / 0.3)
    .sigmoid()
    .mul(3);

/** Energies of the coordinates x and y, each [n]. */
const energies: Readonly<Record<EnergyName, (x: Tensor, y: Tensor) => Tensor>> = {
  "energy-u1": (x, y) => {
    const radius = x.square().add(y.square()).add(1e-12).sqrt();
    return bump(radius, 2, 0.4).add(merged(bump(x, 2, 0.6), bump(x, -2, 0.6)));
  },
  "energy-u2": (x, y) => wall(x).add(bump(y, wave(x), 0.4)),
  "energy-u3": (x, y) => {
    const height = wave(x);
    return wall(x).add(merged(bump(y, height, 0.35), bump(y, height.sub(arch(x)), 0.35)));
  },
  "energy-u4": (x, y) => {
    const height = wave(x);
    return wall(x).add(merged(bump(y, height, 0.4), bump(y, height.sub(ramp(x)), 0.35)));
  },
};

/**
 * One of the four energies U1 … U4 of Rezende and Mohamed 2015, table 1, as a function of points [n, 2]. U2, U3 and U4
 * have the soft wall of `energyDensity`, without which exp(−U) has no integral.
 * @throws OptionError for an unknown name
 */
export function energyFunction(name: string): Energy {
  if (!isEnergyName(name)) {
    throw new OptionError(
      `there is no energy called ${name} (energies: ${Object.keys(energies).join(", ")})`,
    );
  }
  const energy = energies[name];
  return {
    of: (x) => energy(slice(x, 1, 0, 1).squeeze(1), slice(x, 1, 1, 2).squeeze(1)),
    logNormalizer: energyDensity(name).logNormalizer,
  };
}

/**
 * The option of flows that can be fitted in two ways. A flow that takes it needs transforms whose `inverse`, the direction
 * from the base to data, can be differentiated: it is what reverse-kl trains.
 */
export const objectiveOptions = z.strictObject({
  objective: z
    .enum(["maximum-likelihood", "reverse-kl"])
    .default("maximum-likelihood")
    .describe(
      "fit samples, or, as a variational posterior, the energy that the data is known by (energy-u1 … energy-u4)",
    ),
});

export type ObjectiveOptions = z.output<typeof objectiveOptions>;

/**
 * What the objective adds to the parts of a flow: for reverse-kl, the energy of the data.
 * @throws OptionError where the data has no energy
 */
export function energyOf({ objective }: ObjectiveOptions, data: DataInfo): { readonly energy?: Energy } {
  if (objective === "maximum-likelihood") return {};
  if (data.energy === undefined) {
    throw new OptionError(
      `option objective: reverse-kl fits an energy, and this data has none; the data with one are ${energyNames.join(", ")}`,
    );
  }
  return { energy: energyFunction(data.energy) };
}
