export { bitsPerDimension } from "./bits-per-dimension.ts";
export { energyDistance } from "./energy-distance.ts";
export { type SlicedWassersteinOptions, slicedWasserstein } from "./sliced-wasserstein.ts";
