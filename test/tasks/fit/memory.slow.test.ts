import { join } from "node:path";
import { expect, test } from "vitest";
import { points } from "../../../src/data/sources/memory.ts";
import { fit, resumeFit } from "../../../src/tasks/fit/fit.node.ts";
import { temporaryFolder } from "../../support.ts";

test("data in memory reaches the thread of a fit and its replicas", async () => {
  const out = join(await temporaryFolder(), "run");
  async function* pairs() {
    for (let i = 0; i < 60; i++) yield [Math.sin(i), Math.cos(i)];
  }
  const options = { width: 8, couplings: 2, batchSize: 8, replicas: 2, samplePictures: 0 };
  const begun: string[] = [];
  const summary = await fit(
    { model: "nice", data: points(pairs()), ...options, steps: 4, out },
    { onBegin: ({ data }) => begun.push(...data) },
  );
  expect(summary).toMatchObject({ step: 4, reason: "limit" });
  expect(begun.join()).toContain("60 points");
  await expect(resumeFit(out, { steps: 6 })).rejects.toThrow(/data of this run was in memory/);
  const later = await resumeFit(out, { steps: 6, data: points(pairs()) });
  expect(later).toMatchObject({ step: 6, reason: "limit" });
});
