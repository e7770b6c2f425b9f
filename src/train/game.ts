import { OptionError } from "../errors.ts";
import type { Adversarial, SymbolicBatch } from "../nn/model.ts";
import { buffersOf, parametersOf } from "../nn/module.ts";
import { clipByGlobalNorm, movingAverage, type Optimiser } from "../nn/optimiser.ts";
import { grad, input, reshape, slice, type Tensor, traceTraining } from "../tensor/index.ts";
import { concat } from "../tensor/joining.ts";
import { substitute } from "../tensor/substitute.ts";
import { ParameterLayout } from "./layout.ts";

/** How the players of a game learn. */
export interface GameOptions {
  readonly optimiser: Optimiser;
  readonly clipNorm?: number;
  readonly averageDecay: number;
}

/** A player's stretch of the flat vectors, and what has become of it up to now. */
interface Seat {
  readonly layout: ParameterLayout;
  parameters: Tensor;
  slots: Readonly<Record<string, Tensor>>;
  /** Turns that it has in a step, and those done. */
  turns: number;
  done: number;
}

/**
 * A whole step of a game: every turn's losses with the parameters that the turns before it have left, their gradient with
 * respect to the player's own parameters, and an update of these, all in one graph.
 * @param layout of all parameters of the model
 * @throws OptionError where the players do not hold all parameters of the model, one after the other
 */
export function gameStep(
  model: Adversarial,
  layout: ParameterLayout,
  { optimiser, clipNorm, averageDecay }: GameOptions,
  batch: SymbolicBatch,
): ReadonlyMap<string, Tensor> {
  const vector = (name: string): Tensor => input(name, [layout.size]);
  const [learningRate, step] = [input("learningRate", []), input("step", [])];
  const before = vector("parameters");
  const slotVectors = Object.fromEntries(optimiser.slots.map((slot) => [slot, vector(`slot.${slot}`)]));
  const { result: turns, updates } = traceTraining(() => model.turns(batch));
  const seats = seatsOf(
    turns.map(({ player }) => player),
    layout,
    before,
    slotVectors,
  );

  const outputs = new Map<string, Tensor>();
  const squares: Tensor[] = [];
  for (const { name, player, losses, rate = 1 } of turns) {
    const seat = seats.get(player);
    if (seat === undefined) throw new OptionError(`the player ${name} has no parameters`);
    const { total, ...parts } = losses;
    const named = Object.entries({ ...parts, [name]: total });
    const gradients = grad(total, seat.layout.parameters).map((gradient) => reshape(gradient, [-1]));
    const views = new Map([...seats.values()].flatMap((other) => [...other.layout.views(other.parameters)]));
    const [flat, ...values] = substitute([concat(gradients, 0), ...named.map(([, loss]) => loss)], views);
    if (flat === undefined) continue;
    for (const [i, [loss]] of named.entries()) outputs.set(`loss.${loss}`, values[i] ?? total);
    outputs.set("loss.total", values.at(-1) ?? total);
    const clipped =
      clipNorm === undefined
        ? { gradient: flat, norm: flat.square().sum().sqrt() }
        : clipByGlobalNorm(flat, clipNorm);
    squares.push(clipped.norm.square());
    seat.done += 1;
    const next = optimiser.update({
      parameters: seat.parameters,
      gradient: clipped.gradient,
      slots: seat.slots,
      learningRate: rate === 1 ? learningRate : learningRate.mul(rate),
      step: seat.turns === 1 ? step : step.sub(1).mul(seat.turns).add(seat.done),
    });
    seat.parameters = next.parameters;
    seat.slots = next.slots;
  }
  const whole = (piece: (seat: Seat) => Tensor): Tensor => concat([...seats.values()].map(piece), 0);
  const after = whole(({ parameters }) => parameters);
  outputs.set("parameters", after);
  for (const slot of optimiser.slots) {
    outputs.set(
      `slot.${slot}`,
      whole(({ slots }) => slots[slot] ?? before),
    );
  }
  outputs.set("gradientNorm", squares.reduce((a, b) => a.add(b)).sqrt());
  if (averageDecay > 0) outputs.set("average", movingAverage(vector("average"), after, averageDecay, step));
  const buffers = buffersOf(model);
  const values = substitute(
    buffers.map((buffer) => updates.get(buffer) ?? buffer),
    layout.views(before),
  );
  for (const [i, buffer] of buffers.entries()) outputs.set(buffer.name, values[i] ?? buffer);
  return outputs;
}

/** The players in the order of their parameters, each once. */
function seatsOf(
  players: readonly object[],
  layout: ParameterLayout,
  parameters: Tensor,
  slots: Readonly<Record<string, Tensor>>,
): ReadonlyMap<object, Seat> {
  const counts = new Map<object, number>();
  for (const player of players) counts.set(player, (counts.get(player) ?? 0) + 1);
  const placed = [...counts].map(([player, turns]) => {
    const own = parametersOf(player);
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
    const layoutOfOwn = new ParameterLayout(own);
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
