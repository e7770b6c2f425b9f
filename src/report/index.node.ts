export {
  type AnimationOptions,
  animationExtension,
  encodeAnimation,
} from "./animation.node.ts";
export { drawSamples, rasterise, type SamplesToDraw } from "./sample-picture.node.ts";
