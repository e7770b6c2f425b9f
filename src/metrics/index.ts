export { bitsPerDimension } from "./bits-per-dimension.ts";
export { energyDistance } from "./energy-distance.ts";
export { areaUnderRoc, averagePrecision, descendingOrder } from "./roc.ts";
export { type SlicedWassersteinOptions, slicedWasserstein } from "./sliced-wasserstein.ts";
