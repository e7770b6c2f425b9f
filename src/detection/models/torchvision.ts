import { scaledChannels } from "../../backbones/backbone.ts";
import { isPublished, PUBLISHED_NAMES } from "../../backbones/published/index.ts";
import { likelyArchitecture, publishedOf } from "../../backbones/published/names.ts";
import { OptionError, WeightsError } from "../../errors.ts";
import { firstNames, shortened } from "../../printable.ts";
import type { State } from "../../program/program.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import { showShape } from "../../tensor/shape.ts";

// Detectors as torchvision has them: which of its models a state dict is of, by which options a detector here computes the same, and what each
// tensor is called here. Both forms of its names are read: files that it has published have those from before 2022, where a convolution of a
// pyramid or a head was no sequence of its own.

/** Models that torchvision's detectors become. */
export const TORCHVISION_MODELS = ["faster-rcnn", "retina-net", "fcos"] as const;

/** A model that one of torchvision's detectors becomes. */
export type TorchvisionModel = (typeof TORCHVISION_MODELS)[number];

/** Those of torchvision's builders that make a model. */
const BUILDERS: Readonly<Record<TorchvisionModel, string>> = {
  "faster-rcnn": "fasterrcnn_resnet50_fpn",
  "retina-net": "retinanet_resnet50_fpn or retinanet_resnet50_fpn_v2",
  fcos: "fcos_resnet50_fpn",
};

/** A detector of torchvision, read. */
export interface TorchvisionDetector {
  readonly model: TorchvisionModel;
  /** Options of the model with which it computes what torchvision's does. */
  readonly modelOptions: Readonly<Record<string, unknown>>;
  /** Classes that it finds; of Faster R-CNN without background. */
  readonly classes: number;
  /** Values by the names of the model; those that it does not know have torchvision's. */
  readonly state: State;
  /** Lines for a person: what was assumed or changed. */
  readonly notes: readonly string[];
}

/** A kind of weights that is not read here. */
interface Refusal {
  /** A name of a tensor that only it has. */
  readonly mark: RegExp;
  readonly what: string;
}

const REFUSALS: readonly Refusal[] = [
  { mark: /^roi_heads\.mask_/, what: "a Mask R-CNN (maskrcnn_resnet50_fpn)" },
  { mark: /^roi_heads\.keypoint_/, what: "a Keypoint R-CNN (keypointrcnn_resnet50_fpn)" },
  {
    mark: /^roi_heads\.box_head\.0\.0\.|^rpn\.head\.conv\.1\./,
    what: "a fasterrcnn_resnet50_fpn_v2, whose heads have convolutions with batch normalization",
  },
  {
    mark: /^backbone\.body\.0\.0\./,
    what: "a detector with MobileNetV3 (fasterrcnn_mobilenet_v3_large_fpn)",
  },
  { mark: /^head\.classification_head\.module_list\./, what: "an SSD or SSDlite" },
  { mark: /^model\.\d+\.(conv|cv1|m)\b/, what: "a YOLO of ultralytics" },
  { mark: /^(bbox_embed|class_embed|transformer)\b/, what: "a DETR" },
];

/** What tensors only one of the models has. */
const MARKS: readonly { readonly model: TorchvisionModel; readonly mark: string }[] = [
  { model: "faster-rcnn", mark: "roi_heads.box_predictor.cls_score.weight" },
  { model: "fcos", mark: "head.regression_head.bbox_ctrness.weight" },
  { model: "retina-net", mark: "head.classification_head.cls_logits.weight" },
];

/** The first tensor of every backbone that is read. */
const FIRST = "backbone.body.conv1.weight";

/** The classifier of a network for images. */
const CLASSIFIER = /^(fc|classifier|head\.fc|_fc)\b.*weight$/;

/** What weights look like that are of no detector that is read, and what can be done with them, in words; undefined where that is not known. */
export function lookOf(given: State): string | undefined {
  const { bare } = withoutPrefix(given);
  const names = [...bare.keys()];
  const refused = REFUSALS.find(({ mark }) => names.some((name) => mark.test(name)));
  const network = likelyArchitecture(given);
  const taken = network !== undefined && isPublished(network);
  if (refused !== undefined) {
    const backbone = taken
      ? `; as a backbone, eidos fit takes its ${network}: --backbone ${network} --weights FILE`
      : "";
    return `${refused.what}; ${readable()}${backbone}`;
  }
  if (taken && publishedOf(given) === network) {
    return `${network}, a network for images; --as ${network} imports it for its features, and as a detector's backbone eidos fit takes it: --backbone ${network} --weights FILE`;
  }
  if (!names.some((name) => CLASSIFIER.test(name))) return undefined;
  return `a classifier of images${network === undefined ? "" : `, most likely ${network}`}; of those, import --as and eidos fit --backbone take ${PUBLISHED_NAMES.join(", ")}`;
}

const readable = (): string =>
  `import reads ${TORCHVISION_MODELS.map((model) => BUILDERS[model]).join(", ")}`;

/** Which model a state dict is of, by its names. @throws WeightsError naming what it looks like */
function modelOf(state: State, fileName: string): TorchvisionModel {
  const names = [...state.keys()];
  const look = lookOf(state);
  if (look !== undefined) throw new WeightsError(`${fileName}: looks like ${look}`);
  const found = MARKS.find(({ mark }) => state.has(mark));
  if (found !== undefined && state.has(FIRST)) return found.model;
  throw new WeightsError(
    `${fileName}: no detector of torchvision with a ResNet and a pyramid by its ${names.length} tensors (${firstNames(names.map(shortened), 4)}); ${readable()}`,
  );
}

/** Which of the models a state dict is of, by its names; undefined where it is of none, or of a kind that is not read. */
export function torchvisionModel(given: State): TorchvisionModel | undefined {
  const { bare } = withoutPrefix(given);
  if (REFUSALS.some(({ mark }) => [...bare.keys()].some((name) => mark.test(name)))) return undefined;
  return bare.has(FIRST) ? MARKS.find(({ mark }) => bare.has(mark))?.model : undefined;
}

/** The state dict without a prefix that all names have, as training scripts leave it (`module.`). */
function withoutPrefix(state: State): { readonly bare: State; readonly prefix: string } {
  const first = [...state.keys()].find((name) => name.endsWith(`.${FIRST}`));
  const prefix = first === undefined ? "" : first.slice(0, -FIRST.length);
  if (prefix === "" || ![...state.keys()].every((name) => name.startsWith(prefix)))
    return { bare: state, prefix: "" };
  return { bare: new Map([...state].map(([name, value]) => [name.slice(prefix.length), value])), prefix };
}

/** Shapes of a state dict, by name. */
class Shapes {
  private readonly state: State;
  private readonly fileName: string;

  constructor(state: State, fileName: string) {
    this.state = state;
    this.fileName = fileName;
  }

  /** @throws WeightsError where there is none of these names, or it has other axes */
  of(names: readonly string[], axes: number): readonly number[] {
    const [name = ""] = names;
    const shape = names.map((each) => this.state.get(each)?.shape).find((each) => each !== undefined);
    if (shape === undefined) throw new WeightsError(`${this.fileName}: has no ${name}; it is not whole`);
    if (shape.length !== axes) {
      throw new WeightsError(`${this.fileName}: ${name} is ${showShape(shape)}, not of ${axes} axes`);
    }
    return shape;
  }

  /** The size of the axis of a tensor. @throws WeightsError */
  at(name: string | readonly string[], axes: number, axis = 0): number {
    return this.of(typeof name === "string" ? [name] : name, axes)[axis] ?? 0;
  }

  /** How many different numbers stand in names of this form. */
  count(form: RegExp): number {
    return new Set([...this.state.keys()].flatMap((name) => form.exec(name)?.[1] ?? [])).size;
  }

  has(name: string): boolean {
    return this.state.has(name);
  }

  /** A share, where it is whole. @throws WeightsError */
  divided(of: number, by: number, what: string): number {
    if (Number.isInteger(of / by) && of > 0) return of / by;
    throw new WeightsError(
      `${this.fileName}: ${what} has ${of} outputs, which are not ${by} for each anchor or class: its anchors are not those of torchvision's builders, and weights do not hold them`,
    );
  }
}

/** Blocks of the four stages, and what the backbone of so many is called. */
const RESNETS = new Map([
  ["basic 2,2,2,2", "resnet18"],
  ["basic 3,4,6,3", "resnet34"],
  ["bottleneck 3,4,6,3", "resnet50"],
]);

/** Options of backbone and pyramid, which all models share. @throws WeightsError */
function featureOptionsOf(shapes: Shapes, fileName: string): Readonly<Record<string, unknown>> {
  const blocks = [1, 2, 3, 4].map((i) =>
    shapes.count(new RegExp(`^backbone\\.body\\.layer${i}\\.(\\d+)\\.`)),
  );
  const form = shapes.has("backbone.body.layer1.0.conv3.weight") ? "bottleneck" : "basic";
  const backbone = RESNETS.get(`${form} ${blocks.join()}`);
  if (backbone === undefined) {
    throw new WeightsError(
      `${fileName}: its backbone has ${blocks.join(", ")} ${form} blocks; read are ${[...RESNETS.values()].join(", ")}`,
    );
  }
  const inner = (i: number): readonly string[] =>
    [".0.weight", ".weight"].map((end) => `backbone.fpn.inner_blocks.${i}${end}`);
  const maps = shapes.count(/^backbone\.fpn\.inner_blocks\.(\d+)\./);
  if (maps < 1 || maps > 4) throw new WeightsError(`${fileName}: its pyramid takes ${maps} maps, not 1 to 4`);
  const channels = shapes.at(inner(0), 4);
  const width = channels / USUAL_CHANNELS;
  if (scaledChannels(USUAL_CHANNELS, width) !== channels) {
    throw new WeightsError(`${fileName}: its pyramid has ${channels} channels, which do not divide by 16`);
  }
  const extra = shapes.has("backbone.fpn.extra_blocks.p6.weight")
    ? shapes.at("backbone.fpn.extra_blocks.p6.weight", 4, 1)
    : undefined;
  // torchvision's LastLevelP6P7 takes P5 where that has the channels that it is made for, otherwise C5.
  const coarser = extra === undefined ? "pool" : extra === channels ? "p6p7-of-p5" : "p6p7-of-c5";
  return {
    backbone,
    normalize: "imagenet",
    frozenNorm: true,
    neck: "plain-fpn",
    width,
    finestStride: 2 ** (6 - maps),
    levels: maps + (extra === undefined ? 1 : 2),
    coarser,
  };
}

/** Channels of a neck of width 1. */
const USUAL_CHANNELS = 64;

/** Anchors of a location of torchvision's builders, one size of a level or three, and the three shapes of each. */
const [SIZES, RATIOS] = [3, [0.5, 1, 2]];

/** Options of the head of each model, and its classes. @throws WeightsError */
const HEADS: Readonly<
  Record<
    TorchvisionModel,
    (shapes: Shapes) => { readonly options: Readonly<Record<string, unknown>>; readonly classes: number }
  >
> = {
  "faster-rcnn"(shapes) {
    const channels = shapes.at("rpn.head.bbox_pred.weight", 4, 1);
    shapes.divided(RATIOS.length, shapes.at("rpn.head.cls_logits.weight", 4), "rpn.head.cls_logits");
    return {
      classes: shapes.at("roi_heads.box_predictor.cls_score.weight", 2) - 1,
      options: {
        anchorSides: [8],
        anchorRatios: RATIOS,
        anchorOrigin: "corner",
        aligned: false,
        candidates: 1000,
        proposals: 1000,
        sampledRegions: 512,
        bins: Math.round(Math.sqrt(shapes.at("roi_heads.box_head.fc6.weight", 2, 1) / channels)),
        hidden: shapes.at("roi_heads.box_head.fc6.weight", 2),
      },
    };
  },
  "retina-net"(shapes) {
    const anchors = SIZES * RATIOS.length;
    shapes.divided(4 * anchors, shapes.at("head.regression_head.bbox_reg.weight", 4), "bbox_reg");
    const outputs = shapes.at("head.classification_head.cls_logits.weight", 4);
    const normalized = shapes.has("head.classification_head.conv.0.1.weight");
    return {
      classes: shapes.divided(outputs, anchors, "cls_logits"),
      options: {
        headBlocks: shapes.count(/^head\.classification_head\.conv\.(\d+)\./),
        headGroups: normalized ? GROUPS : 0,
        anchorScale: 4,
        anchorSizes: SIZES,
        anchorRatios: RATIOS,
        anchorOrigin: "corner",
      },
    };
  },
  fcos(shapes) {
    shapes.divided(4, shapes.at("head.regression_head.bbox_reg.weight", 4), "bbox_reg");
    return {
      classes: shapes.at("head.classification_head.cls_logits.weight", 4),
      options: {
        // Convolutions and normalizations, which are all that has weights of each three layers.
        headBlocks: shapes.count(/^head\.classification_head\.conv\.(\d+)\./) / 2,
        headGroups: GROUPS,
        headBias: true,
        distances: "relu",
        anchorOrigin: "corner",
      },
    };
  },
};

/** Groups of group normalization wherever torchvision has it. */
const GROUPS = 32;

/** How tensors are renamed, from what the brackets of a form hold: the first one that fits counts. */
type Rule = readonly [from: RegExp, to: (...groups: string[]) => string];

const FEATURES: readonly Rule[] = [
  [/^backbone\.body\.(.+)$/, (a) => `features.backbone.${a}`],
  [
    /^backbone\.fpn\.(inner|layer)_blocks\.(\d)\.(?:0\.)?(weight|bias)$/,
    (a, b, c) => `features.neck.${a}_blocks.${b}.0.${c}`,
  ],
  [/^backbone\.fpn\.extra_blocks\.(p[67]\.\w+)$/, (a) => `features.neck.extra_blocks.${a}`],
];

const TOWERS: Readonly<Record<string, string>> = { classification: "classTower", regression: "boxTower" };

const PARTS: readonly Rule[] = [
  [/^head\.classification_head\.cls_logits\.(\w+)$/, (a) => `head.classes.${a}`],
];

const RULES: Readonly<Record<TorchvisionModel, readonly Rule[]>> = {
  "faster-rcnn": [
    [/^rpn\.head\.conv\.(?:0\.0\.)?(weight|bias)$/, (a) => `head.rpn.conv.${a}`],
    [/^rpn\.head\.cls_logits\.(\w+)$/, (a) => `head.rpn.objectness.${a}`],
    [/^rpn\.head\.bbox_pred\.(\w+)$/, (a) => `head.rpn.deltas.${a}`],
    [/^roi_heads\.box_head\.(fc[67]\.\w+)$/, (a) => `head.stages.0.${a}`],
    [/^roi_heads\.box_predictor\.cls_score\.(\w+)$/, (a) => `head.stages.0.classes.${a}`],
    [/^roi_heads\.box_predictor\.bbox_pred\.(\w+)$/, (a) => `head.stages.0.deltas.${a}`],
  ],
  "retina-net": [
    ...PARTS,
    [/^head\.regression_head\.bbox_reg\.(\w+)$/, (a) => `head.deltas.${a}`],
    // Of later versions each block is a sequence; before, ReLU had every other number.
    [
      /^head\.(\w+)_head\.conv\.(\d)\.([01])\.(\w+)$/,
      (tower, block, part, leaf) =>
        `head.${TOWERS[tower ?? ""]}.blocks.${block}.${part === "0" ? "conv" : "norm"}.${leaf}`,
    ],
    [
      /^head\.(\w+)_head\.conv\.(\d)\.(weight|bias)$/,
      (tower, layer, leaf) => `head.${TOWERS[tower ?? ""]}.blocks.${Number(layer) / 2}.conv.${leaf}`,
    ],
  ],
  fcos: [
    ...PARTS,
    [/^head\.regression_head\.bbox_reg\.(\w+)$/, (a) => `head.distances.${a}`],
    [/^head\.regression_head\.bbox_ctrness\.(\w+)$/, (a) => `head.centreness.${a}`],
    // Convolution, normalization and ReLU, one after another.
    [
      /^head\.(\w+)_head\.conv\.(\d+)\.(weight|bias)$/,
      (tower, layer, leaf) =>
        `head.${TOWERS[tower ?? ""]}.blocks.${Math.floor(Number(layer) / 3)}.${Number(layer) % 3 === 0 ? "conv" : "norm"}.${leaf}`,
    ],
  ],
};

/** @throws WeightsError where two tensors would have the same name */
function renamed(state: State, model: TorchvisionModel, fileName: string): Map<string, NdArray> {
  const rules = [...FEATURES, ...RULES[model]];
  const nameOf = (name: string): string => {
    for (const [from, to] of rules) {
      const groups = from.exec(name)?.slice(1);
      if (groups !== undefined) return to(...groups);
    }
    return name;
  };
  const named = new Map<string, NdArray>();
  for (const [name, value] of state) {
    const own = nameOf(name);
    if (named.has(own)) throw new WeightsError(`${fileName}: has ${shortened(name)} by two names`);
    named.set(own, value);
  }
  return named;
}

/** ε of batch normalization here, and of torchvision's unless it is set. */
const EPSILON = 1e-5;

/**
 * Batch norms that divide by √(variance + ε) of another ε: their factors take the difference, which is exact while they are frozen.
 * @throws WeightsError where a variance is not above −ε
 */
function withEpsilon(state: Map<string, NdArray>, epsilon: number, fileName: string): void {
  for (const [name, variance] of [...state]) {
    if (!name.endsWith(".running_var")) continue;
    const factor = name.replace(/running_var$/, "weight");
    const weight = state.get(factor);
    if (weight === undefined || weight.data.length !== variance.data.length) continue;
    const values = Array.from(weight.data, Number).map((value, i) => {
      const own = Number(variance.data[i]);
      if (!(own + epsilon > 0)) {
        throw new WeightsError(
          `${fileName}: a variance of ${name} is ${own}, which has no root with ε = ${epsilon}; give --epsilon ${EPSILON}`,
        );
      }
      return value * Math.sqrt((own + EPSILON) / (own + epsilon));
    });
    state.set(factor, float32(values, weight.shape));
  }
}

/**
 * Batch norms as they are here. torchvision's detectors have `FrozenBatchNorm2d` where they were trained from weights, which counts no
 * batches; in Faster R-CNN and RetinaNet with published weights its ε is 0 (`overwrite_eps`), otherwise 10⁻⁵.
 */
function settleNorms(
  state: Map<string, NdArray>,
  model: TorchvisionModel,
  given: number | undefined,
  fileName: string,
): readonly string[] {
  const norms = [...state.keys()].filter((name) => /^features\.backbone\..*running_var$/.test(name));
  const counters = norms.map((name) => name.replace(/running_var$/, "num_batches_tracked"));
  const frozen = counters.every((name) => !state.has(name));
  for (const name of counters) if (!state.has(name)) state.set(name, float32([0], []));
  const epsilon = given ?? (frozen && model !== "fcos" ? 0 : EPSILON);
  if (epsilon !== EPSILON) withEpsilon(state, epsilon, fileName);
  if (given !== undefined || !frozen) return [];
  const other = epsilon === 0 ? EPSILON : 0;
  return [
    `frozen batch norms: ε = ${epsilon} is assumed, as torchvision has it with its published weights; --epsilon ${other} where they were trained with that`,
  ];
}

/**
 * A detector of torchvision from its state dict (`fasterrcnn_resnet50_fpn`, `retinanet_resnet50_fpn` and its `_v2`, `fcos_resnet50_fpn`, the same
 * with ResNet-18 or -34): with the options here, all that it predicts is what torchvision's predicts of the same pixels. What weights do not
 * hold, such as sizes of anchors, is as its builders have it.
 * @param as the model that it is to be; an error names the right one
 * @param epsilon of the backbone's batch norms; default: as torchvision has it with such weights
 * @param fileName named in errors
 * @throws OptionError where it is of another model; WeightsError where it is none of these, or not whole
 */
export function readTorchvision(
  given: State,
  as: TorchvisionModel,
  fileName: string,
  epsilon?: number,
): TorchvisionDetector {
  const { bare, prefix } = withoutPrefix(given);
  const model = modelOf(bare, fileName);
  if (model !== as) {
    throw new OptionError(
      `option as: ${fileName} looks like ${BUILDERS[model]}, which is no ${as}; give --as ${model}`,
    );
  }
  const shapes = new Shapes(bare, fileName);
  const features = featureOptionsOf(shapes, fileName);
  const { options, classes } = HEADS[model](shapes);
  if (classes < 1) throw new WeightsError(`${fileName}: it has no class`);
  const state = renamed(bare, model, fileName);
  const notes = settleNorms(state, model, epsilon, fileName);
  return {
    model,
    modelOptions: { ...features, ...options },
    classes,
    state,
    notes: [...(prefix === "" ? [] : [`prefix ${shortened(prefix)} of all names left out`]), ...notes],
  };
}
