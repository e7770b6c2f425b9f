import { OptionError } from "../errors.ts";
import type { Adversarial, Turn } from "../model/capabilities.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import { buffersOf, parametersOf } from "../nn/module.ts";
import { clipByGlobalNorm, movingAverage, type Optimizer } from "../nn/optimizer.ts";
import { outputAt, substitute } from "../tensor/graph.ts";
import { reshape, traceTraining } from "../tensor/index.operations.ts";
import { grad, input, slice, type Tensor } from "../tensor/index.ts";
import { concat } from "../tensor/operations/shaping.ts";
import { ParameterLayout } from "./layout.ts";
import type { Rates } from "./rates.ts";

/** How the players of a game learn. */
export interface GameOptions {
  readonly optimizer: Optimizer;
  readonly clipNorm?: number;
  readonly averageDecay: number;
}

/** A player's stretch of the flat vectors, and what has become of it up to now. */
interface Seat {
  readonly layout: ParameterLayout;
  parameters: Tensor;
  slots: Readonly<Record<string, Tensor>>;
  /** Turns that it has in a step, and those done. */
  readonly turns: number;
  done: number;
}

/** A step of a game while it is traced: what turns have left so far. */
class Game {
  private readonly seats: ReadonlyMap<object, Seat>;
  private readonly options: GameOptions;
  private readonly learningRate = input("learningRate", []);
  private readonly step = input("step", []);
  /** Values of buffers, where turns have updated them. */
  readonly buffers = new Map<Tensor, Tensor>();
  readonly losses = new Map<string, Tensor>();
  private readonly squares: Tensor[] = [];

  constructor(seats: ReadonlyMap<object, Seat>, options: GameOptions) {
    this.seats = seats;
    this.options = options;
  }

  /** A turn: the losses with all parameters and buffers as they are now, their gradient, and the player's update. */
  play(turn: Turn): void {
    const seat = this.seats.get(turn.player);
    if (seat === undefined) throw new OptionError(`the player ${turn.name} has no parameters`);
    const { result: losses, updates } = traceTraining(() => turn.losses());
    const { total, ...parts } = losses;
    const gradients = grad(total, seat.layout.parameters).map((gradient) => reshape(gradient, [-1]));
    const named = { ...parts, [turn.name]: total, total };
    const now = substitute(
      [concat(gradients, 0), ...Object.values(named), ...updates.values()],
      new Map([...this.views(), ...this.buffers]),
    );
    const [names, buffers] = [Object.keys(named), [...updates.keys()]];
    names.forEach((loss, i) => {
      this.losses.set(`loss.${loss}`, outputAt(now, 1 + i));
    });
    buffers.forEach((buffer, i) => {
      this.buffers.set(buffer, outputAt(now, 1 + names.length + i));
    });
    this.update(seat, outputAt(now, 0), turn.rate ?? 1);
  }

  private views(): ReadonlyMap<Tensor, Tensor> {
    return new Map(
      [...this.seats.values()].flatMap(({ layout, parameters }) => [...layout.views(parameters)]),
    );
  }

  private update(seat: Seat, gradient: Tensor, rate: number): void {
    const { optimizer, clipNorm } = this.options;
    const clipped =
      clipNorm === undefined
        ? { gradient, norm: gradient.square().sum().sqrt() }
        : clipByGlobalNorm(gradient, clipNorm);
    this.squares.push(clipped.norm.square());
    seat.done += 1;
    const { rates } = seat.layout;
    const next = optimizer.update({
      parameters: seat.parameters,
      gradient: clipped.gradient,
      slots: seat.slots,
      learningRate: rate === 1 ? this.learningRate : this.learningRate.mul(rate),
      // An optimizer counts the updates of its own player.
      step: seat.turns === 1 ? this.step : this.step.sub(1).mul(seat.turns).add(seat.done),
      ...(rates !== undefined && { rates }),
    });
    seat.parameters = next.parameters;
    seat.slots = next.slots;
  }

  private whole(piece: (seat: Seat) => Tensor): Tensor {
    return concat([...this.seats.values()].map(piece), 0);
  }

  /**
   * The vectors after the step, whole again, and the norm of all gradients together.
   * @param average before the step, where one is kept
   */
  vectors(average: Tensor | undefined): ReadonlyMap<string, Tensor> {
    const { optimizer, averageDecay } = this.options;
    const parameters = this.whole((seat) => seat.parameters);
    return new Map([
      ["parameters", parameters],
      ...optimizer.slots.map((slot): readonly [string, Tensor] => [
        `slot.${slot}`,
        this.whole(({ slots }) => slots[slot] ?? parameters),
      ]),
      ["gradientNorm", this.squares.reduce((a, b) => a.add(b)).sqrt()],
      ...(average === undefined
        ? []
        : [["average", movingAverage(average, parameters, averageDecay, this.step)] as const]),
    ]);
  }
}

/**
 * A whole step of a game: every turn's losses with the parameters and buffers that the turns before it have left, their
 * gradient with respect to the player's own parameters, and an update of these, all in one graph. Losses that several
 * turns have are those of the last one; `loss.total` is that of the last turn.
 * @param layout of all trained parameters of the model
 * @param rates of all its parameters
 * @throws OptionError where there are no turns, a player is frozen, or the players do not hold all trained parameters of the
 * model, one after the other
 */
export function gameStep(
  model: Adversarial,
  layout: ParameterLayout,
  rates: Rates,
  options: GameOptions,
  batch: SymbolicBatch,
): ReadonlyMap<string, Tensor> {
  const vector = (name: string): Tensor => input(name, [layout.size]);
  const slots = Object.fromEntries(options.optimizer.slots.map((slot) => [slot, vector(`slot.${slot}`)]));
  const turns = model.turns(batch);
  if (turns.length === 0) throw new OptionError("the model's game has no turns");
  const game = new Game(seatsOf(turns, layout, rates, vector("parameters"), slots), options);
  for (const turn of turns) game.play(turn);

  const vectors = game.vectors(options.averageDecay > 0 ? vector("average") : undefined);
  const average = vectors.get("average");
  const settled =
    average === undefined ? new Map<Tensor, Tensor>() : settle(model, batch, layout.views(average));
  const buffers = buffersOf(model).map((buffer): readonly [string, Tensor] => [
    buffer.name,
    settled.get(buffer) ?? game.buffers.get(buffer) ?? buffer,
  ]);
  return new Map([...game.losses, ...vectors, ...buffers]);
}

/** Values of the buffers that a model updates with the given parameters when the turns are over. */
function settle(
  model: Adversarial,
  batch: SymbolicBatch,
  parameters: ReadonlyMap<Tensor, Tensor>,
): ReadonlyMap<Tensor, Tensor> {
  const { updates } = traceTraining(() => model.settle?.(batch));
  const values = substitute([...updates.values()], parameters);
  return new Map([...updates.keys()].map((buffer, i) => [buffer, outputAt(values, i)]));
}

/** The players in the order of their parameters, each once. */
function seatsOf(
  played: readonly Turn[],
  layout: ParameterLayout,
  rates: Rates,
  parameters: Tensor,
  slots: Readonly<Record<string, Tensor>>,
): ReadonlyMap<object, Seat> {
  const counts = new Map<object, number>();
  for (const { player } of played) counts.set(player, (counts.get(player) ?? 0) + 1);
  const placed = [...counts].map(([player, turns]) => {
    const all = parametersOf(player);
    const own = all.filter((parameter) => rates.get(parameter) !== 0);
    if (own.length === 0 && all.length > 0) {
      const name = played.find((turn) => turn.player === player)?.name;
      throw new OptionError(`all parameters of the player ${name} are frozen; leave some of them to train`);
    }
    return { player, turns, own, first: own[0] === undefined ? -1 : layout.parameters.indexOf(own[0]) };
  });
  placed.sort((a, b) => a.first - b.first);
  const order = placed.flatMap(({ own }) => own);
  if (
    order.length !== layout.parameters.length ||
    order.some((parameter, i) => parameter !== layout.parameters[i])
  ) {
    throw new OptionError(
      "the players of a game must be fields of the model that hold all of its parameters, each its own",
    );
  }
  let start = 0;
  const seats = new Map<object, Seat>();
  for (const { player, turns, own } of placed) {
    const layoutOfOwn = new ParameterLayout(own, rates);
    const [from, to] = [start, start + layoutOfOwn.size];
    start = to;
    const cut = (vector: Tensor): Tensor => slice(vector, 0, from, to);
    seats.set(player, {
      layout: layoutOfOwn,
      parameters: cut(parameters),
      slots: Object.fromEntries(Object.entries(slots).map(([name, vector]) => [name, cut(vector)])),
      turns,
      done: 0,
    });
  }
  return seats;
}
