import { expect, test } from "vitest";
import { present } from "../../support.ts";
import { bothScores, exported, fitted, ROWS, scoredRows, writeTables } from "./tables.ts";

// Scores of diffusion models outside of eidos: solvers that choose their steps and bounds of many terms, inside of a file.

writeTables();

test.each<[model: string, options: { readonly [name: string]: unknown }]>([
  // Hutchinson's estimate of many columns, and exact traces of few.
  ["rectified-flow", { width: 16 }],
  ["score-sde", { width: 16, columns: ["age", "income", "city"] }],
  ["edm", { width: 16, label: "member", conditional: true, classDropout: 0 }],
  ["ddpm", { width: 16, noiseSteps: 200 }],
  ["ddpm", { width: 16, noiseSteps: 80, variance: "learned", label: "member" }],
])("%s gives the nats of eidos score: %j", async (model, options) => {
  const run = await fitted(model, "people", options);
  const files = await exported(run);
  expect(files.record.leftOut.map(({ ability }) => ability)).not.toContain("score");
  const { nats, expected } = await bothScores(run, files, "people");
  expect(nats.length).toBe(ROWS);
  const differences = nats
    .map((value, row) => Math.abs(value - present(expected[row])))
    .sort((a, b) => a - b);
  // Rounding of float32 grows on the way of hundreds of evaluations, and may move a step.
  const [median, most] = model === "ddpm" ? [1e-4, 1e-3] : [3e-3, 5e-2];
  expect(present(differences[ROWS / 2])).toBeLessThan(median);
  expect(present(differences.at(-1))).toBeLessThan(most);
  if (!("label" in options || "columns" in options))
    expect(await scoredRows(files)).toEqual([true, false, false]);
  await run.session.release();
});
