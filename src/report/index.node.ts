export { drawSamples, rasterise, type SamplesToDraw } from "./sample-picture.node.ts";
