import { mkdir, readFile, writeFile } from "node:fs/promises";
import { TrainingError } from "../../src/errors.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { renderSvg } from "../../src/report/index.ts";
import {
  BOUNDS,
  type BoundName,
  mutualInformation,
} from "../../src/representation/mutual-information/index.ts";
import { KNOWN_TASKS } from "./known-information.ts";
import { type Entry, type Row, type Suite, scale } from "./run.ts";
import { LEVELS, levelsOf, pairsOf, type StaircaseTask, staircase } from "./staircase.ts";

const STEPS = 20_000;
const BATCH = 64;

/** Where the estimates of a staircase are kept for its picture. */
const curveFile = (task: StaircaseTask, estimator: BoundName): string =>
  `runs/acceptance/staircase/${task}-${estimator}.json`;

const TASKS: Readonly<Record<StaircaseTask, string>> = {
  gaussian: "jointly Gaussian",
  cubic: "the second variable cubed",
};

const stairs = (Object.keys(TASKS) as StaircaseTask[]).flatMap((task) =>
  (Object.keys(BOUNDS) as BoundName[]).map(
    (estimator): Entry => ({
      name: `information-${task}-${estimator}`,
      section: `Staircase of 20 × 20 coordinates, ${TASKS[task]}: the estimate at 2 to 10 nats`,
      async measure(): Promise<Row> {
        const steps = Math.ceil(STEPS * scale.value);
        const begun = performance.now();
        const estimates = await staircase({ estimator, task, steps, batchSize: BATCH, seed: 0 });
        const seconds = (performance.now() - begun) / 1000;
        await mkdir("runs/acceptance/staircase", { recursive: true });
        await writeFile(curveFile(task, estimator), JSON.stringify(means(estimates)));
        const cells = levelsOf(estimates).map(({ mean, deviation }, i): [string, string] => [
          `${LEVELS[i]} nats`,
          Number.isFinite(mean) ? `${mean.toFixed(2)} ± ${deviation.toFixed(2)}` : "not finite",
        ]);
        return {
          estimator,
          ...Object.fromEntries(cells),
          steps: String(steps),
          seconds: seconds.toFixed(0),
        };
      },
    }),
  ),
);

/** Pairs of a level that references see. */
const REFERENCE_ROWS = 5000;

/** The same levels by estimators that learn nothing. */
const references = (Object.keys(TASKS) as StaircaseTask[]).flatMap((task) =>
  (["gaussian", "ksg"] as const).map(
    (estimator): Entry => ({
      name: `information-${task}-${estimator}`,
      section: `Staircase of 20 × 20 coordinates, ${TASKS[task]}: the estimate at 2 to 10 nats`,
      async measure(): Promise<Row> {
        const runtime = await nodeRuntime();
        const begun = performance.now();
        const cells: [string, string][] = [];
        for (const [level, nats] of LEVELS.entries()) {
          const [x, y] = pairsOf(task, nats, REFERENCE_ROWS, level);
          const found = await mutualInformation(x, y, { estimator, permutations: 0 }, runtime);
          cells.push([`${nats} nats`, found.nats.toFixed(2)]);
        }
        const seconds = ((performance.now() - begun) / 1000).toFixed(0);
        return { estimator, ...Object.fromEntries(cells), seconds };
      },
    }),
  ),
);

/** Points of a curve of the picture. */
const POINTS = 250;

/** Means of equal stretches of the estimates. */
function means(estimates: Float64Array): readonly number[] {
  const each = Math.ceil(estimates.length / POINTS);
  return Array.from({ length: Math.ceil(estimates.length / each) }, (_, i) => {
    const part = estimates.subarray(i * each, (i + 1) * each);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

const picture: Entry = {
  name: "information-picture",
  section: "",
  /** Draws all staircases that have been measured: docs/images/mutual-information-staircase.svg. */
  async measure(): Promise<readonly Row[]> {
    const values: { estimator: string; task: string; step: number; nats: number }[] = [];
    for (const task of Object.keys(TASKS) as StaircaseTask[]) {
      for (const estimator of Object.keys(BOUNDS) as BoundName[]) {
        const text = await readFile(curveFile(task, estimator), "utf8").catch(() => undefined);
        if (text === undefined) continue;
        const curve: readonly (number | null)[] = JSON.parse(text);
        for (const [i, nats] of curve.entries()) {
          // What lies beyond the frame, as the exponential estimators do, is left out.
          if (nats === null || nats < -2 || nats > 14) continue;
          values.push({ estimator, task: TASKS[task], step: ((i + 0.5) * STEPS) / curve.length, nats });
        }
      }
    }
    const truth = Object.values(TASKS).flatMap((task) =>
      LEVELS.flatMap((nats, level) =>
        [level, level + 1].map((edge) => ({ task, step: (edge * STEPS) / LEVELS.length, nats })),
      ),
    );
    const x = {
      field: "step",
      type: "quantitative" as const,
      title: null,
      axis: { values: [0, 8000, 16_000] },
    };
    const y = {
      field: "nats",
      type: "quantitative" as const,
      title: "nats",
      scale: { domain: [-1, 13] },
    };
    const svg = await renderSvg({
      data: { values },
      facet: {
        column: { field: "estimator", type: "nominal", title: null, sort: Object.keys(BOUNDS) },
        row: { field: "task", type: "nominal", title: null, sort: Object.values(TASKS) },
      },
      spec: {
        width: 105,
        height: 150,
        layer: [
          { mark: { type: "line", strokeWidth: 1, clip: true }, encoding: { x, y } },
          {
            data: {
              values: truth
                .filter(({ task }) => task === TASKS.gaussian)
                .map(({ step, nats }) => ({ step, nats })),
            },
            mark: { type: "line", color: "#222", strokeDash: [4, 3], strokeWidth: 1 },
            encoding: { x, y },
          },
        ],
      },
    });
    await writeFile("docs/images/mutual-information-staircase.svg", svg);
    return [];
  },
};

/** Rows of each task, and estimators that are compared on them. */
const ROWS = 10_000;
const COMPARED = ["gaussian", "ksg", "mine", "nwj", "infonce", "smile", "club"] as const;

const known = KNOWN_TASKS.map(
  ({ name, nats, draw }, i): Entry => ({
    name: `information-known-${i}`,
    section: `Known mutual information: ${ROWS.toLocaleString("en")} rows, after Czyż et al. 2023`,
    async measure(): Promise<Row> {
      const [x, y] = draw(ROWS, 1);
      const runtime = await nodeRuntime();
      const cells: [string, string][] = [];
      for (const estimator of COMPARED) {
        const learning = Object.hasOwn(BOUNDS, estimator)
          ? { steps: Math.ceil(4000 * scale.value), seeds: [0, 1, 2] }
          : {};
        const found = await mutualInformation(
          x,
          y,
          { estimator, permutations: 0, ...learning },
          runtime,
        ).catch((error: unknown) => {
          if (error instanceof TrainingError) return undefined;
          throw error;
        });
        if (found === undefined) {
          cells.push([estimator, "diverged"]);
          continue;
        }
        const spread = found.deviation === undefined ? "" : ` ± ${found.deviation.toFixed(2)}`;
        cells.push([estimator, `${found.nats.toFixed(2)}${spread}`]);
      }
      return { task: name, truth: nats.toFixed(2), ...Object.fromEntries(cells) };
    },
  }),
);

export const information: Suite = {
  file: "bench/ACCEPTANCE-INFORMATION.md",
  title: "Acceptance runs of estimators of mutual information",
  command: "npm run acceptance information",
  introduction:
    "Staircase: a separable critic (two layers of 256 units on each side, embeddings of 32) learns from batches of 64 fresh pairs, by Adam at 0.0005, seed 0, while the mutual information of the pairs rises from 2 to 10 nats; mean and deviation of the estimates of single batches over the last quarter of each level. InfoNCE of 64 pairs is at most ln 64 = 4.16. gaussian and ksg learn nothing: they see 5,000 pairs of each level. " +
    "Known tasks: the estimate on 2,000 test rows, mean and deviation of seeds 0 to 2, with the default critic and 4,000 steps; ksg and gaussian see all rows; diverged: the bound of one of the seeds was no longer finite.",
  entries: [...stairs, ...references, picture, ...known],
};
