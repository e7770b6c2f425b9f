import { conditions, type Entry, type Fitted, fitted, type Suite, testOf } from "./run.ts";

const RUNS: readonly Fitted[] = [
  { name: "rectified-flow-digits", model: "rectified-flow", data: "digits", seconds: 120 },
  { name: "nice-digits", model: "nice", data: "digits", seconds: 120 },
  { name: "rectified-flow-checkerboard", model: "rectified-flow", data: "checkerboard", seconds: 60 },
  { name: "nice-two-moons", model: "nice", data: "two-moons", seconds: 60 },
  {
    name: "rectified-flow-wine-red",
    model: "rectified-flow",
    data: "../shared/data/tables/wine-red.csv",
    seconds: 60,
    options: { label: "quality" },
  },
];

const entries = RUNS.map(
  (run): Entry => ({
    name: run.name,
    section: "",
    measure: () =>
      fitted(run, async (opened) => {
        const evaluation = await testOf(opened);
        const results = evaluation.results.map(
          ({ name, value, unit }) => `${name} ${value.toPrecision(4)}${unit ? ` ${unit}` : ""}`,
        );
        return {
          model: run.model,
          data: run.data,
          ...conditions(evaluation),
          results: results.join("; "),
        };
      }),
  }),
);

export const foundation: Suite = {
  file: "bench/ACCEPTANCE.md",
  title: "Acceptance runs",
  command: "npm run acceptance foundation",
  introduction:
    "Weights are chosen by the validation split, numbers are of the test split. The pictures are in `runs/acceptance/*/samples`.",
  entries,
};
