// Finds the rows of a table that do not fit the others: NICE learns the density of all rows, and the rows with the
// lowest log-likelihood are the unusual ones. No column of theirs is out of range; their combination is.
//
//     npx tsx examples/unusual-rows.ts [steps]

import { mkdir, writeFile } from "node:fs/promises";
import { fit, openRun, Random } from "eidos";

const [steps = "300"] = process.argv.slice(2);

// 2000 people: weight and shoe size go with height. Three rows break the rule.
const random = new Random(0);
const people = Array.from({ length: 2000 }, () => {
  const height = 172 + 9 * random.normal();
  return [
    height,
    70 + 0.9 * (height - 172) + 5 * random.normal(),
    41 + 0.22 * (height - 172) + random.normal(),
  ];
});
people[100] = [158, 92, 38];
people[700] = [188, 60, 45];
people[1500] = [172, 70, 46.5];
const table = "runs/people.csv";
await mkdir("runs", { recursive: true });
const lines = people.map((row) => row.map((value) => value.toFixed(1)).join());
await writeFile(table, `height,weight,shoe\n${lines.join("\n")}\n`);

// Options of training, data and model stand side by side; three smooth columns need no large network.
const { folder } = await fit({
  model: "nice",
  data: table,
  steps: Number(steps),
  batchSize: 256,
  learningRate: 0.01,
  couplings: 4,
  hiddenLayers: 1,
  width: 32,
});

// `scores` reads tables of any size in constant memory; `firstRow` counts from 0.
await using run = await openRun(folder);
const scores: { readonly row: number; readonly logLikelihood: number }[] = [];
for await (const { firstRow, logLikelihood } of run.scores(table)) {
  scores.push(...Array.from(logLikelihood, (value, i) => ({ row: firstRow + i, logLikelihood: value })));
}
scores.sort((a, b) => a.logLikelihood - b.logLikelihood);
console.log("the most unusual rows:");
for (const { row, logLikelihood } of scores.slice(0, 5)) {
  console.log(`row ${row}: ${logLikelihood.toFixed(1)} nats  ${lines[row]}`);
}
