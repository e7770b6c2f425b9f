export * from "./index.ts";
export { availableProviders, evaluate, type NodeRuntimeOptions, nodeRuntime } from "./node.ts";
