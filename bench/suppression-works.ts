import { nms } from "../src/detection/index.ts";
import { Random } from "../src/random.ts";
import { float32, type NdArray } from "../src/tensor/index.ts";
import type { Prepared } from "./serve.ts";
import { writeChecked } from "./weights.ts";

const COUNT = 10_000;
const SIDE = 640;
const OBJECTS = 100;
const THRESHOLD = 0.5;

/** What a detector sees: most boxes are near one of a hundred objects; or anything anywhere, of which more is kept. */
const KINDS = ["crowded", "scattered"] as const;

/** Boxes of 10 to 100 pixels on a canvas of 640, with scores. */
function someBoxes(kind: (typeof KINDS)[number]): Readonly<Record<"boxes" | "scores", NdArray<"float32">>> {
  const random = new Random(0).split(kind);
  const box = (): readonly number[] => {
    const [width, height] = [10 + 90 * random.uniform(), 10 + 90 * random.uniform()];
    const [x, y] = [(SIDE - width) * random.uniform(), (SIDE - height) * random.uniform()];
    return [x, y, x + width, y + height];
  };
  const objects = Array.from({ length: OBJECTS }, box);
  const near = (): readonly number[] =>
    (objects[random.integer(OBJECTS)] ?? []).map((edge) => edge + 10 * (random.uniform() - 0.5));
  const boxes = Array.from({ length: COUNT }, kind === "crowded" ? near : box).flat();
  return {
    boxes: float32(boxes, [COUNT, 4]),
    scores: float32(
      Array.from({ length: COUNT }, () => random.uniform()),
      [COUNT],
    ),
  };
}

const kept = ({ boxes, scores }: ReturnType<typeof someBoxes>): Uint32Array =>
  nms(boxes.data, scores.data, { threshold: THRESHOLD });

/** Greedy suppression, which runs in JavaScript. */
export function suppressionWorks(): Readonly<Record<string, () => Prepared>> {
  return Object.fromEntries(
    KINDS.map((kind) => [
      `suppression-${kind}`,
      () => {
        const given = someBoxes(kind);
        return { seconds: 0, parameters: 0, run: () => kept(given) };
      },
    ]),
  );
}

/** Writes the boxes with the numbers of those kept, for a peer to load and to check itself by. */
export async function writeSuppressionBoxes(file: string): Promise<void> {
  const checks = KINDS.flatMap((kind) => {
    const given = someBoxes(kind);
    const numbers = kept(given);
    const values = { ...given, kept: float32([...numbers], [numbers.length]) };
    return Object.entries(values).map(([name, value]) => [`${kind}.${name}`, value] as const);
  });
  await writeChecked(file, new Map(), Object.fromEntries(checks));
}
