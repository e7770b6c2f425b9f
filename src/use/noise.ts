import { OptionError } from "../errors.ts";
import type { ExportedPort } from "../model/exported.ts";
import { Random } from "../random.ts";
import { sizeOf, type Values, valuesOf } from "./tensors.ts";

/** The axis of rows, as model.json names it. */
export const ROWS = "rows";

/** Which samples are drawn: so many, from this number on. */
export interface Drawn {
  readonly seed: number;
  readonly first: number;
  readonly count: number;
}

/** The shape of an input for so many rows. @throws OptionError for another size that is free */
function shapeFor({ name, shape }: ExportedPort, rows: number): readonly number[] {
  return shape.map((side) => {
    if (side === ROWS) return rows;
    if (typeof side === "number") return side;
    throw new OptionError(`the input ${name} has the free size ${side}, which is not known here`);
  });
}

/**
 * Noise for some samples, each from a generator of its own, so that a sample is the same however many are drawn with it: that of `eidos sample`,
 * where model.json has its labels. Where rows are not the first axis, the first one is that of steps, and each step of a sample has a generator.
 */
function drawnNoise(port: ExportedPort, { seed, first, count }: Drawn): Values {
  const shape = shapeFor(port, count);
  const axis = port.shape.indexOf(ROWS);
  const size = sizeOf(shape.slice(axis + 1));
  const data = new Float32Array(sizeOf(shape));
  const random = new Random(seed).split("sample");
  const { stream = [port.name] } = port;
  for (let row = 0; row < count; row++) {
    const own = stream.reduce((source, label) => source.split(label), random.split(first + row));
    for (let step = 0; step < sizeOf(shape.slice(0, axis)); step++) {
      const target = data.subarray((step * count + row) * size, (step * count + row + 1) * size);
      const source = axis === 0 ? own : own.split(step);
      if (port.noise === "uniform") source.fillUniform(target);
      else source.fillNormal(target);
    }
  }
  return { type: "float32", shape, data };
}

/** A part of values that are given for all samples. @throws OptionError where they are not as many as the input takes */
function givenNoise(
  port: ExportedPort,
  values: ArrayLike<number>,
  total: number,
  { first, count }: Drawn,
): Values {
  const whole = shapeFor(port, total);
  if (values.length !== sizeOf(whole)) {
    throw new OptionError(
      `option noise: ${port.name} takes [${whole}], ${sizeOf(whole)} numbers, not ${values.length}`,
    );
  }
  const shape = shapeFor(port, count);
  const axis = port.shape.indexOf(ROWS);
  const size = sizeOf(shape.slice(axis + 1));
  const parts = Array.from({ length: sizeOf(shape.slice(0, axis)) }, (_, step) =>
    Array.from({ length: count * size }, (_, i) => values[(step * total + first) * size + i] ?? 0),
  );
  return valuesOf(port.type, parts.flat(), shape);
}

/**
 * What the noise inputs of a sampler are fed.
 * @param given values for all `total` samples, by the names of inputs
 * @throws OptionError where values are given for an input that there is not, or not as many as it takes
 */
export function noiseFeeds(
  ports: readonly ExportedPort[],
  given: Readonly<Record<string, ArrayLike<number>>>,
  total: number,
  drawn: Drawn,
): Readonly<Record<string, Values>> {
  const noisy = ports.filter(({ noise }) => noise !== undefined);
  const unknown = Object.keys(given).find((name) => !noisy.some((port) => port.name === name));
  if (unknown !== undefined) {
    throw new OptionError(
      `option noise: the file takes no noise ${JSON.stringify(unknown)}; it takes ${noisy.map(({ name }) => name).join(", ") || "none"}`,
    );
  }
  return Object.fromEntries(
    noisy.map((port) => {
      const values = Object.hasOwn(given, port.name) ? given[port.name] : undefined;
      return [
        port.name,
        values === undefined ? drawnNoise(port, drawn) : givenNoise(port, values, total, drawn),
      ];
    }),
  );
}
