import { OptionError } from "../errors.ts";
import type { Trainable } from "../model/capabilities.ts";
import { type Module, namedTensors } from "../nn/module.ts";
import { Parameter } from "../tensor/leaves.ts";

/** The share of the learning rate with which each parameter of a model is trained; 0: it is frozen. */
export type Rates = ReadonlyMap<Parameter, number>;

/**
 * The shares of all parameters of a model, in the order of fields.
 * @throws OptionError naming a parameter whose share is negative or not finite
 */
export function ratesOf(model: Module & Pick<Trainable, "rateOf">): Rates {
  const rates = new Map<Parameter, number>();
  for (const [name, tensor] of namedTensors(model)) {
    if (!(tensor instanceof Parameter)) continue;
    const rate = model.rateOf?.(name) ?? 1;
    if (!Number.isFinite(rate) || rate < 0) {
      throw new OptionError(
        `the model trains ${name} at ${rate} times the learning rate; give a finite number of at least 0 (0 freezes it)`,
      );
    }
    rates.set(tensor, rate);
  }
  return rates;
}

/** The parameters that are trained, in the same order. */
export function trainedOf(rates: Rates): readonly Parameter[] {
  return [...rates].filter(([, rate]) => rate > 0).map(([parameter]) => parameter);
}

/** The parameters that stay as they are, in the same order. */
export function frozenOf(rates: Rates): readonly Parameter[] {
  return [...rates].filter(([, rate]) => rate === 0).map(([parameter]) => parameter);
}
