import { GradientError, InverseError, OptionError } from "../../errors.ts";
import type { ExportedCompletion, InpaintOptions } from "../../model/capabilities.ts";
import { continuousKind, type DataInfo } from "../../model/data-info.ts";
import { incompleteRows } from "../../model/sampling.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import {
  elementCount,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  type Tensor,
  where,
} from "../../tensor/index.ts";
import type { Base } from "../densities/bases.ts";
import type { Conditioning } from "../densities/conditioning.ts";
import { BYTE_LEVELS } from "../images/dequantize.ts";
import { type ChainedFlow, type ChainFeeds, type CompletionRow, completeRows, wayOf } from "./chains.ts";
import { imageSpace, plainSpace } from "./space.ts";

/** What decides how a model can complete samples. */
export interface Completing {
  readonly conditioning: Conditioning;
  /** Elements in an order in which later ones can be drawn given earlier ones, where there is one. */
  readonly triangularOrder?: readonly number[] | undefined;
  readonly base?: Pick<Base, "dependent">;
}

/** A flow as a completion needs it. */
export interface CompletableFlow extends Completing {
  readonly base: Base;
  /** Length of a code. */
  readonly dimensions: number;
  /** [n, …sample] → [n, D]. */
  encode(x: Tensor, label?: Tensor): Tensor;
  /** [n, D] → [n, …sample], in data units. */
  decode(z: Tensor, context?: Tensor): Tensor;
  /** Log-density in nats of continuous data: [n, …sample] → [n]. */
  continuousLogProb(x: Tensor, label?: Tensor): Tensor;
}

/**
 * Checks what is to be completed and decides how each sample is: not at all, exactly, or by iteration.
 * @throws OptionError
 */
export function readRows(
  model: Completing,
  data: DataInfo,
  options: InpaintOptions,
): readonly CompletionRow[] {
  const { exact, label } = options;
  const rows = incompleteRows(options, data.sampleShape);
  const size = elementCount(data.sampleShape);
  const count = rows.length;
  const { classes } = model.conditioning;
  const labels = typeof label === "number" ? new Array<number>(count).fill(label) : label;
  if (labels !== undefined && labels.length !== count) {
    throw new OptionError(`inpaint: ${labels.length} labels were given for ${count} samples`);
  }
  for (const value of labels ?? []) {
    if (Number.isInteger(value) && value >= 0 && value < classes) continue;
    throw new OptionError(
      classes === 0
        ? "option label: this model is not conditional on classes"
        : `option label: must be a class from 0 to ${classes - 1}, not ${value}`,
    );
  }
  const modeled = model.conditioning.targetPlaces();
  const order = model.triangularOrder?.map((element) => modeled[element] ?? element);
  // The density of a mixture of classes is triangular in no order.
  const triangular =
    order !== undefined && model.base?.dependent !== true && (classes === 0 || label !== undefined);
  return rows.map((row): CompletionRow => {
    const { index, known: mask } = row;
    const unknown = modeled.filter((position) => mask[position] !== 1);
    if (unknown.length + mask.reduce((sum, value) => sum + Number(value === 1), 0) !== size) {
      throw new OptionError(
        `inpaint: sample ${index} lacks values that the model is conditioned on; they must be known`,
      );
    }
    const way = wayOf(mask, modeled, triangular && exact !== false ? order : undefined);
    return { ...row, label: labels?.[index], way };
  });
}

/**
 * Default iterations, leapfrog steps of each, and the power of the density that chains begin with: in many dimensions
 * a flat density leads far away from where the mass is.
 */
const COURSE = {
  image: { iterations: 80, leapfrogs: 12, startPower: 0.5 },
  points: { iterations: 80, leapfrogs: 8, startPower: 0.3 },
  table: { iterations: 80, leapfrogs: 8, startPower: 0.3 },
} as const;

/** Inputs of the programs of a completion, as they are traced. */
interface TracedFeeds {
  readonly x: Tensor;
  readonly label?: Tensor | undefined;
  readonly noise: Tensor;
  readonly known?: Tensor | undefined;
}

/**
 * Draws of the flow in data units, under codes that are drawn in full or, with `known`, those of x where it is known:
 * for a triangular flow whose known elements come first, draws of the exact conditional.
 */
function decodeDraws(
  model: CompletableFlow,
  { kind }: DataInfo,
  { x, known, noise, label }: TracedFeeds,
): Tensor {
  const { context } = model.conditioning.divide(x, label);
  let z = model.base.fromNoise(noise);
  if (known !== undefined) {
    // `encode` places bytes in the middle of their interval; these have their noise already.
    const code = model.encode(kind === "image" ? x.sub(0.5) : x, label);
    const held = model.conditioning.divide(known, label).target.reshape(z.shape);
    z = where(held.greater(0.5), code, z);
  }
  return model.decode(z, context);
}

/** @throws GradientError where the log-density is found by an iteration that has no derivative */
function densityOf(model: CompletableFlow, x: Tensor, label: Tensor | undefined) {
  const logDensity = model.continuousLogProb(x, label);
  try {
    return { logDensity, gradient: grad(logDensity.sum(), [x])[0] };
  } catch (error) {
    if (!(error instanceof GradientError)) throw error;
    throw new GradientError(
      `this model's log-density has no gradient (it is found by iteration), which Hamiltonian Monte Carlo needs: ${error.message}`,
      { cause: error },
    );
  }
}

/** A flow on a session, as chains take it. @param seed of the numbers by which a log-density is estimated */
function onSession(model: CompletableFlow, data: DataInfo, session: Session, seed: number): ChainedFlow {
  const { base, dimensions } = model;
  const noiseSize = base.noiseSize(dimensions);
  const shaped = ({ count, x, labels }: ChainFeeds) => ({
    x: float32(x, [count, ...data.sampleShape]),
    ...(labels !== undefined && { label: int64(labels, [count]) }),
  });
  const kind = continuousKind(data);
  // Log-densities that are estimated (a trace by random probes) are so with the same numbers throughout.
  const probes = new Random(seed).split("probes");
  return {
    data,
    classes: model.conditioning.classes,
    space: kind === "image" ? imageSpace(BYTE_LEVELS) : plainSpace,
    course: COURSE[kind],
    noiseSize,
    drawNoise: (target, random) => base.drawNoise(target, random),
    async draw(feeds, noise, known) {
      const program = session.compiled(
        model,
        `inpaint-${known === undefined ? "nothing" : "known"}`,
        ["x", "known?", "noise", "label?"],
        (traced) => ({ drawn: decodeDraws(model, data, traced) }),
      );
      const { drawn } = await program.run({
        ...shaped(feeds),
        noise: float32(noise, [feeds.count, noiseSize]),
        ...(known !== undefined && { known: float32(known, [feeds.count, ...data.sampleShape]) }),
      });
      return drawn.data as Float32Array;
    },
    async logDensity(feeds) {
      const program = session.compiled(model, "inpaint-density", ["x", "label?"], ({ x, label }) =>
        densityOf(model, x, label),
      );
      const { logDensity, gradient } = await program.run(shaped(feeds), { random: probes });
      return { logDensity: logDensity.data as Float32Array, gradient: gradient.data as Float32Array };
    },
  };
}

/**
 * Completions of partly known samples, from the conditional density of a flow p(x_unknown | x_known) ∝ p(x).
 *
 * Where the flow is triangular in an order and the known elements come first in it, exactly and in one pass: the codes
 * of the known elements depend on these alone, so that the other codes are drawn from the base and all are inverted.
 * Elsewhere by Hamiltonian Monte Carlo over the unknown elements on the exact log-density; see `completeRows`.
 *
 * @throws OptionError where shapes do not fit, given columns are unknown, or `exact` is asked and there is no exact method
 */
export async function inpaintFlow(
  model: CompletableFlow,
  data: DataInfo,
  session: Session,
  options: InpaintOptions,
): Promise<NdArray<"float32">> {
  const rows = readRows(model, data, options);
  const iterated = rows.find(({ way }) => way === "iterated");
  if (options.exact === true && iterated !== undefined) {
    throw new OptionError(
      model.triangularOrder === undefined
        ? "there is no exact conditional draw from this model: it is not autoregressive in one order"
        : `there is no exact conditional draw for sample ${iterated.index}: its known elements do not come first in the model's order`,
    );
  }
  const { draws, seed, steps, onProgress } = options;
  const completed = await completeRows(onSession(model, data, session, seed), rows, {
    draws,
    seed,
    iterations: steps,
    onProgress,
  });
  return float32(completed, [rows.length, draws, ...data.sampleShape]);
}

/** The graph that a function traces; undefined where the flow has no such inverse. */
function invertible<T>(trace: () => T): T | undefined {
  try {
    return trace();
  } catch (error) {
    if (error instanceof InverseError) return undefined;
    throw error;
  }
}

/**
 * The graphs by which rows are completed outside, with what `completeRows` takes beside them; of rows alone.
 * @throws GradientError where the log-density has no gradient
 */
export function exportedCompletion(model: CompletableFlow, data: DataInfo): ExportedCompletion | undefined {
  const { base, conditioning, dimensions } = model;
  const { noiseKind } = base;
  const kind = continuousKind(data);
  if (noiseKind === undefined || kind === "image") return undefined;
  const shape = ["batch", ...data.sampleShape] as const;
  const x = input("x", shape);
  const known = input("known", shape);
  const noise = input("noise", ["batch", base.noiseSize(dimensions)]);
  const label = conditioning.classes > 0 ? input("label", ["batch"], "int64") : undefined;
  const modeled = conditioning.targetPlaces();
  const order =
    base.dependent === true
      ? undefined
      : model.triangularOrder?.map((element) => modeled[element] ?? element);
  const draw = invertible(() => decodeDraws(model, data, { x, noise, label }));
  const drawKnown = order && invertible(() => decodeDraws(model, data, { x, noise, known, label }));
  return {
    ...(draw && { draw }),
    ...(drawKnown && { drawKnown }),
    density: densityOf(model, x, label),
    ...(label && { mixture: densityOf(model, x, undefined) }),
    modeled,
    ...(order && { order }),
    noise: { kind: noiseKind, size: base.noiseSize(dimensions) },
    course: COURSE[kind],
  };
}
