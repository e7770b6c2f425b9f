import { Compiled, type State, type Traceable } from "./program.ts";
import type { Runtime } from "./runtime.ts";

/**
 * A model's weights on a runtime: what sampling, scoring and detection run in. Functions compiled in it are kept, so
 * that calling a sampler twice compiles once.
 */
export class Session {
  readonly runtime: Runtime;
  readonly weights: State;
  private readonly functions = new Map<string, Compiled<string, string>>();

  constructor(runtime: Runtime, weights: State) {
    this.runtime = runtime;
    this.weights = weights;
  }

  /** The compiled function of this name; `body` is traced the first time, and must be the same at every call. */
  compiled<I extends string, O extends string>(name: string, body: Traceable<I, O>): Compiled<I, O> {
    let held = this.functions.get(name);
    if (held === undefined) {
      held = new Compiled<string, string>(body, { runtime: this.runtime, weights: this.weights });
      this.functions.set(name, held);
    }
    return held as unknown as Compiled<I, O>;
  }

  /** Frees all compiled functions. */
  async release(): Promise<void> {
    for (const held of this.functions.values()) await held.release();
    this.functions.clear();
  }
}
