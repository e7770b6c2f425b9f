import { Tensor } from "../../tensor/index.ts";

/**
 * What formulas over noise levels need of a number: `Tensor` has these operations, and `Real` gives them to float64
 * numbers. A formula that is written over a `Scalar` serves solvers, which want numbers, and losses, which want tensors.
 */
export interface Scalar<T> {
  add(other: T | number): T;
  sub(other: T | number): T;
  mul(other: T | number): T;
  div(other: T | number): T;
  neg(): T;
  square(): T;
  sqrt(): T;
  exp(): T;
  expm1(): T;
  log(): T;
  log1p(): T;
  sin(): T;
  atan(): T;
  pow(exponent: number): T;
  minimum(other: T): T;
  maximum(other: T): T;
}

const numberOf = (x: Real | number): number => (typeof x === "number" ? x : x.value);

/** A float64 number with the operations of a tensor. */
export class Real implements Scalar<Real> {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }

  add(other: Real | number): Real {
    return new Real(this.value + numberOf(other));
  }

  sub(other: Real | number): Real {
    return new Real(this.value - numberOf(other));
  }

  mul(other: Real | number): Real {
    return new Real(this.value * numberOf(other));
  }

  div(other: Real | number): Real {
    return new Real(this.value / numberOf(other));
  }

  neg(): Real {
    return new Real(-this.value);
  }

  square(): Real {
    return new Real(this.value * this.value);
  }

  sqrt(): Real {
    return new Real(Math.sqrt(this.value));
  }

  exp(): Real {
    return new Real(Math.exp(this.value));
  }

  expm1(): Real {
    return new Real(Math.expm1(this.value));
  }

  log(): Real {
    return new Real(Math.log(this.value));
  }

  log1p(): Real {
    return new Real(Math.log1p(this.value));
  }

  sin(): Real {
    return new Real(Math.sin(this.value));
  }

  atan(): Real {
    return new Real(Math.atan(this.value));
  }

  pow(exponent: number): Real {
    return new Real(this.value ** exponent);
  }

  minimum(other: Real): Real {
    return new Real(Math.min(this.value, other.value));
  }

  maximum(other: Real): Real {
    return new Real(Math.max(this.value, other.value));
  }
}

/** Quantities by name, all numbers or all tensors. */
export type Quantities<Name extends string, T> = Readonly<Record<Name, T>>;

/** A formula from quantities to quantities, over whatever has the operations of a number. */
export type Formula<In extends string, Out extends string, Rest extends readonly unknown[]> = <
  T extends Scalar<T>,
>(
  given: Quantities<In, T>,
  ...rest: Rest
) => Quantities<Out, T>;

/** The same formula for plain numbers and for tensors. */
export interface Dual<In extends string, Out extends string, Rest extends readonly unknown[]> {
  (given: Quantities<In, number>, ...rest: Rest): Quantities<Out, number>;
  (given: Quantities<In, Tensor>, ...rest: Rest): Quantities<Out, Tensor>;
}

/** Makes a formula callable with plain numbers (in float64) as well as with tensors. */
export function dual<In extends string, Out extends string, Rest extends readonly unknown[]>(
  names: readonly In[],
  formula: Formula<In, Out, Rest>,
): Dual<In, Out, Rest> {
  function apply(given: Quantities<In, number>, ...rest: Rest): Quantities<Out, number>;
  function apply(given: Quantities<In, Tensor>, ...rest: Rest): Quantities<Out, Tensor>;
  function apply(
    given: Quantities<In, number> | Quantities<In, Tensor>,
    ...rest: Rest
  ): Quantities<Out, number> | Quantities<Out, Tensor> {
    if (holdsTensors(names, given)) return formula(given, ...rest);
    const lifted = Object.fromEntries(names.map((name) => [name, new Real(given[name])]));
    const results = Object.entries<Real>(formula(lifted as Quantities<In, Real>, ...rest));
    return Object.fromEntries(results.map(([name, { value }]) => [name, value])) as Quantities<Out, number>;
  }
  return apply;
}

function holdsTensors<In extends string>(
  names: readonly In[],
  given: Quantities<In, number> | Quantities<In, Tensor>,
): given is Quantities<In, Tensor> {
  return names.some((name) => given[name] instanceof Tensor);
}
