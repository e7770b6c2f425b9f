export * from "./index.ts";
export { type WebRuntimeOptions, webRuntime } from "./web.ts";
