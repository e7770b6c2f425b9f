import { OptionError, WeightsError } from "../../../errors.ts";
import { counted } from "../../../memory.ts";
import { type OnnxGraph, type OnnxOperation, readOnnx } from "../../../nn/onnx.ts";
import { shortened } from "../../../printable.ts";
import type { State } from "../../../program/program.ts";
import { float32, type NdArray } from "../../../tensor/array.ts";
import { FACE_LANDMARKS } from "../../boxes/landmarks.ts";
import { BYTE_SCALE } from "./yunet.ts";

// Face detectors as others have published them: ONNX files, in which batch norms are part of the convolutions, and most weights are called by
// numbers. The convolutions come in the order in which the network is computed, so that each is known by its place, its shape and its steps.

/** Models that published face detectors become. */
export const FACE_MODELS = ["yunet", "ultra-light-rfb"] as const;

export type FaceModel = (typeof FACE_MODELS)[number];

/** A published face detector, read. */
export interface PublishedFaceDetector {
  readonly model: FaceModel;
  /** Options of the model with which it computes the same. */
  readonly modelOptions: Readonly<Record<string, unknown>>;
  /** Classes that it finds, without background. */
  readonly classes: number;
  /** Names of the classes, where they are known. */
  readonly classNames: readonly string[] | undefined;
  /** Side of the square that images are fitted into at which it works as its authors had it. */
  readonly size: number;
  /** Values by the names of the model. */
  readonly state: State;
  /** Lines for a person: what was assumed or changed. */
  readonly notes: readonly string[];
}

/** A convolution that a model has: its name, and how it steps. */
interface Step {
  readonly name: string;
  readonly stride: number;
  readonly dilation: number;
}

/** A convolution of a file. */
interface Convolution {
  readonly node: OnnxOperation;
  /** [out, in / groups, kh, kw]. */
  readonly weight: NdArray;
  readonly bias: NdArray;
}

const step = (name: string, stride = 1, dilation = 1): Step => ({ name, stride, dilation });

/** 1×1, then 3×3. */
const pointwiseFirst = (name: string): readonly Step[] => [
  step(`${name}.pointwise`),
  step(`${name}.depthwise`),
];

/** 3×3, then 1×1. */
const depthwiseFirst = (name: string, stride = 1): readonly Step[] => [
  step(`${name}.depthwise`, stride),
  step(`${name}.pointwise`),
];

/** The convolutions of YuNet in the order of its files. */
function yunetSteps(landmarks: boolean): readonly Step[] {
  const heads = (part: string) => [0, 1, 2].flatMap((level) => pointwiseFirst(`heads.${level}.${part}`));
  return [
    step("stem", 2),
    ...pointwiseFirst("second"),
    ...[0, 1, 2, 3, 4].flatMap((stage) => [0, 1].flatMap((i) => pointwiseFirst(`stages.${stage}.${i}`))),
    ...[2, 1, 0].flatMap((level) => pointwiseFirst(`laterals.${level}`)),
    ...["shared", "classes", "boxes", "objectness", ...(landmarks ? ["landmarks"] : [])].flatMap(heads),
  ];
}

/** The convolutions of Ultra-Light RFB in the order of its files. */
function ultraLightSteps(): readonly Step[] {
  const blocks = (name: string, strides: readonly number[]) =>
    strides.flatMap((stride, i) => depthwiseFirst(`${name}.${i}`, stride));
  const head = (level: number) =>
    ["classes", "boxes"].flatMap((part) => depthwiseFirst(`heads.${level}.${part}`));
  const branch = (i: number, layers: number, dilation: number) =>
    Array.from({ length: layers }, (_, layer) =>
      step(`field.branches.${i}.${layer}`, 1, layer === layers - 1 ? dilation : 1),
    );
  return [
    step("stem", 2),
    ...blocks("finest", [1, 2, 1, 2, 1, 1]),
    ...branch(0, 3, 2),
    ...branch(1, 3, 3),
    ...branch(2, 4, 5),
    step("field.joined"),
    step("field.shortcut"),
    ...head(0),
    ...blocks("middle", [2, 1, 1]),
    ...head(1),
    ...blocks("coarse", [2, 1]),
    ...head(2),
    step("narrow"),
    ...depthwiseFirst("extra", 2),
    step("heads.3.classes"),
    step("heads.3.boxes"),
  ];
}

/** How a file of a model is told from others. */
interface Publication {
  readonly what: string;
  /** Names of outputs that it has, among others. */
  readonly outputs: readonly string[];
  /** Numbers of operations by name, of those that decide what weights mean. */
  readonly counts: Readonly<Record<string, number>>;
  readonly size: number;
}

const PUBLICATIONS: Readonly<Record<FaceModel, Publication>> = {
  yunet: {
    what: "YuNet of libfacedetection",
    outputs: ["cls_8", "cls_16", "cls_32", "obj_8", "bbox_8"],
    counts: { Relu: 18, MaxPool: 4, Add: 2 },
    // The side of the squares that its authors trained it on.
    size: 640,
  },
  "ultra-light-rfb": {
    what: "the RFB form of Ultra-Light-Fast-Generic-Face-Detector-1MB",
    outputs: ["scores", "boxes"],
    counts: { Relu: 37, MaxPool: 0 },
    // A photo of 4 : 3 is then one of the 320 × 240 pixels that it was made for.
    size: 320,
  },
};

/** Operations that none of the networks has: with them, the same weights would give other numbers. */
const OTHERS = [
  "LeakyRelu",
  "PRelu",
  "Elu",
  "Selu",
  "Clip",
  "HardSwish",
  "HardSigmoid",
  "Tanh",
  "AveragePool",
  "ConvTranspose",
];

type Fail = (why: string) => never;

/** The convolutions of a graph, in its order. @throws by `fail` where one has no weight or bias of its own */
function convolutionsOf({ nodes, values }: OnnxGraph, fail: Fail): readonly Convolution[] {
  return nodes.flatMap((node): Convolution[] => {
    if (node.op !== "Conv") return [];
    const [, weight, bias] = node.inputs.map((name) => values.get(name));
    if (weight === undefined || bias === undefined || weight.shape.length !== 4) {
      return fail(
        `convolution ${shortened(node.name || node.outputs.join())} has no weight [out, in, height, width] and bias of its own`,
      );
    }
    return [{ node, weight, bias }];
  });
}

/** @throws by `fail` where a convolution does not step as it should */
function checkStep(
  { node: { attributes }, weight }: Convolution,
  { name, stride, dilation }: Step,
  fail: Fail,
): void {
  const [, , height = 1, width = 1] = weight.shape;
  const padding = (dilation * (height - 1)) / 2;
  const fits = (attribute: string, wanted: number, usual: number): boolean => {
    const value = attributes.get(attribute);
    return value === undefined
      ? wanted === usual
      : Array.isArray(value) && value.every((each) => each === wanted);
  };
  const automatic = attributes.get("auto_pad") ?? "NOTSET";
  if (
    height !== width ||
    !fits("strides", stride, 1) ||
    !fits("dilations", dilation, 1) ||
    !fits("pads", padding, 0) ||
    automatic !== "NOTSET"
  ) {
    fail(
      `the convolution in the place of ${name} has another stride, padding or dilation; it is of another network`,
    );
  }
}

/** Which of the models has the outputs of a graph, beside others perhaps. */
function byOutputs({ outputs }: OnnxGraph): FaceModel | undefined {
  return FACE_MODELS.find((model) => PUBLICATIONS[model].outputs.every((name) => outputs.includes(name)));
}

/**
 * Which of the models a file is of, by the outputs and the operations of its graph, as other detectors have boxes and scores, too; undefined
 * where it is of none. @throws WeightsError where it is damaged
 */
export function publishedFaceModel(bytes: Uint8Array, fileName: string): FaceModel | undefined {
  const graph = readOnnx(bytes, fileName);
  const model = byOutputs(graph);
  return model === undefined || otherOperation(graph, model) !== undefined ? undefined : model;
}

/** Which of the models a graph is, by its outputs. @throws by `fail` */
function modelOf(graph: OnnxGraph, fail: Fail): FaceModel {
  const { nodes, outputs } = graph;
  const norms = nodes.filter(({ op }) => op === "BatchNormalization").length;
  if (norms > 0) {
    fail(
      `has ${counted(norms, "batch norm")} beside the convolutions; export the network for inference, which makes them parts of these`,
    );
  }
  const readable = FACE_MODELS.map((model) => `${PUBLICATIONS[model].what} (--as ${model})`).join(", ");
  return (
    byOutputs(graph) ??
    fail(
      `no face detector that is read, by its outputs ${outputs.slice(0, 4).map(shortened).join(", ")}; import reads ${readable}`,
    )
  );
}

/** What a graph has of operations that its model has not; undefined where it has the same. */
function otherOperation({ nodes }: OnnxGraph, model: FaceModel): string | undefined {
  const { what, counts } = PUBLICATIONS[model];
  const count = (op: string) => nodes.filter((node) => node.op === op).length;
  for (const op of OTHERS) {
    if (count(op) > 0) return `has an operation ${op}, which ${what} has not`;
  }
  for (const [op, wanted] of Object.entries(counts)) {
    if (count(op) !== wanted) {
      return `has ${counted(count(op), "operation")} ${op}, where ${what} has ${wanted}`;
    }
  }
  return undefined;
}

/** The values of the model's convolutions, from those of a file. @throws by `fail` where they are others */
function stateOf(
  convolutions: readonly Convolution[],
  steps: readonly Step[],
  model: FaceModel,
  fail: Fail,
): Map<string, NdArray> {
  if (convolutions.length !== steps.length) {
    fail(
      `has ${convolutions.length} convolutions, where ${PUBLICATIONS[model].what} has ${steps.length}; it is of another network`,
    );
  }
  return new Map(
    convolutions.flatMap((convolution, i) => {
      const own = steps[i];
      if (own === undefined) return [];
      checkStep(convolution, own, fail);
      return [
        [`${own.name}.weight`, convolution.weight] as const,
        [`${own.name}.bias`, convolution.bias] as const,
      ];
    }),
  );
}

/** Outputs of a convolution of the model. */
const outputsOf = (state: State, name: string): number => state.get(`${name}.bias`)?.data.length ?? 0;

/**
 * The first weights of YuNet [out, 3, 3, 3] for red, green, blue in bytes / 128, where the file's are for blue, green, red in bytes. A power
 * of two changes no digit.
 */
function forColors({ shape, data }: NdArray): NdArray {
  const [out = 0, colors = 0, height = 0, width = 0] = shape;
  const area = height * width;
  const values = new Float32Array(data.length);
  for (let i = 0; i < out * colors; i++) {
    const other = Math.floor(i / colors) * colors + (colors - 1 - (i % colors));
    for (let j = 0; j < area; j++) values[i * area + j] = Number(data[other * area + j]) * BYTE_SCALE;
  }
  return float32(values, shape);
}

function yunetOf(
  state: Map<string, NdArray>,
): Pick<PublishedFaceDetector, "modelOptions" | "classes" | "notes"> {
  const stem = state.get("stem.weight");
  if (stem !== undefined) state.set("stem.weight", forColors(stem));
  const landmarks = outputsOf(state, "heads.0.landmarks.depthwise") / 2;
  const names = landmarks === FACE_LANDMARKS.length ? ` (${FACE_LANDMARKS.join(", ")})` : "";
  return {
    modelOptions: {
      channels: ["second.depthwise", ...[0, 1, 2, 3, 4].map((stage) => `stages.${stage}.1.depthwise`)].map(
        (name) => outputsOf(state, name),
      ),
      landmarks,
    },
    classes: outputsOf(state, "heads.0.classes.depthwise"),
    notes:
      landmarks === 0
        ? []
        : [`${counted(landmarks, "landmark")}${names}; a fit that begins from here takes --landmarks 0`],
  };
}

function ultraLightOf(state: State): Pick<PublishedFaceDetector, "modelOptions" | "classes" | "notes"> {
  return {
    modelOptions: { channels: outputsOf(state, "stem") },
    // Three anchors of a location of the finest map, each with background.
    classes: outputsOf(state, "heads.0.classes.pointwise") / 3 - 1,
    notes: [],
  };
}

/**
 * A face detector as its authors have published it, from its ONNX file: YuNet (libfacedetection.train, also in the model zoo of OpenCV) of any
 * width, and the RFB form of Ultra-Light-Fast-Generic-Face-Detector-1MB without decoding inside. With the options here, all that it predicts is
 * what the file computes of the same pixels.
 * @param as the model that it is to be; an error names the right one
 * @param fileName named in errors
 * @throws OptionError where it is of the other model; WeightsError where it is none of them, or damaged
 */
export function readFaceDetector(bytes: Uint8Array, as: FaceModel, fileName: string): PublishedFaceDetector {
  const fail: Fail = (why) => {
    throw new WeightsError(`${fileName}: ${why}`);
  };
  const graph = readOnnx(bytes, fileName);
  const model = modelOf(graph, fail);
  if (model !== as) {
    throw new OptionError(
      `option as: ${fileName} looks like ${PUBLICATIONS[model].what}, which is no ${as}; give --as ${model}`,
    );
  }
  const other = otherOperation(graph, model);
  if (other !== undefined) fail(`${other}; it is of another network`);
  const steps = model === "yunet" ? yunetSteps(graph.outputs.includes("kps_8")) : ultraLightSteps();
  const state = stateOf(convolutionsOf(graph, fail), steps, model, fail);
  const own = model === "yunet" ? yunetOf(state) : ultraLightOf(state);
  if (!Number.isInteger(own.classes) || own.classes < 1) fail("it has no class");
  return {
    model,
    ...own,
    classNames: own.classes === 1 ? ["face"] : undefined,
    size: PUBLICATIONS[model].size,
    state,
  };
}
