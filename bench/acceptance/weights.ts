import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { openRun } from "../../src/index.ts";
import { startFit } from "../../src/tasks/fit/fit.node.ts";
import { type Entry, type Row, type Suite, scale } from "./run.ts";

const CELLS = "../shared/data/bccd";
const WEIGHTS = "../shared/weights/efficientnet-lite0.pth";

const SECONDS = 240;
const SEEDS = [0, 1, 2] as const;

/** A smear has no up, and all photographs are of one magnification. The warm-up is short, as the fits are. */
const OPTIONS = {
  trainImages: 20,
  size: 256,
  flipVertical: 0.5,
  zoomOut: 0.8,
  zoomIn: 1.25,
  warmupSteps: 20,
  validateEvery: 50,
};

/** Where a fit begins. */
const BEGINNINGS = [
  {
    name: "pretrained",
    title: "efficientnet-lite0 from ImageNet weights, two stages frozen",
    options: { backbone: "efficientnet-lite0", weights: WEIGHTS, frozenStages: 2 },
  },
  { name: "scratch", title: "efficientnet-lite0 from scratch", options: { backbone: "efficientnet-lite0" } },
  { name: "small", title: "csp, the default, from scratch", options: {} },
] as const;

const share = (value: number): string => (Number.isFinite(value) ? value.toFixed(3) : "–");

const entries = SEEDS.flatMap((seed) =>
  BEGINNINGS.map(({ name, title, options }): Entry => {
    const key = `weights-bccd-${name}-${seed}`;
    return {
      name: key,
      section: "BCCD cut to 20 training photographs, FCOS, test split of 72 images",
      async measure(): Promise<Row> {
        const out = `runs/acceptance/${key}`;
        await rm(out, { recursive: true, force: true });
        const seconds = SECONDS * scale.value;
        process.stderr.write(`${key}: ${seconds} seconds\n`);
        await startFit({ model: "fcos", data: CELLS, seconds, seed, out, ...OPTIONS, ...options });
        const run = await openRun(out);
        try {
          const evaluation = await run.evaluateBoxes();
          const { parameters, steps, coco } = evaluation;
          return {
            begins: title,
            seed: String(seed),
            parameters: String(parameters),
            steps: String(steps),
            seconds: evaluation.seconds.toFixed(0),
            AP: share(coco.ap),
            AP50: share(coco.ap50),
          };
        } finally {
          await run.release();
        }
      },
    };
  }),
);

export const weights: Suite = {
  file: "bench/ACCEPTANCE-WEIGHTS.md",
  title: "Acceptance runs of pretrained weights",
  command: "npm run acceptance weights",
  introduction:
    "What weights that others have trained are worth where data are few: FCOS learns from 20 of the 205 training photographs of BCCD, drawn by the seed of splits 0, for equal " +
    "seconds, with `--flip-vertical 0.5 --zoom-out 0.8 --zoom-in 1.25 --warmup-steps 20` and else the defaults. The weights that are measured are those with the highest AP on the validation split; " +
    "AP and AP50 are of the test split, measured once. Seeds decide random weights and batches.",
  entries: existsSync(CELLS) && existsSync(WEIGHTS) ? entries : [],
};
