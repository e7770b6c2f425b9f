import { expect, it } from "vitest";
import { range } from "../../../src/data/sources/data-set.ts";
import { openDigits } from "../../../src/data/sources/digits.node.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { DistanceMeter } from "../../../src/tasks/measure/distances.node.ts";

// The distance of all validation digits, which the documentation tells; fewer digits are measured in distances.test.ts.

it("validation digits are as far from test digits as the table of docs/guide/metrics.md says", async () => {
  const digits = await openDigits();
  const options = { split: "test", seed: 0, extent: "all", runtime: await nodeRuntime() } as const;
  const meter = new DistanceMeter(digits, options);
  expect(meter.count).toBe(1000);
  const [frechet] = await meter.measure(digits.splits.validation.batch(range(0, 1000)).x);
  expect(frechet).toMatchObject({ measure: "frechet", samples: 1000, real: 1000 });
  // Values are not rounded or limited before, since the meter does that.
  expect(frechet?.value).toBeCloseTo(6.2, 1);
});
