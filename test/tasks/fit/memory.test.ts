import { access, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gatherSource } from "../../../src/data/sources/gather.ts";
import { type PlainSource, photos, points, rows } from "../../../src/data/sources/memory.ts";
import { DataError, OptionError } from "../../../src/errors.ts";
import { fit, resumeFit, startFit } from "../../../src/tasks/fit/fit.node.ts";
import { type PreparedFit, prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import type { Fit } from "../../../src/train/fit-request.node.ts";
import { temporaryFolder } from "../../support.ts";

let root: string;
let data: PlainSource;
let stopped: PreparedFit;
beforeAll(async () => {
  root = await temporaryFolder();
  data = await gatherSource(spiral(60));
  stopped = await prepareFit({ kind: "new", request: request("stopped") });
  let asked = 0;
  await fitHere({ ...bare(stopped.fit), shouldStop: () => asked++ >= 3 });
});
afterAll(() => rm(root, { recursive: true }));

const spiral = (count: number) =>
  points(
    Float32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? Math.sin : Math.cos)(i) * (i / count)),
  );

const request = (name: string) => ({
  ...{ model: "nice", data, width: 8, couplings: 2, hiddenLayers: 1, batchSize: 8, steps: 6, threads: 1 },
  out: join(root, name),
});

/** A fit without what it writes besides weights. */
function bare({ draw: _d, finish: _f, ...rest }: Fit): Fit {
  return rest;
}

describe("a fit to data in memory", () => {
  test("keeps the name of such data with the run, and prints how much there is", () => {
    expect(stopped.config.data).toBe("memory:points");
    expect(stopped.config.dataInfo).toMatchObject({ kind: "points", trainCount: 48 });
    expect(stopped.fit.data.describe().join()).toContain("60 points");
  });

  test("goes on with the same data bit for bit, and with no other", async () => {
    const { path: folder } = stopped.fit.folder;
    const resume = (again?: PlainSource) =>
      prepareFit({
        kind: "resume",
        folder,
        overrides: {},
        ...(again !== undefined && { data: again }),
      });
    await expect(resume()).rejects.toThrow(
      /data of this run was in memory .*give the same data again.*points/,
    );
    const other = await gatherSource(spiral(61));
    await expect(resume(other)).rejects.toThrow(/no longer what this run was begun with/);
    const whole = await prepareFit({ kind: "new", request: request("whole") });
    await fitHere(bare(whole.fit));
    const again = await resume(data);
    await fitHere(bare(again.fit));
    expect(await again.fit.folder.readWeights("last")).toEqual(await whole.fit.folder.readWeights("last"));
    expect((await again.fit.folder.readConfig()).data).toBe("memory:points");
  });

  test("is in a folder of its own by default", async () => {
    const { out: _, ...rest } = request("");
    const before = process.cwd();
    process.chdir(root);
    try {
      const { fit } = await prepareFit({ kind: "new", request: rest });
      expect(fit.folder.path).toBe(join("runs", "nice-memory-points"));
    } finally {
      process.chdir(before);
    }
  });

  const photo = { name: "a", image: new Uint8Array(3), boxes: [] };
  test.each([
    ["a detector to rows", "yolo", rows([{ a: 1 }]), /rows in memory have no boxes/],
    ["a flow to photos", "nice", photos([photo]), /photos.* are images with boxes, for detectors/],
  ])("of %s is refused", async (_what, model, source, message) => {
    const out = join(root, "refused");
    const request = { model, data: await gatherSource(source), out };
    await expect(prepareFit({ kind: "new", request })).rejects.toThrow(message);
    await expect(access(out)).rejects.toThrow();
  });
});

test("what cannot be sent to the thread of a fit is refused by name, before one is started", async () => {
  const wrong = { model: "nice", data: [1, 2] as unknown as string };
  await expect(startFit(wrong)).rejects.toThrow(OptionError);
  await expect(fit({ model: "nice", data: rows([]) })).rejects.toThrow(DataError);
  await expect(startFit({ model: "nice", data, learningRate: () => 1 })).rejects.toThrow(
    /^option learningRate: must be a plain value, not a function$/,
  );
  await expect(resumeFit("nowhere", { onStep: () => 1 })).rejects.toThrow(/^option onStep: /);
});
