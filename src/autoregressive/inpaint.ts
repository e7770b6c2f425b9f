import { append } from "../append.ts";
import { OptionError } from "../errors.ts";
import type { InpaintOptions } from "../model/capabilities.ts";
import type { DataInfo } from "../model/data-info.ts";
import { classShares } from "../model/data-info.ts";
import { type IncompleteRow, incompleteRows } from "../model/sampling.ts";
import type { Session } from "../program/program.ts";
import { Random } from "../random.ts";
import { elementCount, float32, type NdArray } from "../tensor/index.ts";
import { type Conditionals, type Ensemble, isOfClass, ordersOf } from "./conditionals.ts";
import { type DrawnRows, drawRows, PART_ELEMENTS, PART_ROWS, type WantedRow } from "./draw-rows.ts";

/** Proposals of a chain by default. */
const STEPS = 100;

interface Work {
  readonly conditionals: Conditionals | Ensemble;
  readonly orders: readonly (readonly number[])[];
  /** Elements of a sample. */
  readonly size: number;
  readonly session: Session;
  readonly steps: number;
}

/** One of several distributions that a sample may be of: that of a member of an ensemble, or of a class. */
interface Component extends Pick<WantedRow, "member" | "label"> {
  readonly share: number;
}

/** A sample to complete and what it may be of; one distribution alone for most models. */
interface Sample extends IncompleteRow {
  readonly components: readonly Component[];
}

/** One completion to make. */
interface Chain extends Sample {
  readonly random: Random;
}

/** Makes a completion of each chain. */
type Method = (
  work: Work,
  chains: readonly Chain[],
  report: (share: number) => void,
) => Promise<Float32Array>;

/**
 * Completions of partly known samples from p(x_unknown | x_known), by the first of these that can be had:
 *
 * - Nothing is unknown: the sample itself.
 * - The known elements come first in the order (of every member): the unknown ones are drawn one after the other, which
 *   is exact. A member of an ensemble, or the class where none is given, is drawn with the probability that it has given
 *   the known elements.
 * - The model serves any order: an order with the known elements first is drawn for each set of them, and the draw is
 *   exact under the model in that order.
 * - Otherwise by independent Metropolis–Hastings: proposals are drawn element by element with the known ones held, and
 *   the one with weight w′ = ∏ p(x_i | x_<i) over known i replaces that with w with probability min(1, w′ / w). That
 *   leaves the exact conditional invariant, and reaches it the sooner the less the weights vary.
 *
 * @throws OptionError where shapes do not fit, a class is given to a model without classes, or `exact` is asked and there
 *   is no exact method
 */
export async function inpaintAutoregressive(
  conditionals: Conditionals | Ensemble,
  data: DataInfo,
  session: Session,
  options: InpaintOptions,
): Promise<NdArray<"float32">> {
  const componentsOf = components(conditionals, data, options.label);
  const rows = incompleteRows(options, data.sampleShape).map(
    (row): Sample => ({ ...row, components: componentsOf(row.index) }),
  );
  const orders = ordersOf(conditionals);
  const size = elementCount(data.sampleShape);
  const work = { conditionals, orders, size, session, steps: options.steps ?? STEPS };
  const groups = new Map<Method, Sample[]>();
  for (const row of rows) {
    const method = methodOf(work, row, options.exact);
    append(groups, method, row);
  }

  const random = new Random(options.seed).split("inpaint");
  const { draws } = options;
  const result = new Float32Array(rows.length * draws * size);
  const limit = Math.max(1, Math.floor(Math.min(PART_ROWS, PART_ELEMENTS / size) / draws));
  let done = 0;
  for (const [method, group] of groups) {
    for (let first = 0; first < group.length; first += limit) {
      const part = group.slice(first, first + limit);
      const chains = part.flatMap((row) =>
        Array.from({ length: draws }, (_, draw) => ({ ...row, random: random.split(row.index).split(draw) })),
      );
      const completed = await method(work, chains, (share) =>
        options.onProgress?.((done + share * part.length) / rows.length),
      );
      part.forEach(({ index }, i) => {
        result.set(completed.subarray(i * draws * size, (i + 1) * draws * size), index * draws * size);
      });
      done += part.length;
      options.onProgress?.(done / rows.length);
    }
  }
  return float32(result, [rows.length, draws, ...data.sampleShape]);
}

/**
 * The distributions that a sample may be of, by its index.
 * @param label class of all samples or of each, where it is given
 * @throws OptionError where a class is given to a model without classes
 */
function components(
  conditionals: Conditionals | Ensemble,
  data: DataInfo,
  label: InpaintOptions["label"],
): (index: number) => readonly Component[] {
  if (conditionals.kind === "ensemble") {
    const members = conditionals.orders.map((_, member) => ({ member, share: 1 }));
    if (label === undefined) return () => members;
  } else if (isOfClass(conditionals)) {
    const classes = classShares(data).map((share, k) => ({ label: k, share }));
    const possible = classes.filter(({ share }) => share > 0);
    return (index) => {
      const given = typeof label === "number" ? label : label?.[index];
      return given === undefined ? possible : [{ label: given, share: 1 }];
    };
  } else if (label === undefined) return () => [{ share: 1 }];
  throw new OptionError("option label: this model is not conditional on classes");
}

/** @throws OptionError where an exact method is asked for and there is none */
function methodOf({ conditionals, orders }: Work, row: IncompleteRow, exact: boolean | undefined): Method {
  if (!row.known.some((value) => value !== 1)) return async (_work, chains) => joined(chains);
  if (exact === false) return iterate;
  if (orders.every((order) => comeFirst(order, row.known))) return drawInOrder;
  if (conditionals.kind === "ensemble" && conditionals.inOrder !== undefined) return drawInOwnOrder;
  if (exact === true) {
    throw new OptionError(
      `there is no exact conditional draw for sample ${row.index}: its known elements do not come first in the model's order`,
    );
  }
  return iterate;
}

/** Whether all known elements stand before all unknown ones. */
function comeFirst(order: readonly number[], known: Float32Array): boolean {
  const first = order.findIndex((element) => known[element] !== 1);
  return order.slice(first).every((element) => known[element] !== 1);
}

/** The samples as they were given. */
function joined(chains: readonly Chain[]): Float32Array {
  const size = chains[0]?.x.length ?? 0;
  const result = new Float32Array(chains.length * size);
  for (const [c, { x }] of chains.entries()) result.set(x, c * size);
  return result;
}

function draw(
  { conditionals, size, session }: Work,
  wanted: readonly WantedRow[],
  report?: (share: number) => void,
): Promise<DrawnRows> {
  return drawRows(conditionals, size, session, wanted, report);
}

const drawInOrder: Method = async (work, chains, report) => {
  const row = ({ random, ...given }: Chain, component: Component | undefined): WantedRow => ({
    ...component,
    random,
    given,
  });
  // log p_m(known) of each sample: the weight of a draw is that where the known elements come first.
  const samples = [...new Map(chains.map((chain) => [chain.index, chain])).values()];
  const uncertain = samples.filter((chain) => chain.components.length > 1);
  const { logKnown } = await draw(
    work,
    uncertain.flatMap((chain) => chain.components.map((component) => row(chain, component))),
    (share) => report(share / 2),
  );
  let at = 0;
  const weights = new Map(
    uncertain.map(({ index, components: own }) => [
      index,
      own.map(({ share }) => Math.log(share) + (logKnown[at++] ?? Number.NEGATIVE_INFINITY)),
    ]),
  );
  const chosen = chains.map((chain) => {
    const logWeights = weights.get(chain.index) ?? [0];
    return row(chain, chain.components[drawIndex(logWeights, chain.random.split("member").uniform())]);
  });
  return (await draw(work, chosen, (share) => report((1 + share) / 2))).x;
};

/** The number at a position on [0, 1) that is divided in proportion to the exponentials of weights. */
function drawIndex(logWeights: ArrayLike<number>, position: number): number {
  const largest = Math.max(...Array.from(logWeights));
  const shares = Array.from(logWeights, (weight) => Math.exp(weight - largest));
  let left = position * shares.reduce((sum, share) => sum + share, 0);
  const found = shares.findIndex((share) => {
    left -= share;
    return left < 0;
  });
  return found >= 0 ? found : shares.length - 1;
}

/** One of the components, by their shares. */
function componentAt(among: readonly Component[], random: Random): Component | undefined {
  if (among.length === 1) return among[0];
  const logShares = among.map(({ share }) => Math.log(share));
  return among[drawIndex(logShares, random.split("member").uniform())];
}

const drawInOwnOrder: Method = async (work, chains, report) => {
  const orders = new Map<string, readonly number[]>();
  const wanted = chains.map((chain): WantedRow => {
    const key = chain.known.join("");
    const order = orders.get(key) ?? orderFor(chain.known);
    orders.set(key, order);
    return { random: chain.random, given: chain, order };
  });
  return (await draw(work, wanted, report)).x;
};

/** A random order with the known elements first, the same at every call. */
function orderFor(known: Float32Array): readonly number[] {
  const mixed = Array.from(new Random(0).split("order").permutation(known.length));
  return [
    ...mixed.filter((element) => known[element] === 1),
    ...mixed.filter((element) => known[element] !== 1),
  ];
}

const iterate: Method = async (work, chains, report) => {
  const { size, steps } = work;
  const state = new Float32Array(chains.length * size);
  const weights = new Array<number>(chains.length).fill(Number.NEGATIVE_INFINITY);
  // Proposals do not depend on where a chain stands, so that those of several steps are drawn at once.
  const limit = Math.min(PART_ROWS, Math.floor(PART_ELEMENTS / size));
  const together = Math.max(1, Math.floor(limit / chains.length));
  for (let first = 0; first < steps; first += together) {
    const part = Array.from({ length: Math.min(together, steps - first) }, (_, i) => first + i);
    const wanted = part.flatMap((step) =>
      chains.map((chain): WantedRow => {
        const random = chain.random.split(step);
        return {
          ...componentAt(chain.components, random),
          random,
          given: chain,
        };
      }),
    );
    const proposed = await draw(work, wanted, (share) => report((first + share * part.length) / steps));
    wanted.forEach(({ random }, i) => {
      const c = i % chains.length;
      const weight = proposed.logKnown[i] ?? Number.NEGATIVE_INFINITY;
      if (Math.log(random.split("accept").uniform()) >= weight - (weights[c] ?? weight)) return;
      weights[c] = weight;
      state.set(proposed.x.subarray(i * size, (i + 1) * size), c * size);
    });
  }
  return state;
};
