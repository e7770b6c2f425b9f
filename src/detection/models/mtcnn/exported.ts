import { input } from "../../../tensor/index.ts";
import type { CascadeDetector, ExportedStage } from "../detector.ts";
import {
  type CascadeLook,
  type CascadeNetworks,
  objectProbability,
  SUPPRESSION,
  TILE,
  TILE_CELLS,
  TILE_STEP,
  tilePredictions,
} from "./cascade.ts";
import { type CascadeOutputs, INPUT_SIZES, normalizedPixels, PROPOSAL_STRIDE } from "./networks.ts";

/** What the rows of a network mean that looks at windows. */
function outputsText({ landmarks, offsets }: Pick<CascadeOutputs, "landmarks" | "offsets">): string {
  const [, ...rest] = offsets.shape.slice(1);
  const map = rest.length === 0 ? "" : `, ${rest.join(", ")}`;
  return (
    `scores: [batch${map}], how likely a window has an object, 0 ... 1. offsets: [batch, 4${map}], of its edges x1, y1, x2, y2 in ` +
    `parts of its side.${
      landmarks === undefined
        ? ""
        : ` landmarks: [batch, ${landmarks.shape[1]}${map}], all x, then all y, in parts of its side from its upper left corner.`
    }`
  );
}

/** The graph of the proposal network: of tiles of the levels of the image pyramid. */
function exportedProposals({ pnet }: Pick<CascadeNetworks, "pnet">): ExportedStage {
  const outputs = tilePredictions(
    pnet,
    input("x", ["batch", 3, TILE, TILE]),
    input("height", ["batch"]),
    input("width", ["batch"]),
  );
  return {
    name: "pnet",
    outputs: { ...outputs },
    description:
      `Proposal network of MTCNN. x: tiles of an image pyramid, RGB bytes 0 ... 255 in float32, [batch, 3, ${TILE}, ${TILE}]. height, width: ` +
      `[batch], pixels of the level from the upper left corner of each tile on, at most ${TILE}; what lies beyond is padding. ` +
      `${outputsText(outputs)} A window is ${INPUT_SIZES.pnet} pixels wide; they are ${PROPOSAL_STRIDE} apart.`,
  };
}

/** The graph of one of the last two networks: of windows that are cut out and resized. */
function exportedWindows(
  name: "rnet" | "onet",
  title: string,
  network: CascadeNetworks["rnet"] | CascadeNetworks["onet"],
): ExportedStage {
  const side = INPUT_SIZES[name];
  const { logits, ...others } = network.forward(normalizedPixels(input("x", ["batch", 3, side, side])));
  return {
    name,
    outputs: { scores: objectProbability(logits), ...others },
    description:
      `${title} network of MTCNN. x: windows resized by the mean of areas, RGB bytes 0 ... 255 in float32, ` +
      `[batch, 3, ${side}, ${side}]. ${outputsText(others)}`,
  };
}

/** The three networks, and how they are used together. */
export function exportedCascade(
  networks: CascadeNetworks,
  look: CascadeLook,
): ReturnType<CascadeDetector["exportedStages"]> {
  const stages = [
    exportedProposals(networks),
    exportedWindows("rnet", "Refinement", networks.rnet),
    exportedWindows("onet", "Output", networks.onet),
  ];
  return { stages, guide: guideOf(look, stages), record: recordOf(look) };
}

/** The numbers of the cascade, for a program. */
function recordOf({
  minimumSize,
  factor,
  thresholds,
  overlap,
}: CascadeLook): Readonly<Record<string, unknown>> {
  return {
    networks: ["pnet.onnx", "rnet.onnx", "onet.onnx"],
    pyramid: { firstScale: INPUT_SIZES.pnet / minimumSize, factor, leastSide: INPUT_SIZES.pnet },
    tile: { side: TILE, step: TILE_STEP, cells: TILE_CELLS },
    window: { sides: Object.values(INPUT_SIZES), stride: PROPOSAL_STRIDE },
    thresholds,
    suppression: { ...SUPPRESSION, ofSmaller: overlap },
  };
}

/** The steps of the cascade, for a person. */
function guideOf(
  { minimumSize, factor, thresholds: [first, second, third], overlap }: CascadeLook,
  stages: readonly ExportedStage[],
): string {
  const lists = stages.map(({ name, description }) => `- \`${name}.onnx\`: ${description}`).join("\n");
  return `# MTCNN, exported by eidos

${lists}

\`cascade.json\` has the numbers below. Which windows a network looks at depends on what the one before has found, so that the
three are run one after the other:

1. **Pyramid.** Scales s = ${INPUT_SIZES.pnet} / ${minimumSize}, and on by the factor ${factor}, as long as the shorter side of the image times s is at least ${INPUT_SIZES.pnet}. A level
   has ⌊height · s + 1⌋ × ⌊width · s + 1⌋ pixels, each the mean of the area that it covers (adaptive average pooling).
2. **Proposals.** A level is cut into tiles of ${TILE} × ${TILE} pixels that begin ${TILE_STEP} pixels apart. A tile has ${TILE_CELLS} × ${TILE_CELLS} windows; of a level of h pixels
   there are ⌈(h − 2) / 2⌉ − 4 rows of them. Windows with a score of at least ${first} stay. The window of row i and column j is
   x1 = ⌊(2 j + 1) / s⌋, y1 = ⌊(2 i + 1) / s⌋, x2 = ⌊(2 j + ${INPUT_SIZES.pnet}) / s⌋, y2 = ⌊(2 i + ${INPUT_SIZES.pnet}) / s⌋.
3. Suppression by IoU ${SUPPRESSION.level} within each level, then ${SUPPRESSION.all} over all. Calibration: each edge moves by its offset times x2 − x1 or y2 − y1. Windows
   become squares about their centers, as large as their longer side.
4. **Refinement.** Edges are truncated to whole numbers. A window has the pixels x1 − 1 … x2 − 1 (left and top edges count from 1); what lies
   outside of the image is cut off. It is resized to ${INPUT_SIZES.rnet} × ${INPUT_SIZES.rnet}. Scores above ${second} stay; suppression by IoU ${SUPPRESSION.all}; calibration by x2 − x1 + 1 and
   y2 − y1 + 1; squares again.
5. **Output.** The same at ${INPUT_SIZES.onet} × ${INPUT_SIZES.onet}, with scores above ${third}. Landmarks lie at x1 − 1 + x · (x2 − x1 + 1), before calibration. After
   calibration, of two that share more than ${overlap} of the smaller one the better stays.
`;
}
