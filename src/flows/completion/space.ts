import type { DataInfo } from "../../model/data-info.ts";
import type { Jump, LogDensityAt } from "./hamiltonian.ts";

/** Coordinates in which chains move, one for each element of a sample. */
export interface Space {
  toData(state: number): number;
  fromData(value: number): number;
  /**
   * Log-density and gradient with respect to states, from those with respect to data: adds log |dx/du| of the elements
   * that move.
   */
  pullBack(states: Float64Array, movable: Uint8Array, size: number, at: LogDensityAt): LogDensityAt;
}

/** Data units themselves. */
export const plainSpace: Space = {
  toData: (state) => state,
  fromData: (value) => value,
  pullBack: (_states, _movable, _size, at) => at,
};

/**
 * Bounded elements on (0, range) as x = range · σ(u): chains cannot leave the range, and elements near an end (black
 * pixels), whose scale is a fraction of a unit, are stretched to about the scale of the others.
 */
export function imageSpace(range: number): Space {
  /** Draws that lie outside are placed this far within. */
  const margin = 0.25;
  return {
    toData: (state) => range / (1 + Math.exp(-state)),
    fromData: (value) => {
      const inside = Math.min(range - margin, Math.max(margin, Number.isFinite(value) ? value : range / 2));
      return Math.log(inside / (range - inside));
    },
    pullBack(states, movable, size, at) {
      const logDensity = Float64Array.from(at.logDensity);
      const gradient = Float64Array.from(at.gradient);
      for (let i = 0; i < states.length; i++) {
        if (movable[i] !== 1) continue;
        const share = 1 / (1 + Math.exp(-(states[i] ?? 0)));
        const slope = range * share * (1 - share);
        const chain = Math.floor(i / size);
        logDensity[chain] = (logDensity[chain] ?? 0) + Math.log(slope);
        gradient[i] = (gradient[i] ?? 0) * slope + 1 - 2 * share;
      }
      return { logDensity, gradient };
    },
  };
}

/** Where each element of some states [n, size] lies and how far it spreads: per element, [size]. */
export interface Spread {
  readonly center: Float64Array;
  readonly scale: Float64Array;
}

/** Spread by quantiles, which wild draws do not move: the median, and half the distance of the 16 % and 84 % quantiles. */
export function quantileScale(states: Float64Array, size: number): Spread {
  const count = states.length / size;
  const center = new Float64Array(size);
  const scale = new Float64Array(size);
  const column = new Float64Array(count);
  const at = (share: number): number => column[Math.min(count - 1, Math.floor(share * count))] ?? 0;
  for (let d = 0; d < size; d++) {
    for (let i = 0; i < count; i++) column[i] = states[i * size + d] ?? 0;
    column.sort();
    center[d] = at(0.5);
    const half = (at(0.84) - at(0.16)) / 2;
    scale[d] = half > 1e-6 ? half : 1;
  }
  return { center, scale };
}

/** Most columns that a leap changes at once. */
const LEAP_COLUMNS = 3;
/** How much wider than the flow's draws leaps are. */
const LEAP_WIDTH = 1.5;

/**
 * Leaps of the unknown columns of a table, or coordinates of points, to where the flow as a whole might be, which find
 * modes that no trajectory reaches: one to three columns at once are drawn anew, numbers from a Gaussian a little wider
 * than the flow's draws, categories by exchanging two numbers of their code.
 */
export function columnLeaps(
  data: Pick<DataInfo, "sampleShape" | "columns">,
  movable: Uint8Array,
  { center, scale }: Spread,
): Jump {
  const size = data.sampleShape.reduce((product, length) => product * length, 1);
  const widths = data.columns?.map((column) => column.size) ?? new Array<number>(size).fill(1);
  let start = 0;
  const columns = widths.map((width) => {
    start += width;
    return { start: start - width, width };
  });
  return (state, chain, random) => {
    const unknown = columns.filter((column) => movable[chain * size + column.start] === 1);
    let logRatio = 0;
    const count = Math.min(unknown.length, 1 + random.integer(LEAP_COLUMNS));
    for (let k = 0; k < count; k++) {
      const chosen = k + random.integer(unknown.length - k);
      const column = unknown[chosen];
      if (column === undefined) continue;
      unknown[chosen] = unknown[k] ?? column;
      const { start: d, width } = column;
      if (width === 1) {
        const deviation = LEAP_WIDTH * (scale[d] ?? 1);
        const before = ((state[d] ?? 0) - (center[d] ?? 0)) / deviation;
        const after = random.normal();
        state[d] = (center[d] ?? 0) + deviation * after;
        logRatio += (after * after - before * before) / 2;
      } else {
        const i = d + random.integer(width);
        const j = d + ((i - d + 1 + random.integer(width - 1)) % width);
        const held = state[i] ?? 0;
        state[i] = state[j] ?? 0;
        state[j] = held;
      }
    }
    return logRatio;
  };
}
