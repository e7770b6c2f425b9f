import { mkdir, writeFile } from "node:fs/promises";
import { argv } from "node:process";
import type { Batch, Split } from "../src/data/sources/data-set.ts";
import { range } from "../src/data/sources/data-set.ts";
import { openDigits } from "../src/data/sources/digits.node.ts";
import { digitFeaturesAsset } from "../src/metrics/digit-features.node.ts";
import { DigitClassifier, DigitFeatureNetwork } from "../src/metrics/digit-features.ts";
import { learningRateSchedule, writeSafetensors } from "../src/nn/index.ts";
import { nodeRuntime } from "../src/program/node.ts";
import type { Runtime } from "../src/program/runtime.ts";
import { Random } from "../src/random.ts";
import { float32 } from "../src/tensor/array.ts";
import { train } from "../src/train/index.ts";

// Trains the feature network of digits and writes assets/digit-features.safetensors (430 kB):
//     npx tsx scripts/train-digit-features.ts [steps]
// It learns on the training split of the data set `digits`, each image shifted at random by up to two pixels. The
// validation split judged the choice of the recipe, the test split is only looked at here to state the accuracy.

const STEPS = Number(argv[2] ?? 3500);
const SEED = 0;
const SIDE = 28;
const REACH = 2;

/** The split with every image shifted by up to two pixels each way; what leaves the frame is lost. */
function shifted(split: Split, random: Random): Split {
  let batches = 0;
  return {
    count: split.count,
    batch: (indices): Batch => {
      const batch = split.batch(indices);
      const source = random.split(batches++);
      const data = new Float32Array(batch.x.data.length);
      for (let image = 0; image < data.length; image += SIDE * SIDE) {
        const [down, right] = [source.integer(2 * REACH + 1) - REACH, source.integer(2 * REACH + 1) - REACH];
        for (let row = Math.max(0, down); row < SIDE + Math.min(0, down); row++) {
          for (let column = Math.max(0, right); column < SIDE + Math.min(0, right); column++) {
            const from = image + (row - down) * SIDE + column - right;
            data[image + row * SIDE + column] = batch.x.data[from] ?? 0;
          }
        }
      }
      return { ...batch, x: float32(data, batch.x.shape) };
    },
  };
}

/** Share of a split whose most probable class is the right one. */
async function accuracyOn(split: Split, network: DigitFeatureNetwork, runtime: Runtime): Promise<number> {
  const { x, label } = split.batch(range(0, split.count));
  const { probabilities } = await network.view(x, runtime);
  let right = 0;
  for (let i = 0; i < split.count; i++) {
    const row = probabilities.data.subarray(10 * i, 10 * i + 10);
    if (row.indexOf(Math.max(...row)) === Number(label?.data[i])) right++;
  }
  return right / split.count;
}

const { splits } = await openDigits();
const runtime = await nodeRuntime();
const shift = new Random(SEED).split("shift");
const rate = learningRateSchedule({ kind: "cosine", rate: 3e-3, warmupSteps: STEPS / 25, totalSteps: STEPS });
const training = train(new DigitClassifier(), {
  data: { kind: "image", splits: { train: shifted(splits.train, shift) } },
  runtime,
  batchSize: 64,
  learningRate: (step) => rate(step + 1),
  averageDecay: 0.995,
  seed: SEED,
  steps: STEPS,
});
const begun = performance.now();
for await (const { step, losses } of training) {
  if (step % 250 === 0) console.log(`step ${step}: loss ${losses.total.toFixed(4)}`);
}
console.log(`${STEPS} steps in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
const weights = await training.weights();
const network = new DigitFeatureNetwork(writeSafetensors(weights));
const [validation, test] = [
  await accuracyOn(splits.validation, network, runtime),
  await accuracyOn(splits.test, network, runtime),
];
const facts = {
  data: "digits, training split of 8,000, shifted by up to two pixels",
  seed: `${SEED}`,
  steps: `${STEPS} of 64 images`,
  validationAccuracy: validation.toFixed(4),
  testAccuracy: test.toFixed(4),
};
console.log(facts);
await mkdir(new URL(".", digitFeaturesAsset), { recursive: true });
await writeFile(digitFeaturesAsset, writeSafetensors(weights, facts));
