import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { TrainingError, WeightsError } from "../../src/errors.ts";
import { Linear } from "../../src/nn/index.ts";
import { Interrupted } from "../../src/program/deadline.ts";
import type { Fit } from "../../src/train/fit-request.node.ts";
import type { MetricRow } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { Denoiser, data, fitDenoiser } from "./support.ts";

const timeless = (rows: readonly MetricRow[]) =>
  rows.map(({ seconds: _s, samplesPerSecond: _p, ...row }) => row);

test("the loss falls, and the run folder holds what it should", async () => {
  const { summary, folder } = await fitDenoiser(await temporaryFolder(), { steps: 200, learningRate: 0.01 });
  const rows = await folder.readMetrics();
  expect(summary.step).toBe(200);
  expect(summary.reason).toBe("limit");
  expect(rows.at(-1)?.loss).toBeLessThan(0.5 * (rows[0]?.loss ?? 0));
  expect(rows.map((row) => row.step)).toContain(200);
  expect((await folder.readCheckpoint())?.progress).toMatchObject({ step: 200, finished: true });
  expect([...(await folder.readWeights("last")).keys()]).toEqual([
    "hidden.weight",
    "hidden.bias",
    "out.weight",
    "out.bias",
  ]);
  expect(summary.best?.loss).toBe(Math.min(...rows.flatMap((row) => row.validationLoss ?? [])));
});

test("the same seed gives the same numbers, another seed others", async () => {
  const runs = [];
  for (const seed of [3, 3, 4]) {
    const { folder } = await fitDenoiser(await temporaryFolder(), { steps: 20, seed });
    runs.push({ rows: timeless(await folder.readMetrics()), weights: await folder.readWeights("last") });
  }
  expect(runs[1]).toEqual(runs[0]);
  expect(runs[2]?.rows).not.toEqual(runs[0]?.rows);
});

test.each([0, 1, 7, 16])(
  "a fit stopped after %i steps and resumed equals the uninterrupted one, bit for bit",
  async (stopAt) => {
    const whole = await fitDenoiser(await temporaryFolder(), { steps: 23 });
    const path = await temporaryFolder();
    let asked = 0;
    const first = await fitDenoiser(path, { steps: 23 }, { shouldStop: () => asked++ >= stopAt });
    expect(first.summary).toMatchObject({ step: stopAt, reason: "stopped" });
    const second = await fitDenoiser(path, { steps: 23 }, { resume: true });
    expect(timeless(await second.folder.readMetrics())).toEqual(timeless(await whole.folder.readMetrics()));
    for (const which of ["best", "last"] as const) {
      expect(await second.folder.readWeights(which)).toEqual(await whole.folder.readWeights(which));
    }
    expect((await second.folder.readCheckpoint())?.vectors).toEqual(
      (await whole.folder.readCheckpoint())?.vectors,
    );
  },
);

test("parts of a batch give the numbers of the whole batch, up to the order of summation", async () => {
  const whole = await fitDenoiser(await temporaryFolder(), { steps: 12 });
  const parts = await fitDenoiser(await temporaryFolder(), { steps: 12, accumulate: 4 });
  const [a, b] = [await whole.folder.readMetrics(), await parts.folder.readMetrics()];
  expect(b.length).toBe(a.length);
  a.forEach((row, i) => {
    expect(Math.abs((b[i]?.loss ?? 0) - (row.loss ?? 0))).toBeLessThan(1e-5 * Math.abs(row.loss ?? 1));
  });
});

test("a batch that does not divide into parts is refused", async () => {
  await expect(fitDenoiser(await temporaryFolder(), { steps: 2, accumulate: 5 })).rejects.toThrow(
    /batchSize: 32 does not divide into 5 parts .* choose 30 or 35/,
  );
});

test("a loss that turns NaN ends the fit with step, samples and the checkpoint kept", async () => {
  class Diverging extends Denoiser {
    override loss(batch: { readonly x: import("../../src/tensor/index.ts").Tensor }) {
      const { total, error } = super.loss(batch);
      // √ of a negative number as soon as the error is small.
      return { total: total.sub(1.5).sqrt().add(total), error };
    }
  }
  const path = await temporaryFolder();
  const failure = fitDenoiser(
    path,
    { steps: 500, learningRate: 0.01, checkpointEvery: 1 },
    { model: new Diverging() },
  );
  await expect(failure).rejects.toThrow(TrainingError);
  await expect(failure).rejects.toThrow(
    /became NaN at step \d+ \(training samples [\d, …]+\); the checkpoint of step \d+ is kept/,
  );
});

test("early stopping waits for as many validations as given", async () => {
  class Constant extends Denoiser {
    override loss(batch: { readonly x: import("../../src/tensor/index.ts").Tensor }) {
      const { error } = super.loss(batch);
      return { total: error.mul(0).add(1), error };
    }
  }
  const { summary } = await fitDenoiser(
    await temporaryFolder(),
    { steps: 500, patience: 3, validateEvery: 5 },
    { model: new Constant() },
  );
  expect(summary).toMatchObject({ reason: "patience", step: 20, best: { step: 5 } });
});

test("validations are due by the clock, too, where validateEvery steps take longer", async () => {
  const options = { steps: 300, validateEvery: 1000, logEvery: 1000 };
  const validations = async (more: object): Promise<number> => {
    const { folder } = await fitDenoiser(await temporaryFolder(), { ...options, ...more });
    return (await folder.readMetrics()).filter((row) => row.validationLoss !== undefined).length;
  };
  expect(await validations({})).toBe(1);
  expect(await validations({ validateSeconds: 1e-3 })).toBeGreaterThan(1);
});

test("a damaged or foreign checkpoint is refused and left alone", async () => {
  const path = await temporaryFolder();
  await fitDenoiser(path, { steps: 5 });
  const file = join(path, "state.safetensors");
  const good = await readFile(file);
  class Wider extends Denoiser {
    override readonly hidden = new Linear(2, 32);
    override readonly out = new Linear(32, 2);
  }
  await expect(fitDenoiser(path, { steps: 9 }, { resume: true, model: new Wider() })).rejects.toThrow(
    /state\.safetensors: parameters is float32\[82\], the model wants float32\[162\]/,
  );
  for (const damaged of [good.subarray(0, 100), good.subarray(0, good.length - 4), Buffer.alloc(64, 0xff)]) {
    await writeFile(file, damaged);
    await expect(fitDenoiser(path, { steps: 9 }, { resume: true })).rejects.toThrow(WeightsError);
    expect(await readFile(file)).toEqual(damaged);
  }
});

test("validation noise is fixed: equal weights have equal validation losses", async () => {
  const { folder } = await fitDenoiser(await temporaryFolder(), {
    steps: 6,
    validateEvery: 2,
    learningRate: 1e-30,
    averageDecay: 0,
  });
  const losses = (await folder.readMetrics()).flatMap((row) => row.validationLoss ?? []);
  expect(losses.length).toBe(3);
  expect(new Set(losses).size).toBe(1);
  expect(data.splits.validation.count).toBeGreaterThan(0);
});

describe("a fit that fails", () => {
  class Broken extends Denoiser {
    override loss(_: { readonly x: import("../../src/tensor/index.ts").Tensor }): never {
      throw new TypeError("mine");
    }
  }

  test("before its first step leaves no folder", async () => {
    const path = join(await temporaryFolder(), "run");
    await expect(fitDenoiser(path, { steps: 3 }, { model: new Broken() })).rejects.toThrow("mine");
    await expect(stat(path)).rejects.toThrow(/ENOENT/);
    expect((await fitDenoiser(path, { steps: 3 })).summary.step).toBe(3);
  });

  test("keeps what is not its own", async () => {
    const path = join(await temporaryFolder(), "run");
    const begin = () => writeFile(join(path, "notes.txt"), "mine");
    await expect(fitDenoiser(path, { steps: 3 }, { model: new Broken(), begin })).rejects.toThrow("mine");
    expect(await readdir(path)).toEqual(["notes.txt"]);
  });

  test("after it keeps the run", async () => {
    const path = join(await temporaryFolder(), "run");
    const finish = async (): Promise<void> => {
      throw new TypeError("mine");
    };
    await expect(fitDenoiser(path, { steps: 3 }, { finish })).rejects.toThrow("mine");
    expect((await fitDenoiser(path, { steps: 3 }, { resume: true })).summary.step).toBe(3);
  });
});

describe("what a run writes after training", () => {
  test("has a fifth of the time, and is told how much of that is left", async () => {
    const left: number[] = [];
    const seen: unknown[] = [];
    const { summary, folder } = await fitDenoiser(
      await temporaryFolder(),
      { steps: 3 },
      {
        finish: async (_, { deadline, doing }) => {
          left.push(deadline.secondsLeft);
          doing("drawing", 0.5);
        },
        onProgress: ({ stage, doing, done, secondsLeft }) => {
          if (stage === "reporting" && doing !== undefined) seen.push({ doing, done, secondsLeft });
        },
      },
    );
    // Three steps take no time: the least that there is.
    expect(left[0]).toBeGreaterThan(4);
    expect(left[0]).toBeLessThanOrEqual(5);
    expect(seen).toEqual([{ doing: "drawing", done: 0.5, secondsLeft: expect.closeTo(5, 0) }]);
    expect(summary).toMatchObject({ reason: "limit", reportSeconds: expect.any(Number) });
    expect(summary.unreported).toBeUndefined();
    expect((await folder.readCheckpoint())?.progress.finished).toBe(true);
  });

  test("has all the time where it is to be whole", async () => {
    const left: number[] = [];
    const finish: NonNullable<Fit["finish"]> = async (_, { deadline }) => {
      left.push(deadline.secondsLeft);
    };
    await fitDenoiser(await temporaryFolder(), { steps: 3, report: "full" }, { finish });
    expect(left).toEqual([Number.POSITIVE_INFINITY]);
  });

  test("is not finished where it is stopped, and is written by a resumed fit", async () => {
    const path = await temporaryFolder();
    let stopped = false;
    const { summary, folder } = await fitDenoiser(
      path,
      { steps: 3 },
      {
        shouldStop: () => stopped,
        finish: async (_, { deadline }) => {
          stopped = true;
          expect(() => deadline.check()).toThrow(Interrupted);
        },
      },
    );
    expect(summary).toMatchObject({ reason: "limit", step: 3, unreported: true });
    expect((await folder.readCheckpoint())?.progress).toMatchObject({ step: 3, finished: false });
    let reported = 0;
    const finish = async (): Promise<void> => {
      reported++;
    };
    const again = await fitDenoiser(path, { steps: 3 }, { resume: true, finish });
    expect(again.summary).toMatchObject({ reason: "limit", step: 3 });
    expect(reported).toBe(1);
    expect((await again.folder.readCheckpoint())?.progress.finished).toBe(true);
  });
});

test("a picture that takes too long ends those while training, and not the fit", async () => {
  const warnings: string[] = [];
  let drawn = 0;
  const { summary } = await fitDenoiser(
    await temporaryFolder(),
    { steps: 40 },
    {
      draw: async () => {
        drawn++;
        throw new Interrupted("time");
      },
      onWarning: (message) => warnings.push(message),
    },
  );
  expect(summary.step).toBe(40);
  expect(drawn).toBe(1);
  expect(warnings).toEqual([expect.stringMatching(/^no pictures of samples while it trains: /)]);
});
