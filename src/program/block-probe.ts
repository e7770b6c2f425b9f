import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import { apply, inputAt, type Operation, type Target, type Tensor } from "../tensor/graph.ts";
import { input } from "../tensor/leaves.ts";
import { BLOCKED_DOMAIN, lowerToOnnx } from "./lower.ts";
import { type OrtModule, ortRuntime, SESSION_CONFIG } from "./runtime.ts";

const PLAIN: Target = { contrib: false, block: 0 };
const CANDIDATES = [8, 16] as const;
const CHANNELS = 16;
const KERNEL = 3;
const WEIGHT_SHAPE = [CHANNELS, CHANNELS, KERNEL, KERNEL] as const;

/** A convolution by the plain kernel, or by the blocked kernel with a weight that is blocked already. */
function convolution(blocked: boolean): Operation {
  const attributes = { kernel_shape: { ints: [KERNEL, KERNEL] }, pads: { ints: [1, 1, 1, 1] } };
  return {
    name: "probe",
    infer: ([x]) => (x === undefined ? [] : [{ shape: x.shape, dtype: x.dtype }]),
    lower: (context, { inputs }) => {
      const [x, weight] = [context.value(inputAt(inputs, 0)), context.value(inputAt(inputs, 1))];
      if (!blocked) return [context.emit1({ op: "Conv", inputs: [x, weight], attributes })];
      const domain = BLOCKED_DOMAIN;
      const reordered = context.emit1({ op: "ReorderInput", inputs: [x], domain });
      const y = context.emit1({ op: "Conv", inputs: [reordered, weight], attributes, domain });
      const channels = { int: CHANNELS };
      return [context.emit1({ op: "ReorderOutput", inputs: [y], attributes: { channels }, domain })];
    },
  };
}

/** The weight [O, I, kh, kw] in the order [O/b, I/b, kh, kw, b of I, b of O] that the blocked kernel reads. */
function blockWeight(weight: Float32Array, block: number): Float32Array {
  const blocked = new Float32Array(weight.length);
  const area = KERNEL * KERNEL;
  const blocks = CHANNELS / block;
  for (let i = 0; i < weight.length; i++) {
    const [filter, channel, tap] = [
      Math.floor(i / (CHANNELS * area)),
      Math.floor(i / area) % CHANNELS,
      i % area,
    ];
    const at = (Math.floor(filter / block) * blocks + Math.floor(channel / block)) * area + tap;
    blocked[(at * block + (channel % block)) * block + (filter % block)] = weight[i] ?? 0;
  }
  return blocked;
}

/**
 * Finds the block of the NCHWc convolution kernels: 16 with AVX-512, 8 with AVX2, 0 where the library has no such
 * kernels. With the wrong block a blocked convolution gives wrong numbers without complaint, so each candidate is
 * compared with the plain convolution on a tiny example.
 */
export async function findBlock(ort: OrtModule): Promise<Target["block"]> {
  // Small whole numbers: the sums are exact in float32, whatever the order of addition.
  const whole = (shape: readonly number[], step: number): NdArray<"float32"> =>
    float32(
      Float32Array.from({ length: elementCount(shape) }, (_, i) => ((i * step) % 13) - 6),
      shape,
    );
  const data = whole([1, CHANNELS, KERNEL, KERNEL], 5);
  const weight = whole(WEIGHT_SHAPE, 7);
  const x = input("x", data.shape);
  const weights = new Map<Tensor, { readonly name: string; readonly value: NdArray }>();
  const bake = (name: string, values: Float32Array): Tensor => {
    const leaf = input(name, WEIGHT_SHAPE);
    weights.set(leaf, { name, value: float32(values, WEIGHT_SHAPE) });
    return leaf;
  };
  const outputs = new Map([["plain", apply(convolution(false), [x, bake("weight", weight.data)], {})]]);
  for (const block of CANDIDATES) {
    const blocked = bake(`weight.${block}`, blockWeight(weight.data, block));
    outputs.set(`blocked.${block}`, apply(convolution(true), [x, blocked], {}));
  }
  const model = lowerToOnnx({ inputs: new Map([[x, "x"]]), outputs, weights }, PLAIN);
  const runtime = ortRuntime(ort, "cpu", PLAIN, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "disabled",
    intraOpNumThreads: 1,
    logSeverityLevel: 4,
    extra: { session: SESSION_CONFIG },
  });
  try {
    const session = await runtime.load(model);
    const results = await session.run({ x: data });
    const plain = (await results.plain?.read())?.data;
    let found: Target["block"] = 0;
    for (const block of CANDIDATES) {
      const blocked = (await results[`blocked.${block}`]?.read())?.data;
      const equal =
        blocked !== undefined && plain?.every((value: number | bigint, i: number) => value === blocked[i]);
      if (equal) found = block;
    }
    await session.release();
    return found;
  } catch {
    // A library built without these kernels does not know the domain.
    return 0;
  }
}
