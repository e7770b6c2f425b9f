import { expect, it } from "vitest";
import { eidosWorks } from "../../bench/eidos-works.ts";

// Every work of the bench can be prepared and done: they use the library in ways of their own.

const works = eidosWorks({ replicas: 1, threads: 2 });

for (const [name, prepare] of Object.entries(works)) {
  it(`the bench does ${name}`, { timeout: 300_000 }, async () => {
    const work = await prepare();
    expect(work.parameters).toBeGreaterThanOrEqual(0);
    await work.run();
    await work.release?.();
  });
}
