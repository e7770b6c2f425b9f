import { parseArgs } from "node:util";
import { autoregressive } from "./autoregressive.ts";
import { detection } from "./detection.ts";
import { diffusion } from "./diffusion.ts";
import { flows } from "./flows.ts";
import { foundation } from "./foundation.ts";
import { information } from "./mutual-information.ts";
import { representation } from "./representation.ts";
import { runSuite, scale } from "./run.ts";
import { scales } from "./scales.ts";
import { smallObjects } from "./small-objects.ts";
import { syntheticTables } from "./synthetic-tables.ts";
import { weights } from "./weights.ts";

// Fits the models on the data that README and docs quote, measures each, and writes tables. `npm run acceptance` runs
// every suite, `npm run acceptance flows` one of them; --only NAME,… picks rows, --scale 0.1 shortens all fits,
// --write FILE writes another page than that of the project.

const SUITES = {
  foundation,
  flows,
  autoregressive,
  diffusion,
  detection,
  scales,
  weights,
  information,
  representation,
  "small-objects": smallObjects,
  tables: syntheticTables,
};

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, scale: { type: "string", default: "1" }, write: { type: "string" } },
});
const unknown = positionals.find((name) => !(name in SUITES));
if (unknown !== undefined) {
  console.error(`there is no suite ${unknown}; there are ${Object.keys(SUITES).join(", ")}`);
  process.exit(1);
}
const only = flags.only?.split(",");
scale.value = Number(flags.scale);
for (const [name, suite] of Object.entries(SUITES)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  await runSuite(suite, (entry) => only?.some((part) => entry.includes(part)) ?? true, flags.write);
}
