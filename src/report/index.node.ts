export {
  type AnimationOptions,
  animationExtension,
  drawSamples,
  encodeAnimation,
  rasterize,
  type SamplesToDraw,
} from "./pictures.node.ts";
