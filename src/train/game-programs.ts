import { OptionError } from "../errors.ts";
import { disposeValue, type Runtime, type RuntimeValue, readValue, type Value } from "../program/runtime.ts";
import type { Random } from "../random.ts";
import { float32 } from "../tensor/array.ts";
import type { BatchShape } from "./batches.ts";
import { type OpenGame, playerVector } from "./game.ts";
import type { TrainingVectors } from "./gradient-parts.ts";
import { gradientArrays, numbersOf, scalarsOf } from "./outside-update.ts";
import { ShapedPrograms } from "./programs.ts";
import type { StepTracer } from "./step.ts";
import type { StepAt, VectorUpdate } from "./vector-update.ts";

/** What a step of a game is given. */
interface GameBatch {
  readonly shape: BatchShape;
  readonly feeds: Readonly<Record<string, Value>>;
  readonly random: Random;
  /** Buffers and frozen parameters among them. */
  readonly vectors: TrainingVectors;
  readonly at: StepAt;
}

/**
 * Steps of a game on a processor. The turns follow each other in one graph; the update of the last one, on which nothing in it depends, is made outside,
 * where an update of many parameters takes a fraction of the time. Buffers that settle on the average are computed by a program of their own.
 */
export class GamePrograms {
  readonly update: VectorUpdate;
  private readonly tracer: StepTracer;
  private readonly game: OpenGame;
  private readonly programs: ShapedPrograms;
  private readonly settled: ShapedPrograms | undefined;

  private constructor(
    tracer: StepTracer,
    game: OpenGame,
    update: VectorUpdate,
    runtime: Runtime,
    settles: boolean,
  ) {
    this.tracer = tracer;
    this.game = game;
    this.update = update;
    this.programs = new ShapedPrograms((shape) => {
      const { graph } = tracer.game(shape) ?? {};
      if (graph === undefined) throw new OptionError("the model is no game");
      return graph;
    }, runtime);
    this.settled = settles ? new ShapedPrograms((shape) => tracer.settled(shape), runtime) : undefined;
  }

  /** @param game the step for batches of that shape, as `StepTracer.game` gives it */
  static async build(
    tracer: StepTracer,
    game: OpenGame,
    update: VectorUpdate,
    shape: BatchShape,
    runtime: Runtime,
  ): Promise<GamePrograms> {
    const built = new GamePrograms(tracer, game, update, runtime, tracer.settled(shape).size > 0);
    await built.programs.at(shape);
    await built.settled?.at(shape);
    return built;
  }

  /** A step: parameters, slots and average change where they lie. Returns losses and buffers, and the norm of all gradients. */
  async run({ shape, feeds, random, vectors, at }: GameBatch): Promise<{
    readonly outputs: Readonly<Record<string, RuntimeValue>>;
    readonly norm: number;
  }> {
    const { game, update, tracer } = this;
    const names = ["parameters", ...tracer.slotNames];
    const others = [...game.others].flatMap(([player, { from, to }]) =>
      names.map((name) => {
        const numbers = update.vector(name).subarray(from, to);
        return [playerVector(player, name), float32(numbers, [to - from])] as const;
      }),
    );
    const program = await this.programs.at(shape);
    const { last } = game;
    const outputs = await program.runValues(
      {
        ...vectors,
        ...Object.fromEntries([...tracer.layout.shown(update.vector("parameters")), ...others]),
        ...scalarsOf(at),
        ...feeds,
      },
      { random, into: gradientArrays(last.layout, update.gradient.subarray(last.from, last.to)) },
    );
    for (const [player, stretch] of game.others) {
      const values = names.flatMap((name) => {
        const value = outputs[playerVector(player, name)];
        return value === undefined ? [] : [[name, value] as const];
      });
      const numbers = values.map(([name, value]) => [name, numbersOf(value)] as const);
      update.take(stretch, Object.fromEntries(numbers), at.number);
      for (const [, value] of values) disposeValue(value);
    }
    const own = update.update({ ...at, learningRate: at.learningRate * last.rate }, last);
    const { gradientNorm } = outputs;
    const before = gradientNorm === undefined ? 0 : Number((await readValue(gradientNorm)).data[0]);
    const norm = Math.hypot(own, before);
    if (this.settled === undefined) return { outputs, norm };
    // Buffers hold what the pass makes of their values before the step, not what turns did.
    const settling = await this.settled.at(shape);
    const passed = await settling.runValues(
      { ...vectors, ...Object.fromEntries(tracer.layout.shown(update.vector("average"))), ...feeds },
      { random: random.split("settling") },
    );
    for (const name of Object.keys(passed)) {
      const turned = outputs[name];
      if (turned !== undefined) disposeValue(turned);
    }
    return { outputs: { ...outputs, ...passed }, norm };
  }

  async release(): Promise<void> {
    await this.programs.release();
    await this.settled?.release();
  }
}
