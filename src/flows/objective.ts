import { z } from "zod";
import { energyNames } from "../data/energies.ts";
import { OptionError } from "../errors.ts";
import type { DataInfo } from "../nn/model.ts";
import { energyFunction } from "./energies.ts";
import type { FlowParts } from "./flow-model.ts";

/**
 * The option of flows that can be fitted in two ways. A flow that takes it needs transforms whose `inverse`, the way
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
export function energyOf({ objective }: ObjectiveOptions, data: DataInfo): Pick<FlowParts, "energy"> {
  if (objective === "maximum-likelihood") return {};
  if (data.energy === undefined) {
    throw new OptionError(
      `option objective: reverse-kl fits an energy, and this data has none; the data with one are ${energyNames.join(", ")}`,
    );
  }
  return { energy: energyFunction(data.energy) };
}
