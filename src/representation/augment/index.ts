export * from "./blur.ts";
export * from "./color.ts";
export * from "./corrupt.ts";
export * from "./crop.ts";
export * from "./turn.ts";
export { type ViewOptions, Views, viewOptions } from "./views.ts";
