export { Random } from "../random.ts";
export type { Target } from "../tensor/graph.ts";
export {
  Compiled,
  type CompileOptions,
  compile,
  type ExportMetadata,
  exportOnnx,
  type Feeds,
  type Inputs,
  Program,
  type RunOptions,
  Session,
  type State,
  type Traceable,
} from "./program.ts";
export {
  disposeValue,
  type Runtime,
  type RuntimeSession,
  type RuntimeValue,
  readValue,
  type Value,
} from "./runtime.ts";
