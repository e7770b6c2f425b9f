import type { Ordered } from "../program/program.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import { canOrder, intoKernelOrder, intoPlainOrder } from "../tensor/convolution/kernel-order.ts";
import { orderedWeights } from "../tensor/convolution/operations.ts";
import { elementCount } from "../tensor/index.ts";
import type { Parameter } from "../tensor/leaves.ts";
import type { BatchShape } from "./batches.ts";
import type { ParameterLayout } from "./layout.ts";
import { gradientName, type StepGraph, type StepTracer } from "./step.ts";

/** A weight in the vectors of training. */
interface Place {
  readonly parameter: Parameter;
  readonly from: number;
  readonly to: number;
}

/**
 * The weights of convolutions that training keeps in the order of the blocked kernels, while it goes on: in it they are read, and their
 * gradients made, without being carried from one order into another at every step, which for a network with many channels takes as long as a
 * tenth of all else. What is saved, shown or handed on is in plain order.
 */
export class KernelOrder {
  private readonly block: number;
  private readonly places: readonly Place[];
  /** Inputs and outputs of a step's program in this order. */
  readonly ordered: Ordered;

  /**
   * @param graph of a step, with gradients by `gradientName`
   * @param block of the kernels
   */
  constructor(graph: StepGraph, { parameters }: ParameterLayout, block: number) {
    this.block = block;
    const kept = orderedWeights([...graph.values()], parameters, block);
    const places: Place[] = [];
    let from = 0;
    for (const parameter of parameters) {
      const to = from + elementCount(parameter.shape);
      if (kept.has(parameter)) places.push({ parameter, from, to });
      from = to;
    }
    this.places = places;
    this.ordered = {
      inputs: places.map(({ parameter }) => parameter.name),
      outputs: parameters.flatMap((parameter, i) => (kept.has(parameter) ? [gradientName(i)] : [])),
    };
  }

  /** A copy of a vector, as it is saved, with these weights in their order. */
  kept(vector: Float32Array): NdArray<"float32"> {
    return this.carried(vector, intoKernelOrder);
  }

  /** A copy of a vector, as it is kept, in plain order. */
  plain(vector: Float32Array): NdArray<"float32"> {
    return this.carried(vector, intoPlainOrder);
  }

  private carried(vector: Float32Array, carry: typeof intoKernelOrder): NdArray<"float32"> {
    const copy = vector.slice();
    for (const { parameter, from, to } of this.places) {
      carry(vector.subarray(from, to), copy.subarray(from, to), parameter.shape, this.block);
    }
    return float32(copy, [copy.length]);
  }
}

/** The order of the weights of a step's graph; undefined where none of them can be kept in another one. */
export function kernelOrderOf(tracer: StepTracer, shape: BatchShape, block: number): KernelOrder | undefined {
  const { layout } = tracer;
  if (!layout.parameters.some((parameter) => canOrder(parameter.shape, block))) return undefined;
  return new KernelOrder(tracer.gradients(shape), layout, block);
}
