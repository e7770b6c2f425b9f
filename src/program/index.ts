export { Random } from "../random.ts";
export type { Target } from "../tensor/graph.ts";
export { type ExportMetadata, exportOnnx } from "./export.ts";
export {
  Compiled,
  type CompileOptions,
  compile,
  Program,
  type RunOptions,
  type State,
  type Traceable,
} from "./program.ts";
export type { Runtime, RuntimeSession, RuntimeValue } from "./runtime.ts";
export { Session } from "./session.ts";
