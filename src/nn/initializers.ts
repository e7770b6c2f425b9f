import type { Initializer } from "../tensor/leaves.ts";

// Starting values of parameters, with PyTorch's names and conventions: weights are [out, in, …kernel].

/** All zeros. */
export const zeros: Initializer = (target) => {
  target.fill(0);
};

/** All ones. */
export const ones: Initializer = (target) => {
  target.fill(1);
};

/** One number everywhere. */
export function constant(value: number): Initializer {
  return (target) => {
    target.fill(value);
  };
}

/** Uniform on [−bound, bound). */
export function uniform(bound: number): Initializer {
  return (target, _shape, random) => {
    for (let i = 0; i < target.length; i++) target[i] = bound * (2 * random.uniform() - 1);
  };
}

/** Normal with mean 0. */
export function normal(deviation = 1): Initializer {
  return (target, _shape, random) => {
    for (let i = 0; i < target.length; i++) target[i] = deviation * random.normal();
  };
}

/** Numbers of inputs and outputs that a weight of shape [out, in, …kernel] connects at each location. */
export function fans(shape: readonly number[]): { readonly fanIn: number; readonly fanOut: number } {
  const [out = 1, inputs = 1, ...kernel] = shape;
  const area = kernel.reduce((a, b) => a * b, 1);
  return { fanIn: inputs * area, fanOut: out * area };
}

/**
 * He et al. 2015 ("Delving deep into rectifiers"), eq. 14, for leaky rectifiers of slope a: uniform with bound
 * √(6 / ((1 + a²) · fanIn)). PyTorch's linear and convolution layers start with a = √5, that is bound 1/√fanIn.
 */
export function kaimingUniform(a = Math.sqrt(5)): Initializer {
  return (target, shape, random) =>
    uniform(Math.sqrt(6 / ((1 + a * a) * Math.max(1, fans(shape).fanIn))))(target, shape, random);
}

/** He et al. 2015, eq. 10: normal with deviation √(2 / ((1 + a²) · fanIn)). */
export function kaimingNormal(a = 0): Initializer {
  return (target, shape, random) =>
    normal(Math.sqrt(2 / ((1 + a * a) * Math.max(1, fans(shape).fanIn))))(target, shape, random);
}

/** Glorot and Bengio 2010, eq. 16: uniform with bound gain · √(6 / (fanIn + fanOut)). */
export function xavierUniform(gain = 1): Initializer {
  return (target, shape, random) => {
    const { fanIn, fanOut } = fans(shape);
    uniform(gain * Math.sqrt(6 / (fanIn + fanOut)))(target, shape, random);
  };
}

/** Glorot and Bengio 2010: normal with deviation gain · √(2 / (fanIn + fanOut)). */
export function xavierNormal(gain = 1): Initializer {
  return (target, shape, random) => {
    const { fanIn, fanOut } = fans(shape);
    normal(gain * Math.sqrt(2 / (fanIn + fanOut)))(target, shape, random);
  };
}

/** PyTorch's bias of a linear or convolution layer: uniform with bound 1/√fanIn of the weight it belongs to. */
export function biasOf(weightShape: readonly number[]): Initializer {
  const { fanIn } = fans(weightShape);
  return fanIn > 0 ? uniform(1 / Math.sqrt(fanIn)) : zeros;
}

/**
 * Saxe et al. 2014: a random orthogonal matrix times `gain`. A weight [out, in, …kernel] is seen as out rows; the rows
 * are orthonormal where out ≤ in · kernel, otherwise the columns are.
 */
export function orthogonal(gain = 1): Initializer {
  return (target, shape, random) => {
    const rows = shape[0] ?? 1;
    const columns = target.length / rows;
    const wide = rows <= columns;
    const count = wide ? rows : columns;
    const length = wide ? columns : rows;
    const basis: Float64Array[] = [];
    for (let i = 0; i < count; i++) {
      const vector = new Float64Array(length);
      random.fillNormal(vector);
      // Twice is enough for orthogonality to rounding (Kahan).
      for (let pass = 0; pass < 2; pass++) {
        for (const other of basis) subtractProjection(vector, other);
      }
      const norm = Math.hypot(...vector);
      basis.push(vector.map((value) => value / norm));
    }
    basis.forEach((vector, i) => {
      vector.forEach((value, j) => {
        target[wide ? i * columns + j : j * columns + i] = gain * value;
      });
    });
  };
}

function subtractProjection(vector: Float64Array, unit: Float64Array): void {
  let product = 0;
  for (let i = 0; i < vector.length; i++) product += (vector[i] ?? 0) * (unit[i] ?? 0);
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) - product * (unit[i] ?? 0);
}
