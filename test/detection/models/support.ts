import { type CocoResult, DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { type DetectOptions, type Detector, detections } from "../../../src/detection/models/detector.ts";
import { detectors } from "../../../src/detection/models/detectors.ts";
import { buffersOf, initialState, nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { adam } from "../../../src/nn/optimizer.ts";
import { Program, Session, type State } from "../../../src/program/program.ts";
import { type RuntimeValue, readValue } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { substitute } from "../../../src/tensor/graph.ts";
import { traceTraining } from "../../../src/tensor/index.operations.ts";
import {
  concat,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  type Tensor,
  zeros,
} from "../../../src/tensor/index.ts";
import { ParameterLayout } from "../../../src/train/layout.ts";
import { testRuntime } from "../../tensor/support.ts";

/** A detector by name with options given, named and ready for weights. */
export function detectorNamed(
  name: string,
  options: Readonly<Record<string, unknown>>,
  sampleShape: readonly number[],
  classes = 2,
): Detector {
  const definition = detectors.get(name);
  if (definition === undefined) throw new Error(`there is no detector ${name}`);
  return nameParameters(definition.build(definition.options.parse(options), { sampleShape, classes }));
}

/** A batch as arrays. */
export type Batch = Readonly<{
  x: NdArray<"float32">;
  boxes: NdArray<"float32">;
  labels: NdArray<"int64">;
  ignored?: NdArray<"float32">;
}>;

/** Grey, noisy images with bright (class 0) and dark (class 1) rectangles: one in each quarter of an image, or fewer. */
export function rectangles(images: number, side: number, rows: number, count: number, seed = 1): Batch {
  const random = new Random(seed);
  const x = Float32Array.from({ length: images * 3 * side * side }, () => 110 + 20 * random.uniform());
  const boxes = new Float32Array(4 * images * rows);
  const labels = new Array<number>(images * rows).fill(-1);
  for (let image = 0; image < images; image++) {
    for (let i = 0; i < count; i++) {
      const half = side / 2;
      const [width, height] = [0, 0].map(() => Math.round(half * (0.4 + 0.4 * random.uniform())));
      if (width === undefined || height === undefined) continue;
      const left = (i % 2) * half + random.integer(half - width);
      const top = Math.floor(i / 2) * half + random.integer(half - height);
      const label = (image + i) % 2;
      boxes.set([left, top, left + width, top + height], 4 * (image * rows + i));
      labels[image * rows + i] = label;
      for (let channel = 0; channel < 3; channel++) {
        for (let row = top; row < top + height; row++) {
          const at = ((image * 3 + channel) * side + row) * side + left;
          x.fill(label === 0 ? 230 : 20, at, at + width);
        }
      }
    }
  }
  return {
    x: float32(x, [images, 3, side, side]),
    boxes: float32(boxes, [images, rows, 4]),
    labels: int64(labels, [images, rows]),
  };
}

/** The inputs that stand for a batch while tracing. */
export function symbolic({ x, boxes, labels, ignored }: Batch) {
  return {
    x: input("x", x.shape),
    boxes: input("boxes", boxes.shape),
    labels: input("labels", labels.shape, "int64"),
    ...(ignored !== undefined && { ignored: input("ignored", ignored.shape) }),
  };
}

/** Average precision of what a detector finds, with weights given, in images of rectangles, one in each quarter. */
export async function foundRectangles(
  detector: Detector,
  { x, boxes, labels }: Batch,
  weights: State,
  options: DetectOptions = {},
): Promise<CocoResult> {
  const session = new Session(await testRuntime(), weights);
  const found = await detections(detector, session, x, options);
  await session.release();
  const evaluator = new DetectionEvaluator(["bright", "dark"]);
  for (const [i, image] of found.entries()) {
    evaluator.add(image, {
      boxes: boxes.data.slice(16 * i, 16 * (i + 1)),
      classes: Array.from(labels.data.slice(4 * i, 4 * (i + 1)), Number),
    });
  }
  return evaluator.coco();
}

/** Weights after steps of Adam on one batch, in which the learning rate falls to 0. */
export async function overfitted(
  detector: Detector,
  batch: Batch,
  { steps, learningRate }: { readonly steps: number; readonly learningRate: number },
): Promise<State> {
  const layout = new ParameterLayout(parametersOf(detector));
  const { result: losses, updates } = traceTraining(() => detector.loss(symbolic(batch)));
  const gradients = grad(losses.total, [...layout.parameters]).map((gradient) => gradient.reshape([-1]));
  const parameters = input("parameters", [layout.size]);
  const buffers = buffersOf(detector);
  const [flat = parameters, ...statistics] = substitute(
    [concat(gradients, 0), ...buffers.map((buffer) => updates.get(buffer) ?? buffer)],
    layout.views(parameters),
  );
  const slots = Object.fromEntries(adam().slots.map((slot) => [slot, input(`slot.${slot}`, [layout.size])]));
  const next = adam().update({
    parameters,
    gradient: flat,
    slots,
    learningRate: input("learningRate", []),
    step: input("step", []),
  });
  const outputs = new Map<string, Tensor>([["parameters", next.parameters]]);
  for (const [slot, value] of Object.entries(next.slots)) outputs.set(`slot.${slot}`, value);
  for (const [i, buffer] of buffers.entries()) outputs.set(buffer.name, statistics[i] ?? buffer);
  const program = await Program.build(outputs, await testRuntime());
  const start = initialState(detector, 1);
  let values: Readonly<Record<string, NdArray | RuntimeValue>> = {
    ...Object.fromEntries([...outputs.keys()].map((name) => [name, zeros("float32", [layout.size])])),
    ...Object.fromEntries(buffers.flatMap(({ name }) => [[name, start.get(name) ?? zeros("float32", [])]])),
    parameters: float32(layout.pack(start), [layout.size]),
  };
  for (let step = 1; step <= steps; step++) {
    const rate = learningRate * Math.min(1, step / 10) * (1 - (step - 1) / steps);
    const clock = { step: float32([step], []), learningRate: float32([rate], []) };
    values = await program.runValues({ ...values, ...batch, ...clock }, { random: new Random(step) });
  }
  await program.release();
  const read = async (name: string): Promise<NdArray> => {
    const value = values[name];
    if (value === undefined) throw new Error(`no ${name}`);
    return readValue(value);
  };
  const weights = new Map(layout.unpack((await read("parameters")).data as Float32Array));
  for (const { name } of buffers) weights.set(name, await read(name));
  return weights;
}
