import type { Colour } from "./raster.ts";

/** Viridis (Smith and van der Walt, CC0) at equal distances. */
export const VIRIDIS: readonly Colour[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

/** The colour of a share of the scale; shares below 0 and above 1 have those of its ends. */
export function viridis(share: number): Colour {
  const position = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const low = VIRIDIS[Math.floor(position)] ?? [0, 0, 0];
  const high = VIRIDIS[Math.ceil(position)] ?? low;
  const mix = (channel: 0 | 1 | 2) =>
    Math.round(low[channel] + (high[channel] - low[channel]) * (position % 1));
  return [mix(0), mix(1), mix(2)];
}
