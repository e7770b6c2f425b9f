import { OptionError } from "../errors.ts";
import type { Adversarial, Turn } from "../model/capabilities.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import { buffersOf, parametersOf } from "../nn/module.ts";
import { clipByGlobalNorm, movingAverage, type Optimizer } from "../nn/optimizer.ts";
import { outputAt, substitute } from "../tensor/graph.ts";
import { reshape, traceTraining } from "../tensor/index.operations.ts";
import { type Buffer, grad, input, slice, type Tensor } from "../tensor/index.ts";
import { concat } from "../tensor/operations/shaping.ts";
import { type LayoutStretch, ParameterLayout } from "./layout.ts";
import type { Rates } from "./rates.ts";
import type { VectorStretch } from "./vector-update.ts";

/** How the players of a game learn. */
export interface GameOptions {
  readonly optimizer: Optimizer;
  readonly clipNorm?: number;
  readonly averageDecay: number;
}

/** A player's stretch of the flat vectors, and what has become of it up to now. */
interface Seat {
  readonly layout: ParameterLayout;
  /** Where its parameters lie in the vectors of the model. */
  readonly from: number;
  readonly to: number;
  parameters: Tensor;
  slots: Readonly<Record<string, Tensor>>;
  /** Turns that it has in a step, and those done. */
  readonly turns: number;
  done: number;
}

/** A vector of training by its name, as far as a stretch of it goes: of the player of this number. */
type VectorOf = (name: string, stretch: Pick<Seat, "from" | "to">, player: number) => Tensor;

/** A step of a game while it is traced: what turns have left so far. */
class Game {
  private readonly seats: ReadonlyMap<object, Seat>;
  private readonly options: GameOptions;
  private readonly learningRate = input("learningRate", []);
  private readonly step = input("step", []);
  /** Values of buffers, where turns have updated them. */
  readonly buffers = new Map<Tensor, Tensor>();
  readonly losses = new Map<string, Tensor>();
  /** By the parameters of the player that is updated elsewhere. */
  gradients: readonly Tensor[] = [];
  private readonly squares: Tensor[] = [];
  private readonly elsewhere: Seat | undefined;

  /** @param elsewhere the player that is updated outside of the graph, whose parameters are read under their own names */
  constructor(seats: ReadonlyMap<object, Seat>, options: GameOptions, elsewhere?: Seat) {
    this.seats = seats;
    this.options = options;
    this.elsewhere = elsewhere;
  }

  /** A turn: the losses with all parameters and buffers as they are now, their gradient, and the player's update. */
  play(turn: Turn): void {
    const seat = this.seats.get(turn.player);
    if (seat === undefined) throw new OptionError(`the player ${turn.name} has no parameters`);
    const { result: losses, updates } = traceTraining(() => turn.losses());
    const { total, ...parts } = losses;
    const each = grad(total, seat.layout.parameters);
    const isElsewhere = seat === this.elsewhere;
    const gradients = isElsewhere
      ? each
      : [
          concat(
            each.map((gradient) => reshape(gradient, [-1])),
            0,
          ),
        ];
    const named = { ...parts, [turn.name]: total, total };
    const now = substitute(
      [...gradients, ...Object.values(named), ...updates.values()],
      new Map([...this.views(), ...this.buffers]),
    );
    const [names, buffers] = [Object.keys(named), [...updates.keys()]];
    names.forEach((loss, i) => {
      this.losses.set(`loss.${loss}`, outputAt(now, gradients.length + i));
    });
    buffers.forEach((buffer, i) => {
      this.buffers.set(buffer, outputAt(now, gradients.length + names.length + i));
    });
    if (isElsewhere) this.gradients = now.slice(0, gradients.length);
    else this.update(seat, outputAt(now, 0), turn.rate ?? 1);
  }

  private views(): ReadonlyMap<Tensor, Tensor> {
    return new Map(this.seated.flatMap(({ layout, parameters }) => [...layout.views(parameters)]));
  }

  /** The players that are updated in the graph. */
  get seated(): readonly Seat[] {
    return [...this.seats.values()].filter((seat) => seat !== this.elsewhere);
  }

  /** The norm of all gradients of players that are updated in the graph. */
  get norm(): Tensor | undefined {
    const [first, ...others] = this.squares;
    return first && others.reduce((a, b) => a.add(b), first).sqrt();
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
    const { norm } = this;
    return new Map([
      ["parameters", parameters],
      ...optimizer.slots.map((slot): readonly [string, Tensor] => [
        `slot.${slot}`,
        this.whole(({ slots }) => slots[slot] ?? parameters),
      ]),
      ...(norm === undefined ? [] : [["gradientNorm", norm] as const]),
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
  const wholes = new Map<string, Tensor>();
  const vector = (name: string): Tensor => {
    const whole = wholes.get(name) ?? input(name, [layout.size]);
    wholes.set(name, whole);
    return whole;
  };
  const turns = model.turns(batch);
  const seats = seatsOf(turns, layout, rates, options, (name, { from, to }) =>
    slice(vector(name), 0, from, to),
  );
  const game = new Game(seats, options);
  for (const turn of turns) game.play(turn);

  const vectors = game.vectors(options.averageDecay > 0 ? vector("average") : undefined);
  const average = vectors.get("average");
  const settled =
    average === undefined ? new Map<Buffer, Tensor>() : settle(model, batch, layout.views(average));
  const buffers = buffersOf(model).map((buffer): readonly [string, Tensor] => [
    buffer.name,
    settled.get(buffer) ?? game.buffers.get(buffer) ?? buffer,
  ]);
  return new Map([...game.losses, ...vectors, ...buffers]);
}

/** A step of a game whose last turn leaves its update to others. */
export interface OpenGame {
  /**
   * Losses, buffers, `gradient.0`, `gradient.1`, … by the parameters of the last turn's player, in the order of its layout, and for each
   * other player its stretches of the vectors after the step, by `playerVector`, with the norm of their gradients. Parameters of the last
   * player are read under their own names, those of the others by `playerVector`.
   */
  readonly graph: ReadonlyMap<string, Tensor>;
  /** The player of the last turn: its parameters, their stretch of the vectors, and its share of the learning rate. */
  readonly last: LayoutStretch & { readonly rate: number };
  /** The stretches of the other players, by their numbers. */
  readonly others: ReadonlyMap<number, VectorStretch>;
}

/** The name of a player's stretch of a vector, by the player's number. */
export function playerVector(player: number, name: string): string {
  return `player.${player}.${name}`;
}

/**
 * A step of a game without the update of the last turn, on which nothing else in the step depends; undefined where the player of that turn has another
 * turn before it.
 * @throws OptionError as `gameStep`
 */
export function openGame(
  model: Adversarial,
  layout: ParameterLayout,
  rates: Rates,
  options: GameOptions,
  batch: SymbolicBatch,
): OpenGame | undefined {
  const turns = model.turns(batch);
  const seats = seatsOf(turns, layout, rates, options, (name, { from, to }, player) =>
    input(playerVector(player, name), [to - from]),
  );
  const final = turns.at(-1);
  const last = final && seats.get(final.player);
  if (final === undefined || last === undefined || last.turns > 1) return undefined;
  const game = new Game(seats, options, last);
  for (const turn of turns) game.play(turn);
  const { norm } = game;
  const numbers = new Map([...seats.values()].map((seat, i) => [seat, i] as const));
  const others = game.seated.map((seat) => [numbers.get(seat) ?? 0, seat] as const);
  return {
    graph: new Map([
      ...game.losses,
      ...game.gradients.map((gradient, i) => [`gradient.${i}`, gradient] as const),
      ...others.flatMap(([player, { parameters, slots }]) => [
        [playerVector(player, "parameters"), parameters] as const,
        ...Object.entries(slots).map(
          ([slot, value]) => [playerVector(player, `slot.${slot}`), value] as const,
        ),
      ]),
      ...(norm === undefined ? [] : [["gradientNorm", norm] as const]),
      ...buffersOf(model).map((buffer) => [buffer.name, game.buffers.get(buffer) ?? buffer] as const),
    ]),
    last: { layout: last.layout, from: last.from, to: last.to, rate: final.rate ?? 1 },
    others: new Map(others.map(([player, { from, to }]) => [player, { from, to }])),
  };
}

/** The buffers that settle when the turns are over, with parameters read under their own names; empty where none do. */
export function settledBuffers(model: Adversarial, batch: SymbolicBatch): ReadonlyMap<string, Tensor> {
  return new Map([...settle(model, batch, new Map())].map(([{ name }, value]) => [name, value]));
}

/** Values of the buffers that a model updates with the given parameters when the turns are over. */
function settle(
  model: Adversarial,
  batch: SymbolicBatch,
  parameters: ReadonlyMap<Tensor, Tensor>,
): ReadonlyMap<Buffer, Tensor> {
  const { updates } = traceTraining(() => model.settle?.(batch));
  const values = substitute([...updates.values()], parameters);
  return new Map([...updates.keys()].map((buffer, i) => [buffer, outputAt(values, i)]));
}

/** The players in the order of their parameters, each once. */
function seatsOf(
  played: readonly Turn[],
  layout: ParameterLayout,
  rates: Rates,
  { optimizer }: GameOptions,
  vectorOf: VectorOf,
): ReadonlyMap<object, Seat> {
  if (played.length === 0) throw new OptionError("the model's game has no turns");
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
  for (const [number, { player, turns, own }] of placed.entries()) {
    const layoutOfOwn = new ParameterLayout(own, rates);
    const stretch = { from: start, to: start + layoutOfOwn.size };
    start = stretch.to;
    seats.set(player, {
      layout: layoutOfOwn,
      ...stretch,
      parameters: vectorOf("parameters", stretch, number),
      slots: Object.fromEntries(
        optimizer.slots.map((slot) => [slot, vectorOf(`slot.${slot}`, stretch, number)]),
      ),
      turns,
      done: 0,
    });
  }
  return seats;
}
