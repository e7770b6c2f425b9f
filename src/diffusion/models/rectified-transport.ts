import { z } from "zod";
import { amount, stepCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type {
  Exportable,
  GradualSampler,
  Losses,
  PathMeasures,
  PathModel,
  SampleOptions,
  Sampler,
  StateOptions,
  StraightnessOptions,
  Trainable,
  TranslateOptions,
  Translator,
} from "../../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { defineModel } from "../../model/definition.ts";
import { evenTimes, FIXED_STEP_METHODS, integrate } from "../../ode/index.ts";
import { parseOptions } from "../../options.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, type NdArray, normal, type Tensor } from "../../tensor/index.ts";
import type { DiffusionNetwork } from "../objective/network.ts";
import { coupledNoise } from "../objective/training.ts";
import { inParts, normalRows, partLimit, rowsAt } from "../solver/session.ts";
import { diffusionPreferences } from "./diffusion-model.ts";
import { measureStraightness, RectifiedFlow, rectifiedFlowOptions } from "./rectified-flow.ts";

/** Options of a transport: those of a rectified flow without classes, which neither end has. */
export const rectifiedTransportOptions = rectifiedFlowOptions
  .omit({ conditional: true, classDropout: true, dequantize: true })
  .extend({
    sourceNoise: amount()
      .optional()
      .describe(
        "deviation of the noise that the source is given, in model units, so that it fills space as thin sheets of images do not (default: images 0.5, otherwise none)",
      ),
  });

export type RectifiedTransportOptions = z.output<typeof rectifiedTransportOptions>;

/** Options for drawing samples: how paths are followed. */
const rectifiedTransportSampleOptions = z.strictObject({
  solver: z
    .enum(["euler", "midpoint", "heun", "rk4"])
    .default("heun")
    .describe("method by which paths are followed"),
  steps: stepCount().default(25).describe("steps from the source to the data"),
});

export type RectifiedTransportSampleOptions = SampleOptions & {
  /** Where samples begin, [count, …sampleShape] in data units. */
  readonly source?: NdArray<"float32">;
} & z.input<typeof rectifiedTransportSampleOptions>;

/** How often states are evaluated on a path that is shown, at least. */
const STEPS = 25;

/** Noise of the source of images, by default. */
const SOURCE_NOISE = 0.5;

/**
 * Transport between two data sets by a rectified flow (Liu, Gong and Liu 2022, sections 2.1 and 5.2, "image-to-image translation"): the end
 * at t = 1 is not noise but samples of another data set, the source. A batch joins samples of both as drawn, or so that
 * they lie close (minibatch optimal transport); the flow that is fitted to the lines between them makes of any such joining
 * a one-to-one map from source to data, at no larger transport cost, and back. There is no density: that of the source is
 * not known.
 *
 * Images lie on thin sheets. Between two of them a state shows both its ends, so that there is nothing to be rewired, and where
 * paths begin one image would have to become many. So a source of images is given noise, which decides what is open: the
 * map is one-to-one from noisy images, and back leads to these.
 */
export class RectifiedTransport
  implements
    Trainable,
    Sampler<RectifiedTransportSampleOptions>,
    GradualSampler,
    Translator,
    PathModel,
    Exportable
{
  readonly network: DiffusionNetwork;
  private readonly options: RectifiedTransportOptions;
  readonly #flow: RectifiedFlow;

  /** @throws OptionError where options do not fit the data */
  constructor(options: RectifiedTransportOptions, data: DataInfo) {
    const plain = { conditional: false, classDropout: 0, dequantize: false };
    this.options = options;
    this.#flow = new RectifiedFlow({ ...options, ...plain }, data);
    this.network = this.#flow.network;
  }

  /** Deviation of the noise that the source is given, in model units. */
  private get noise(): number {
    return this.options.sourceNoise ?? (this.#flow.data.kind === "image" ? SOURCE_NOISE : 0);
  }

  /** Samples of the source in data units as the states at which paths begin. */
  private startOf(source: NdArray<"float32">, seed: number, first = 0): NdArray<"float32"> {
    const states = this.#flow.units.arrayToModel(source);
    if (this.noise === 0) return states;
    const random = new Random(seed).split("source noise");
    const randoms = Array.from({ length: source.shape[0] ?? 0 }, (_, i) => random.split(first + i));
    const noise = normalRows(randoms, this.#flow.data.sampleShape, "noise");
    return float32(
      states.data.map((value, i) => value + this.noise * (noise.data[i] ?? 0)),
      states.shape,
    );
  }

  /** The loss for lines between source and data. @throws OptionError where the batch has no source */
  loss({ x, source }: SymbolicBatch): Losses {
    if (source === undefined) throw new OptionError(NO_SOURCE);
    const [to, own] = [this.#flow.units.toModel(x), this.#flow.units.toModel(source)];
    const from = this.noise === 0 ? own : own.add(normal(own.shape).mul(this.noise));
    const joined = this.options.coupling === "optimal-transport" ? coupledNoise(to, from) : from;
    return this.#flow.pairLoss(to, joined);
  }

  /** What becomes of samples of the source. @throws OptionError where none are given */
  async sample(
    session: Session,
    { source, count, onProgress, ...others }: RectifiedTransportSampleOptions,
  ): Promise<NdArray<"float32">> {
    if (source === undefined) throw new OptionError(NO_SOURCE);
    const { seed, first, label: _label, ...settings } = others;
    const { solver, steps } = parseOptions(
      "sampling from rectified-transport",
      rectifiedTransportSampleOptions,
      settings,
    );
    const { data, units } = this.#flow;
    const start = this.startOf(source, seed, first);
    const times = evenTimes(steps, 1, 0);
    const end = await inParts(
      count,
      { limit: partLimit(data), shape: data.sampleShape },
      (positions, report) =>
        integrate(
          FIXED_STEP_METHODS[solver],
          this.#flow.velocity(session, {}, positions.length),
          rowsAt(start, positions),
          times,
          (done) => report(done / steps),
        ),
      onProgress,
    );
    return units.arrayToData(end);
  }

  /** The path of samples from source to data, or back, by Heun's method: [n, states, …sampleShape]. */
  async translate(
    session: Session,
    { x, back = false, states = 2, seed = 0, onProgress }: TranslateOptions,
  ): Promise<NdArray<"float32">> {
    if (!Number.isInteger(states) || states < 2) {
      throw new OptionError(`option states: a path has two ends, so at least 2, not ${states}`);
    }
    const { data, units } = this.#flow;
    const size = elementCount(data.sampleShape);
    const parts = states - 1;
    const each = Math.max(1, Math.ceil(STEPS / parts));
    const [from, to] = back ? [0, 1] : [1, 0];
    const own = units.arrayToModel(x);
    const start = back ? own : this.startOf(x, seed);
    const paths = await inParts(
      x.shape[0] ?? 0,
      { limit: partLimit(data), shape: [states, ...data.sampleShape] },
      async (positions, report) => {
        const velocity = this.#flow.velocity(session, {}, positions.length);
        const all = new Float32Array(positions.length * states * size);
        let state = rowsAt(start, positions);
        for (let k = 0; k < states; k++) {
          if (k > 0) {
            const times = evenTimes(
              each,
              from + ((to - from) * (k - 1)) / parts,
              from + ((to - from) * k) / parts,
            );
            state = await integrate(FIXED_STEP_METHODS.heun, velocity, state, times);
            report(k / parts);
          }
          const shown = k === 0 ? rowsAt(own, positions) : state;
          positions.forEach((_, i) => {
            all.set(shown.data.subarray(i * size, (i + 1) * size), (i * states + k) * size);
          });
        }
        return float32(all, [positions.length, states, ...data.sampleShape]);
      },
      onProgress,
    );
    return units.arrayToData(paths);
  }

  /** Samples of the source on their path to the data. @throws OptionError where none are given */
  async sampleStates(
    session: Session,
    {
      source,
      seed,
      states,
      onState,
    }: RectifiedTransportSampleOptions & Pick<StateOptions, "states" | "onState">,
  ): Promise<readonly NdArray<"float32">[]> {
    if (source === undefined) throw new OptionError(NO_SOURCE);
    const paths = await this.translate(session, { x: source, seed, states });
    const { sampleShape } = this.#flow.data;
    const size = elementCount(sampleShape);
    const count = source.shape[0] ?? 0;
    return Array.from({ length: states }, (_, k) => {
      onState?.({ kind: "time", time: 1 - k / (states - 1) });
      const at = (i: number): number => (i * states + k) * size;
      const data = new Float32Array(count * size);
      for (let i = 0; i < count; i++) data.set(paths.data.subarray(at(i), at(i) + size), i * size);
      return float32(data, [count, ...sampleShape]);
    });
  }

  /** How straight the paths from the source to the data are. @throws OptionError where no source is given */
  straightness(
    session: Session,
    { source, count, seed, steps = STEPS }: StraightnessOptions,
  ): Promise<PathMeasures> {
    if (source === undefined) throw new OptionError(NO_SOURCE);
    const start = this.startOf(source, seed);
    return measureStraightness(this.#flow.velocity(session, {}, count), start, steps);
  }

  /** The velocity field as a graph. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const { outputs } = this.#flow.exported();
    const { offset, factor } = this.#flow.units;
    return {
      outputs,
      description:
        `Velocity dx/dt of paths between two data sets. x: state in model units, data = ${offset} + ${factor} x; t: time in [0, 1], ` +
        "1 is the source and 0 the data. To translate, integrate from t = 1 to t = 0; back the other way.",
    };
  }
}

const NO_SOURCE =
  "a rectified transport leads from samples of another data set, the source: fit it with --source DATA";

/** Transports as the catalogue knows them. */
export const rectifiedTransportDefinition = defineModel({
  name: "rectified-transport",
  summary: "a rectified flow from one data set (--source) to another, and back: digits 1 to digits 7",
  paper:
    "Liu, Gong and Liu 2022, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, arXiv:2209.03003",
  dataKinds: ["points", "image"],
  can: ["sample", "translate", "export"],
  needsSource: true,
  options: rectifiedTransportOptions,
  sampleOptions: rectifiedTransportSampleOptions,
  build: (options, data) => new RectifiedTransport(options, data),
  preferences: diffusionPreferences,
});
