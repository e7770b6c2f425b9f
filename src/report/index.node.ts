export {
  type AnimationOptions,
  animationExtension,
  drawSamples,
  encodeAnimation,
  rasterise,
  type SamplesToDraw,
} from "./pictures.node.ts";
