import { access, cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import type { MetricRow, RunFolder } from "../../../src/train/run-folder.node.ts";
import { present, temporaryFolder } from "../../support.ts";

// What options make of a fit, in this thread; test/cli/resume.slow.test.ts kills and resumes whole processes.

const STEPS = 24;
const REQUEST = {
  model: "nice",
  data: "two-moons",
  count: 301,
  width: 8,
  couplings: 2,
  hiddenLayers: 1,
} as const;
const FIT = { batchSize: 16, threads: 1, samplePictures: 0, validateEvery: 6, logEvery: 3 } as const;

let root: string;
let whole: RunFolder;
beforeAll(async () => {
  root = await temporaryFolder();
  whole = await fitted("whole", { steps: STEPS });
});
afterAll(() => rm(root, { recursive: true }));

type Options = Readonly<Record<string, unknown>>;

/** Fits into a folder, without what a fit writes besides weights. */
async function fitted(name: string, options: Options): Promise<RunFolder> {
  const request = { ...REQUEST, ...FIT, ...options, out: join(root, name) };
  return done(await prepareFit({ kind: "new", request }));
}

async function resumed(folder: string, overrides: Options): Promise<RunFolder> {
  return done(await prepareFit({ kind: "resume", folder, overrides }));
}

async function done({ fit }: Awaited<ReturnType<typeof prepareFit>>): Promise<RunFolder> {
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return fit.folder;
}

const refusal = (folder: string, overrides: Options = {}): Promise<string> =>
  prepareFit({ kind: "resume", folder, overrides }).then(
    () => "not refused",
    (error) => {
      expect(error).toBeInstanceOf(OptionError);
      return error.message;
    },
  );

const timeless = (rows: readonly MetricRow[]) =>
  rows.map(({ seconds: _s, samplesPerSecond: _p, ...row }) => row);

describe("a finished run", () => {
  test("is refused, and goes on only with a larger limit", async () => {
    const { path } = whole;
    expect(await refusal(path)).toBe(
      `${path} is finished (24 steps); to train on, raise the limit: eidos fit --resume ${path} --steps 48`,
    );
    expect(await refusal(path, { steps: 10 })).toMatch(/is finished/);
    await cp(path, join(root, "longer"), { recursive: true });
    const longer = await resumed(join(root, "longer"), { steps: 30 });
    const rows = timeless(await longer.readMetrics());
    expect(rows.at(-1)?.step).toBe(30);
    expect(rows.slice(0, 8)).toEqual(timeless(await whole.readMetrics()));
  });

  test("takes a limit of another kind in the place of the old one", async () => {
    const folder = await fitted("seconds", { seconds: 0.2 });
    expect(await refusal(folder.path)).toMatch(/is finished .*--seconds \d/);
    const reached = present(await folder.readCheckpoint()).progress.step;
    await resumed(folder.path, { steps: reached + 5 });
    const { fit } = await folder.readConfig();
    expect(fit).toMatchObject({ steps: reached + 5 });
    expect(fit.seconds).toBeUndefined();
    expect((await folder.readCheckpoint())?.progress.step).toBe(reached + 5);
  });

  test.each([
    [{ epochs: 0.5 }, /is finished \(0\.5 epochs\).*--epochs 1$/],
    [
      { steps: 1000, learningRate: 1e-30, patience: 2 },
      /is finished \(\d+ steps, 2 validations without improvement\).*--patience 4$/,
    ],
  ])("of %o names what was reached", async (limit, message) => {
    const folder = await fitted(Object.keys(limit).join("-"), limit);
    expect(await refusal(folder.path)).toMatch(message);
  });

  test("keeps its model and its data", async () => {
    expect(await refusal(whole.path, { width: 32 })).toContain(
      `resuming ${whole.path} (model and data stay as they were): there is no option width`,
    );
  });
});

describe("a batch", () => {
  test("that does not divide is refused before anything is written", async () => {
    const out = join(root, "nine");
    const request = { ...REQUEST, replicas: 2, batchSize: 9, out };
    await expect(prepareFit({ kind: "new", request })).rejects.toThrow(
      /batchSize: 9 does not divide into 2 parts .* choose 8 or 10/,
    );
    await expect(access(out)).rejects.toThrow();
  });

  test("whose size is not given is made to divide", async () => {
    const request = { ...REQUEST, count: 33, replicas: 2, accumulate: 3, out: join(root, "even") };
    const { config } = await prepareFit({ kind: "new", request });
    expect(config.dataInfo.trainCount).toBe(33);
    expect(config.fit.batchSize).toBe(30);
  });
});
