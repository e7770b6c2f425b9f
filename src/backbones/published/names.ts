import { namedTensors } from "../../nn/module.ts";
import { below, type ForeignNames, fittingNumbers, type NameMapping, prefixesOf } from "../../nn/names.ts";
import { shortened } from "../../printable.ts";
import type { State } from "../../program/program.ts";
import { elementCount } from "../../tensor/index.ts";
import { isPublished, PUBLISHED_NAMES, type PublishedName, publishedBackbone } from "./index.ts";

/** Blocks of the stages of networks that timm counts stage by stage, and others one after another. */
const STAGE_BLOCKS = {
  "mobilenet-v2": [1, 2, 3, 4, 3, 3, 1],
  "efficientnet-lite0": [1, 2, 2, 3, 3, 4, 1],
} as const;

/** timm's layers of an inverted residual as others call them: of the first block, which has no expansion, and of the others. */
interface BlockNames {
  readonly stem: Readonly<Record<string, string>>;
  readonly first: Readonly<Record<string, string>>;
  readonly others: Readonly<Record<string, string>>;
  readonly block: (index: number) => string;
}

const TIMM_BLOCKS: Readonly<Record<keyof typeof STAGE_BLOCKS, BlockNames>> = {
  "mobilenet-v2": {
    stem: { conv_stem: "features.0.0", bn1: "features.0.1" },
    first: { conv_dw: "conv.0.0", bn1: "conv.0.1", conv_pw: "conv.1", bn2: "conv.2" },
    others: {
      conv_pw: "conv.0.0",
      bn1: "conv.0.1",
      conv_dw: "conv.1.0",
      bn2: "conv.1.1",
      conv_pwl: "conv.2",
      bn3: "conv.3",
    },
    block: (index) => `features.${index + 1}`,
  },
  "efficientnet-lite0": {
    stem: { conv_stem: "_conv_stem", bn1: "_bn0" },
    first: { conv_dw: "_depthwise_conv", bn1: "_bn1", conv_pw: "_project_conv", bn2: "_bn2" },
    others: {
      conv_pw: "_expand_conv",
      bn1: "_bn0",
      conv_dw: "_depthwise_conv",
      bn2: "_bn1",
      conv_pwl: "_project_conv",
      bn3: "_bn2",
    },
    block: (index) => `_blocks.${index}`,
  },
};

/** A name of timm's form (`blocks.1.0.conv_pw.weight`) as the backbone has it; the name itself where it has none such. */
function fromTimm(backbone: keyof typeof STAGE_BLOCKS, name: string): string {
  const names = TIMM_BLOCKS[backbone];
  const inBlock = /^blocks\.(\d+)\.(\d+)\.(\w+)\.(\w+)$/.exec(name);
  if (inBlock !== null) {
    const [, stage = "", block = "", layer = "", field = ""] = inBlock;
    const counts: readonly number[] = STAGE_BLOCKS[backbone];
    const before = counts.slice(0, Number(stage)).reduce((a, b) => a + b, 0);
    const own = (stage === "0" ? names.first : names.others)[layer];
    // A stage of more blocks is one of a larger network.
    const exists = Number(block) < (counts[Number(stage)] ?? 0);
    return own === undefined || !exists ? name : `${names.block(before + Number(block))}.${own}.${field}`;
  }
  const [layer = "", field = ""] = name.split(".");
  const own = names.stem[layer];
  return own === undefined ? name : `${own}.${field}`;
}

/** Layers behind the maps of a backbone, which only its classifier has, in each naming. */
const CLASSIFIERS = {
  resnet: /^fc\./,
  torchvision: /^(features\.18|classifier)\./,
  lukemelas: /^(_conv_head|_bn1|_fc)\./,
  timm: /^(conv_head|bn2|classifier)\./,
} as const;

/**
 * timm has EfficientNet-Lite0 twice, in layers of the same names: as TensorFlow has it (`tf_`), which is that here, and with other paddings
 * and pixels.
 */
function cautionOfLite(name: string): string | undefined {
  if (/(^|[^a-z])tf_/i.test(name)) return undefined;
  return "timm has efficientnet_lite0 and tf_efficientnet_lite0 in the same names; it is read as tf_efficientnet_lite0. The other one pads alike on all sides, has ε 0.00001 and ImageNet's normalization, so that its features would be off: take tf_efficientnet_lite0 (tf_ in the name of the file spares this line)";
}

/** The names by which the weights of a published backbone are found, those of its own layout first. */
function mappingsOf(backbone: PublishedName, part: string): readonly NameMapping[] {
  const own = (source: string, classifier: RegExp): NameMapping => ({
    source,
    part,
    rename: (name) => `${part}${name}`,
    isLeftOut: (name) => classifier.test(name),
  });
  if (backbone !== "mobilenet-v2" && backbone !== "efficientnet-lite0") {
    return [own(`torchvision's and timm's ${backbone}`, CLASSIFIERS.resnet)];
  }
  const timm: NameMapping = {
    source: `timm's ${backbone}`,
    part,
    ...(backbone === "efficientnet-lite0" && { caution: cautionOfLite }),
    rename: (name) => `${part}${fromTimm(backbone, name)}`,
    isLeftOut: (name) => CLASSIFIERS.timm.test(name),
  };
  return backbone === "mobilenet-v2"
    ? [own(`torchvision's ${backbone}`, CLASSIFIERS.torchvision), timm]
    : [own(`lukemelas' ${backbone}`, CLASSIFIERS.lukemelas), timm];
}

/** Residual networks by the blocks of their stages, of two and of three convolutions. */
const RESNETS: ReadonlyMap<string, string> = new Map([
  ["2,2,2,2 basic", "resnet18"],
  ["3,4,6,3 basic", "resnet34"],
  ["3,4,6,3 bottleneck", "resnet50"],
  ["3,4,23,3 bottleneck", "resnet101"],
  ["3,8,36,3 bottleneck", "resnet152"],
]);

/** Which residual network tensors are, by its usual name or in words; undefined where they are none. */
function residualNetwork(state: State): string | undefined {
  const middle = state.get("layer1.0.conv2.weight")?.shape;
  if (!state.has("layer4.0.conv1.weight") || middle === undefined) return undefined;
  const isDeep = state.has("conv1.0.weight");
  // ResNet-D pools in its shortcuts before it convolves, so that the convolution comes second.
  const pools = state.get("layer2.0.downsample.1.weight")?.shape.length === 4;
  const blocks = [1, 2, 3, 4].map((layer) => {
    const indices = [...state.keys()].flatMap((name) => {
      const index = new RegExp(`^layer${layer}\\.(\\d+)\\.conv1\\.weight$`).exec(name)?.[1];
      return index === undefined ? [] : [Number(index)];
    });
    return 1 + Math.max(-1, ...indices);
  });
  const kind = state.has("layer1.0.conv3.weight") ? "bottleneck" : "basic";
  const name = RESNETS.get(`${blocks} ${kind}`);
  const usual = middle[0] === 64 && middle[1] === 64;
  if (usual && name !== undefined && (isDeep || pools)) {
    if (isDeep && pools && state.get("conv1.0.weight")?.shape[0] === 32) return `${name}d`;
    return `a variant of ${name} with ${isDeep ? "three convolutions in its stem" : "pooling in its shortcuts"}`;
  }
  return usual && name !== undefined
    ? name
    : `a residual network of ${blocks.join(", ")} ${kind} blocks and ${middle[0]} channels`;
}

/** The small backbones by the first layer of their second stage, which nothing that others have published calls so. */
const SMALL: readonly (readonly [layer: string, backbone: string])[] = [
  ["stages.0.reduce.conv.weight", "csp"],
  ["stages.0.0.conv1.conv.weight", "resnet"],
];

/** Tells of networks that are no backbones here: a name that they have. */
const OTHERS: readonly (readonly [tell: RegExp, what: string])[] = [
  [
    /^(_blocks\.\d+\._se_reduce|blocks\.\d+\.\d+\.se)\./,
    "a network of mobile blocks with squeeze-and-excitation, such as EfficientNet-B0",
  ],
  [/^features\.\d+\.\d+\.block\./, "torchvision's EfficientNet"],
  [/^(features\.)?\d+\.block\.\d/, "torchvision's MobileNetV3"],
  [/^features\.\d+\.squeeze\./, "SqueezeNet"],
  [/^_blocks\.16\./, "an EfficientNet-Lite larger than Lite0"],
  [/^(cls_token|pos_embed|class_token)$/, "a vision transformer"],
  [/^(features\.denseblock1|denseblock1)\./, "a DenseNet"],
  [/^classifier\.6\.weight$/, "VGG or AlexNet"],
];

/** Shares of a backbone's numbers: all of it but what may be missing, and what may be there beside it. */
const NEARLY_ALL = 0.99;
const HARDLY_ANY = 0.01;

/** How tensors fit a published backbone: shares of its numbers. */
interface BackboneFit {
  readonly fitting: number;
  /** What is neither in the backbone nor in its classifier. */
  readonly beyond: number;
  /** The name of the largest of what is beyond. */
  readonly largest: string | undefined;
}

function fitOf(state: State, backbone: PublishedName, mapping: NameMapping): BackboneFit {
  const wanted = namedTensors(publishedBackbone(backbone));
  const all = [...wanted.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const renamed = new Map([...state].map(([name, value]) => [mapping.rename(name), value]));
  const others = [...state]
    .filter(([name]) => !wanted.has(mapping.rename(name)) && !mapping.isLeftOut(name))
    .map(([name, { shape }]) => ({ name, size: elementCount(shape) }))
    .sort((a, b) => b.size - a.size);
  return {
    fitting: fittingNumbers(renamed, wanted) / all,
    beyond: others.reduce((sum, { size }) => sum + size, 0) / all,
    largest: others[0]?.name,
  };
}

/** The published backbone that tensors are, with its classifier or without; undefined where they are none. */
function publishedIn(state: State): PublishedName | undefined {
  return PUBLISHED_NAMES.find((name) =>
    mappingsOf(name, "").some((mapping) => {
      const { fitting, beyond } = fitOf(state, name, mapping);
      return fitting >= NEARLY_ALL && beyond <= HARDLY_ANY;
    }),
  );
}

/**
 * The published backbone that all of a file is, with its classifier or without, whatever stands before all names (`module.`); undefined
 * where it is none, or has more.
 */
export function publishedOf(state: State): PublishedName | undefined {
  for (const prefix of prefixesOf(state)) {
    if (![...state.keys()].every((name) => name.startsWith(prefix))) continue;
    const tensors = below(state, prefix);
    const residual = residualNetwork(tensors);
    const found = residual === undefined ? publishedIn(tensors) : residual;
    if (found !== undefined && isPublished(found)) return found;
  }
  return undefined;
}

/** What a file has beyond a backbone that it fits for the most part, by name: it is of a larger relative; undefined where there is nothing. */
function beyondOf(state: State, backbone: PublishedName): string | undefined {
  const fits = prefixesOf(state).flatMap((prefix) =>
    mappingsOf(backbone, "").map((mapping) => fitOf(below(state, prefix), backbone, mapping)),
  );
  const best = fits.reduce((a, b) => (b.fitting > a.fitting ? b : a));
  return best.fitting > 0.5 && best.beyond > HARDLY_ANY ? best.largest : undefined;
}

/** The network that a file most likely holds, by its usual name or in words; undefined where it is none that is known. */
export function likelyArchitecture(state: State): string | undefined {
  for (const prefix of prefixesOf(state)) {
    const tensors = below(state, prefix);
    const small = SMALL.find(([layer]) => tensors.has(layer))?.[1];
    const found = small ?? residualNetwork(tensors) ?? publishedIn(tensors);
    if (found !== undefined) return found;
  }
  const names = prefixesOf(state).flatMap((prefix) => [...below(state, prefix).keys()]);
  return OTHERS.find(([tell]) => names.some((name) => tell.test(name)))?.[1];
}

/**
 * Names by which others call the parts of a backbone, and which networks are not it.
 * @param backbone its name
 * @param part where it stands in the model, with a point at the end
 */
export function backboneNames(backbone: string, part: string): ForeignNames {
  const alone: NameMapping = {
    source: "a backbone by itself",
    part,
    rename: (name) => `${part}${name}`,
    isLeftOut: () => false,
  };
  return {
    mappings: isPublished(backbone) ? mappingsOf(backbone, part) : [alone],
    refusal: (state) => {
      const found = likelyArchitecture(state);
      if (found === backbone) return undefined;
      const beyond = found === undefined && isPublished(backbone) ? beyondOf(state, backbone) : undefined;
      if (beyond !== undefined) {
        return `it has what ${backbone} has not, such as ${shortened(beyond)}, and is most likely of another architecture; weights are taken of ${PUBLISHED_NAMES.join(", ")}`;
      }
      if (found === undefined) return undefined;
      const instead =
        isPublished(found) || SMALL.some(([, small]) => small === found)
          ? `choose --backbone ${found}`
          : `weights are taken of ${PUBLISHED_NAMES.join(", ")}`;
      return `it is most likely ${found}, and the backbone here is ${backbone}; ${instead}`;
    },
  };
}
