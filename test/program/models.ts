import { Conv2d, Linear, Mlp, TimeConditionedMlp, UNet } from "../../src/nn/index.ts";
import { initialState, type Module, nameParameters } from "../../src/nn/module.ts";
import { BatchNorm2d } from "../../src/nn/normalization.ts";
import type { State } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { elementCount, float32, type NdArray } from "../../src/tensor/array.ts";
import { mean, softmax } from "../../src/tensor/index.operations.ts";
import { input, maxPool2d, normal, type Tensor } from "../../src/tensor/index.ts";
import type { Dim } from "../../src/tensor/shape.ts";

// Small models whose exported graphs are compared with eidos itself and with ONNX's reference implementation.

/** Weights that leave nothing at zero, so that every part of a model shows in its output. */
export function weightsOf(model: Module): State {
  const random = new Random(1);
  const weights = new Map<string, NdArray>();
  for (const [name, { data, shape }] of initialState(model, 0)) {
    const shift = new Float32Array(data.length);
    random.split(name).fillUniform(shift);
    weights.set(
      name,
      float32(
        shift.map((value, i) => Number(data[i]) + value * 0.2),
        shape,
      ),
    );
  }
  return weights;
}

class Classifier {
  readonly conv = new Conv2d(3, 8, 3, { stride: 2, padding: 1 });
  readonly norm = new BatchNorm2d(8);
  readonly head = new Linear(8, 4);

  forward(x: Tensor): Tensor {
    const features = maxPool2d(this.norm.forward(this.conv.forward(x)).relu(), { kernel: 2 });
    return softmax(this.head.forward(mean(features, [2, 3])));
  }
}

/** A model with the graph that is exported of it, traced for a batch of any size. */
export interface ExportCase {
  readonly weights: State;
  /** Shapes of one sample of each input, without the batch axis. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  trace(inputs: Readonly<Record<string, Tensor>>): Readonly<Record<string, Tensor>>;
}

function exportCase<M extends Module>(
  model: M,
  inputs: ExportCase["inputs"],
  trace: (model: M, inputs: Readonly<Record<string, Tensor>>) => Readonly<Record<string, Tensor>>,
): ExportCase {
  nameParameters(model);
  return { weights: weightsOf(model), inputs, trace: (tensors) => trace(model, tensors) };
}

function given(tensors: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const tensor = tensors[name];
  if (tensor === undefined) throw new Error(`no input ${name}`);
  return tensor;
}

export const EXPORT_CASES: Readonly<Record<string, ExportCase>> = {
  mlp: exportCase(
    new TimeConditionedMlp({ inputs: 2, width: 16, depth: 2, timeFeatures: 8 }),
    { x: [2], t: [] },
    (model, inputs) => ({ velocity: model.forward(given(inputs, "x"), given(inputs, "t")) }),
  ),
  unet: exportCase(
    new UNet({ inputs: 1, base: 16, multipliers: [1, 2], groups: 8, heads: 2 }),
    { x: [1, 8, 8], t: [] },
    (model, inputs) => ({ velocity: model.forward(given(inputs, "x"), given(inputs, "t")) }),
  ),
  classifier: exportCase(new Classifier(), { x: [3, 12, 12] }, (model, inputs) => ({
    probabilities: model.forward(given(inputs, "x")),
  })),
  noisy: exportCase(new Mlp([3, 8, 3]), { x: [3] }, (model, inputs) => {
    const x = given(inputs, "x");
    const hidden = model.forward(x.add(normal(x.shape)));
    return { y: hidden.add(normal(x.shape).mul(0.5)), size: hidden.square().sum(1) };
  }),
};

/** The graph of a case for a batch size, or for any where it is the symbol. */
export function traceCase({ inputs, trace }: ExportCase, batch: Dim): Readonly<Record<string, Tensor>> {
  return trace(
    Object.fromEntries(Object.entries(inputs).map(([name, shape]) => [name, input(name, [batch, ...shape])])),
  );
}

/** Samples for the inputs of a case. */
export function samplesFor({ inputs }: ExportCase, batch: number): Record<string, NdArray<"float32">> {
  const random = new Random(2);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, shape]) => {
      const full = [batch, ...shape];
      const data = new Float32Array(elementCount(full));
      random.split(name).fillUniform(data);
      return [name, float32(data, full)];
    }),
  );
}
