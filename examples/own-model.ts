// Fits the model of gaussian-mixture.ts and compares it with the density that the data were drawn from.
//
//     npx tsx examples/own-model.ts [steps]

import { fit, openRun } from "eidos";
import type mixture from "./gaussian-mixture.ts";

const [steps = "400"] = process.argv.slice(2);

// `model` is the name of a model in the catalogue, a definition, or the path or URL of a module like this one, whose definition types the
// options.
const { folder, reason } = await fit<typeof mixture>(
  {
    model: new URL("gaussian-mixture.ts", import.meta.url),
    data: "eight-gaussians",
    components: 16,
    steps: Number(steps),
  },
  { onProgress: ({ step, loss }) => process.stdout.write(`\rstep ${step}: loss ${loss.toFixed(3)} `) },
);
console.log(`\n${reason}: ${folder}`);

// A run folder may be a stranger's, and its module would run: one's own is trusted.
await using run = await openRun(folder, { trust: true });
for (const { name, value, unit, split, samples } of (await run.evaluate()).results) {
  console.log(`${name}: ${value.toFixed(3)} ${unit} (${samples} samples of the ${split} split)`);
}

const picture = `${folder}/picture.png`;
await run.save(await run.sample({ count: 2000, seed: 1 }), picture);
console.log(`2000 samples: ${picture}`);
