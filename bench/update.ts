import { parseArgs } from "node:util";
import { adam } from "../src/nn/optimizer.ts";
import { nodeRuntime } from "../src/program/node.ts";
import { openSharedModule } from "../src/program/shared-module.node.ts";
import { zeros } from "../src/tensor/array.ts";
import { VectorUpdate } from "../src/train/vector-update.ts";
import { eidosWorks } from "./eidos-works.ts";
import { median, medianRatio } from "./statistics.ts";

// What threads bring to the update of weights: the update alone by the number of weights, and training steps with all else unchanged. One
// thread and several take turns in one process.
//
//   npx tsx bench/update.ts --threads 2 --works large-mlp-step,made-step,resnet-4-step

const SIZES = [500_000, 1_000_000, 2_000_000, 11_200_000];

const { values } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    works: { type: "string", default: "large-mlp-step,made-step,resnet-4-step" },
    rounds: { type: "string", default: "40" },
  },
});
const threads = Number(values.threads);
const rounds = Number(values.rounds);

/** Times of each, in turns. @returns milliseconds by contender and round */
async function inTurns(contenders: readonly (() => unknown)[]): Promise<readonly (readonly number[])[]> {
  const times = contenders.map((): number[] => []);
  for (const run of contenders) await run();
  for (let round = 0; round < rounds; round++) {
    for (const [i, run] of contenders.entries()) {
      const begun = performance.now();
      await run();
      times[i]?.push(performance.now() - begun);
    }
  }
  return times;
}

function report(what: string, [one = [], several = []]: readonly (readonly number[])[]): void {
  const ratio = medianRatio(one, several);
  console.log(
    `| ${what} | ${median(one).toFixed(2)} ms | ${median(several).toFixed(2)} ms | ${ratio.toFixed(2)}× |`,
  );
}

console.log(`Node ${process.version}\n`);
console.log(`| what | update on one thread | on ${threads} | faster, median of ratios |`);
console.log("|---|---|---|---|");

const { rule, slots } = adam();
if (rule === undefined) throw new Error("Adam has a rule");
for (const size of SIZES) {
  const start = new Map(
    ["parameters", ...slots.map((slot) => `slot.${slot}`)].map((name) => [name, zeros("float32", [size])]),
  );
  const options = { rule, slots, averageDecay: 0, rates: [{ rate: 1, size }] };
  const updates = await Promise.all(
    [1, threads].map((count) =>
      VectorUpdate.create(
        options,
        start,
        undefined,
        count === 1 ? undefined : (code, bytes) => openSharedModule(code, bytes, count - 1),
      ),
    ),
  );
  let number = 0;
  const gradient = new Float32Array(size).map((_, i) => Math.sin(i));
  for (const update of updates) update.gradient.set(gradient);
  report(
    `${size.toLocaleString("en")} weights, Adam`,
    await inTurns(updates.map((update) => () => update.update({ learningRate: 1e-3, number: ++number }))),
  );
  for (const update of updates) await update.release();
}

const runtime = await nodeRuntime({ threads: 1, updateThreads: 2 });
const shared = await runtime.openSharedModule?.(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0), 1);
if (shared === undefined)
  console.log("\nTraining steps are left out: programs take shared memory from Node 22 on.");
else {
  await shared.close();
  for (const work of values.works.split(",")) {
    const prepared = await Promise.all(
      [1, threads].map((updateThreads) => {
        const prepare = eidosWorks({ replicas: 1, threads, updateThreads })[work];
        if (prepare === undefined) throw new Error(`${work} is no work of the bench`);
        return prepare();
      }),
    );
    report(work, await inTurns(prepared.map(({ run }) => run)));
    for (const { release } of prepared) await release?.();
  }
}
process.exit(0);
