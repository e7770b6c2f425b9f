export { angularFlow } from "./encoding.ts";
export { type RepaintOptions, type RepaintPlan, repaint } from "./inpainting.ts";
