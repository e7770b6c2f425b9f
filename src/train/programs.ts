import { type Ordered, Program } from "../program/program.ts";
import type { Runtime } from "../program/runtime.ts";
import type { BatchShape } from "./batches.ts";
import type { StepGraph } from "./step.ts";

/** Most programs that are held at once: each keeps the memory that its largest step took. */
export const MOST_PROGRAMS = 8;

/**
 * The programs of training steps: one for each shape that batches have, built when the first batch of that shape comes. All take and
 * return the same vectors, so that a step of one goes on where that of another has ended. Where there are too many, the one that has not
 * been used for longest is released.
 */
export class ShapedPrograms {
  private readonly trace: (shape: BatchShape) => StepGraph;
  private readonly runtime: Runtime;
  private readonly most: number;
  private readonly ordered: Ordered | undefined;
  /** By shape, from the one that has not been used for longest on. */
  private readonly programs = new Map<string, Program>();

  /**
   * @param trace what a step computes of a batch of that shape
   * @param most programs that are held
   * @param ordered inputs and outputs in the order of the blocked kernels (`Program.build`)
   */
  constructor(
    trace: (shape: BatchShape) => StepGraph,
    runtime: Runtime,
    most = MOST_PROGRAMS,
    ordered?: Ordered,
  ) {
    this.trace = trace;
    this.runtime = runtime;
    this.most = most;
    this.ordered = ordered;
  }

  /** Programs that are held. */
  get size(): number {
    return this.programs.size;
  }

  /** The program for batches of that shape; it may be released when another shape is asked for. @throws as `Program.build` */
  async at(shape: BatchShape): Promise<Program> {
    const key = JSON.stringify(shape);
    const known = this.programs.get(key);
    if (known !== undefined) {
      this.programs.delete(key);
      this.programs.set(key, known);
      return known;
    }
    const [oldest] = this.programs;
    if (oldest !== undefined && this.programs.size >= this.most) {
      this.programs.delete(oldest[0]);
      await oldest[1].release();
    }
    const program = await Program.build(this.trace(shape), this.runtime, undefined, this.ordered);
    this.programs.set(key, program);
    return program;
  }

  async release(): Promise<void> {
    const programs = [...this.programs.values()];
    this.programs.clear();
    for (const program of programs) await program.release();
  }
}
