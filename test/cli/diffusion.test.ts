import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../support.ts";
import { BARE, readCsv, refused, succeed } from "./support.ts";

let cwd: string;
const SMALL = [...BARE, "--depth", "2", "--fourier-features", "0", "--steps", "20"];

beforeAll(async () => {
  cwd = await temporaryFolder();
  await Promise.all([
    succeed(["fit", "ddpm", "two-moons", ...SMALL, "--noise-steps", "100", "--out", "chain"], cwd),
    succeed(["fit", "score-sde", "two-moons", ...SMALL, "--path", "ve", "--out", "sde"], cwd),
  ]);
});

describe("solvers of a run", () => {
  test("are chosen by name, with options of their own", async () => {
    const draw = async (run: string, ...args: string[]): Promise<readonly string[][]> => {
      await succeed(["sample", run, "--count", "5", ...args, "--out", "samples.csv"], cwd);
      return (await readCsv(join(cwd, "samples.csv"))).rows;
    };
    const first = await draw("chain", "--solver", "ddim", "--steps", "10", "--eta", "0");
    expect(first).toHaveLength(5);
    expect(first).toEqual(await draw("chain", "--steps", "10"));
    expect(first).not.toEqual(await draw("chain", "--steps", "10", "--eta", "1"));
    expect(first).not.toEqual(await draw("chain", "--solver", "dpm++", "--steps", "10"));
    expect(await draw("sde", "--solver", "dormand-prince", "--rtol", "0.01")).toHaveLength(5);
    expect(await draw("sde", "--steps", "5", "--corrector-steps", "2")).toHaveLength(5);
  });

  test("that cannot serve it are refused with those that can, options with their solvers", async () => {
    expect(await refused(["sample", "chain", "--solver", "heun"], cwd)).toMatch(
      /heun cannot sample from this model: .* choose ddpm, ddim, dpm\+\+, edm, predictor-corrector/,
    );
    expect(await refused(["sample", "sde", "--solver", "heun", "--eta", "1"], cwd)).toMatch(
      /eta: is of ddim/,
    );
    expect(await refused(["sample", "chain", "--steps", "101"], cwd)).toMatch(
      /steps: .* from 1 to 100, not 101/,
    );
  });
});

describe("likelihoods", () => {
  test("are those of the flow, or the bound of the chain in parts", async () => {
    const evaluate = async (run: string) =>
      JSON.parse((await succeed(["eval", run, "--json", "--distances", "quick"], cwd)).stdout);
    const [chain, sde] = await Promise.all([evaluate("chain"), evaluate("sde")]);
    const named = new Map<string, number>(
      chain.results.map((result: { name: string; value: number }) => [result.name, result.value]),
    );
    const parts = ["L_0", "L_1 to L_99", "L_100"].map(
      (part) => named.get(`of the bound, ${part}`) ?? Number.NaN,
    );
    expect(-parts.reduce((a, b) => a + b, 0)).toBeCloseTo(named.get("log-likelihood") ?? 0, 4);
    expect(chain.likelihoodDetail).toMatch(/variational bound, all its terms/);
    expect(sde.likelihood).toMatchObject({ kind: "exact" });
    expect(sde.likelihoodDetail).toMatch(/probability flow .* exact trace/);
    expect(sde.likelihood.nats).toBeLessThan(0);
  });
});

describe("export --sampler", () => {
  test("writes network and solver as one file, from noise to samples", async () => {
    const { stdout } = await succeed(
      ["export", "chain", "--raw-tensor", "--sampler", "--solver", "dpm++", "--steps", "4"],
      cwd,
    );
    expect(stdout).toMatch(/sampler\.onnx: .*\nA whole sampler: dpm\+\+ in 4 network evaluations/);
    const session = await InferenceSession.create(join(cwd, "chain", "sampler.onnx"));
    const { samples } = await session.run({
      noise: new Tensor("float32", Float32Array.of(0.3, -1, 2, 0, 0, 1), [3, 2]),
    });
    expect(samples?.dims).toEqual([3, 2]);
    expect(Array.from(samples?.data ?? [], Number).filter(Number.isFinite)).toHaveLength(6);
    await session.release();
  });

  test("is what options of a solver belong to, and of models that take steps", async () => {
    expect(await refused(["export", "chain", "--raw-tensor", "--steps", "4"], cwd)).toMatch(
      /option steps: .* add --sampler/,
    );
    expect(
      await refused(["export", "sde", "--raw-tensor", "--sampler", "--solver", "dormand-prince"], cwd),
    ).toMatch(/chooses its steps/);
  });
});
