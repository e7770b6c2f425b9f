import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { COMPARE, comparisonOf, OWN, readBoard, readResult } from "./comparison.ts";
import { filesBelow, readCsv, refused, run, succeed } from "./support.ts";

const CONFIG = comparisonOf(40);

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
  await writeFile(join(cwd, "all.json"), JSON.stringify(CONFIG));
  const { stdout, stderr } = await succeed([...COMPARE, "--out", "whole"], cwd);
  expect(stdout).toMatch(/^# {2}model .*log-likelihood ↑ .*energy ↓ .*parameters ↓\n1 {2}(nice|flow)/);
  expect(stdout).toMatch(/\n {3}training samples .*\n {3}true density /);
  expect(stdout).toMatch(/\npixel-cnn: pixel-cnn takes [^\n]*, not points data\n/);
  expect(stdout).toMatch(/leaderboard: whole\/leaderboard\.html \(also \.md, \.csv, \.json\)\n$/);
  expect(stderr).toMatch(/\[1\/3\] nice {2}compiling/);
  expect(stderr).toMatch(/\[3\/3\] flow .*drawing samples/);
  expect(stderr).toMatch(/\d left in all\n/);
  expect(stderr).toContain("pixel-cnn: failed\n");
});

describe("a comparison", () => {
  test("writes the leaderboard in four forms, pictures, results and a run folder a model", async () => {
    const files = await filesBelow(join(cwd, "whole"));
    expect(files.filter((file) => !file.startsWith("runs"))).toEqual([
      "compare.json",
      "data.json",
      ...["csv", "html", "json", "md"].map((form) => `leaderboard.${form}`),
      ...["data/density.png", "data/samples.png", "flow-density.png", "flow-samples.png"].map(
        (f) => `pictures/${f}`,
      ),
      ...["nice-density.png", "nice-samples.png"].map((file) => `pictures/${file}`),
      "results/flow.json",
      "results/nice.json",
    ]);
    expect(await readdir(join(cwd, "whole", "runs"))).toEqual(["flow", "nice"]);
    for (const name of ["flow", "nice"]) {
      expect(files).toContain(`runs/${name}/report.html`);
      const { fit, data } = await new RunFolder(join(cwd, "whole", "runs", name)).readConfig();
      expect([fit.steps, fit.seed, fit.seconds, data]).toEqual([40, 3, undefined, "eight-gaussians"]);
    }
  });

  test("ranks by the held-out distance, and prints the likelihoods of models that have one", async () => {
    const { rows, measures, controls, split, seed } = await readBoard(join(cwd, "whole"));
    expect([split, seed, measures[0].key]).toEqual(["test", 3, "energy"]);
    const [first, second, failed] = rows;
    expect([first.rank, second.rank, failed.status]).toEqual([1, 2, "failed"]);
    expect(first.distances.energy).toBeLessThan(second.distances.energy);
    const [nice, flow] = first.name === "nice" ? [first, second] : [second, first];
    expect(nice.likelihood.kind).toBe("exact");
    expect(flow.likelihood.kind).toBe("exact");
    expect(failed).not.toHaveProperty("likelihood");
    expect(nice.options).toMatch(/^couplings 2, /);
    expect(flow.options).toMatch(/^rectified-flow, depth 1, /);
    for (const row of [nice, flow]) {
      expect(row).toMatchObject({ steps: 40, sampling: { warm: true } });
      expect(row.trainingSeconds).toBeGreaterThan(0);
      expect(row.sampling.seconds).toBeGreaterThan(0);
      expect(row.distances.memorization).toBeGreaterThan(0);
    }
    expect(controls.map(({ name }: { name: string }) => name)).toEqual(["training samples", "true density"]);
    expect(controls[0].distances.memorization).toBe(1);
    expect(controls[1].likelihood.nats).toBeGreaterThan(nice.likelihood.nats);
  });

  test("its numbers are those of eidos eval", async () => {
    const { stdout } = await succeed(["eval", "whole/runs/nice", "--seed", "3", "--full", "--json"], cwd);
    const { likelihood, distances, results } = JSON.parse(stdout);
    const kept = await readResult(join(cwd, "whole"), "nice");
    expect(likelihood).toEqual(kept.likelihood);
    expect(distances).toEqual(kept.distances);
    const named = results.map(({ name }: { name: string }) => name);
    expect(named.slice(0, 5)).toEqual([
      "loss",
      "log-likelihood",
      "log-likelihood of the true density",
      "energy distance",
      "sliced Wasserstein distance",
    ]);
  });

  test("its pages name data, split, seed, budget and date, and lead to the reports of the runs", async () => {
    const html = await readFile(join(cwd, "whole", "leaderboard.html"), "utf8");
    const text = await readFile(join(cwd, "whole", "leaderboard.md"), "utf8");
    for (const page of [html, text]) {
      expect(page).toContain("eight-gaussians");
      expect(page).toContain("40 steps");
      expect(page).toContain("seed 3".slice(page === html ? 5 : 0));
      expect(page).toContain(new Date().toISOString().slice(0, 7));
      expect(page).toContain("count 400");
      expect(page).toContain("eidos compare --config whole/compare.json");
    }
    expect(html).toContain('<a href="runs/nice/report.html">');
    // Data, true density and two models; data and two models.
    expect(html.match(/<img (class="paper" )?src="data:image\/png;base64,/g)?.length).toBe(7);
    expect(text.match(/!\[[a-z ]+\]\(pictures\//g)?.length).toBe(7);
    const { names, rows } = await readCsv(join(cwd, "whole", "leaderboard.csv"));
    expect(rows.map((cells) => cells[names.indexOf("status")])).toEqual([
      ...["finished", "finished", "failed", "control", "control"],
    ]);
  });

  test("called again does nothing again, and prints all as JSON", async () => {
    const state = join(cwd, "whole", "runs", "nice", "state.safetensors");
    const [before, kept] = [(await stat(state)).mtimeMs, await readResult(join(cwd, "whole"), "nice")];
    const { stdout, stderr } = await succeed(["compare", "--config", "whole/compare.json", "--json"], cwd);
    expect(stderr).toContain("nice: done by an earlier call\n");
    expect(stderr).toContain("flow: done by an earlier call\n");
    expect((await stat(state)).mtimeMs).toBe(before);
    expect(await readResult(join(cwd, "whole"), "nice")).toEqual(kept);
    expect(JSON.parse(stdout).rows).toEqual((await readBoard(join(cwd, "whole"))).rows);
    expect(JSON.stringify(JSON.parse(stdout).galleries)).toContain("pictures/nice-samples.png");
  });

  test("of another budget, seed, data or options is not mixed with it", async () => {
    const models = [{ ...OWN, model: "nice", couplings: 3 }];
    await writeFile(join(cwd, "other.json"), JSON.stringify({ ...CONFIG, models }));
    const changed = (file: string, ...flags: string[]) =>
      refused(["compare", "--config", file, "--out", "whole", "--quiet", ...flags], cwd);
    const messages = await Promise.all([
      changed("all.json", "--steps", "20"),
      changed("all.json", "--seed", "4"),
      changed("all.json", "--count", "1200"),
      changed("other.json"),
    ]);
    expect(messages[0]).toMatch(/holds nice with another steps, 40 where 20 is asked for.*--fresh/);
    expect(messages[1]).toMatch(/another seed, 3 where 4/);
    expect(messages[2]).toMatch(/another state of its data/);
    expect(messages[3]).toMatch(/another couplings, 2 where 3/);
  });
});

describe("what cannot be compared", () => {
  test("is refused before any work", async () => {
    const of = (...args: string[]) => refused(["compare", ...args, "--out", "nothing"], cwd);
    await writeFile(join(cwd, "bad.json"), JSON.stringify({ models: [{ name: "nice" }] }));
    const messages = await Promise.all([
      of("eight-gaussians", "--models", "nice,splin-flow"),
      of("eight-gausians", "--models", "nice"),
      of("eight-gaussians"),
      of("eight-gaussians", "--models", "nice", "--seconds", "soon"),
      of("eight-gaussians", "--config", "bad.json"),
    ]);
    expect(messages[0]).toMatch(/no model called splin-flow; did you mean spline-flow/);
    expect(messages[1]).toMatch(/did you mean "eight-gaussians"/);
    expect(messages[2]).toMatch(/compare wants models, as in: eidos compare two-moons --models/);
    expect(messages[3]).toMatch(/"soon" is not a number/);
    expect(messages[4]).toMatch(/option models: must be a list of names or objects/);
    expect(await readdir(cwd)).not.toContain("nothing");
  });

  test("does not touch a folder that is something else", async () => {
    await mkdir(join(cwd, "mine"));
    await writeFile(join(cwd, "mine", "notes.txt"), "mine");
    const args = ["compare", "eight-gaussians", "--models", "nice", "--out", "mine", "--fresh"];
    expect(await refused(args, cwd)).toMatch(/mine is not empty and holds no comparison/);
    expect(await readdir(join(cwd, "mine"))).toEqual(["notes.txt"]);
  });

  test("ends with code 1 where no model could be fitted, its reasons on the page", async () => {
    const outcome = await run(
      ["compare", "eight-gaussians", "--models", "made", "--count", "100", "--out", "none", "--quiet"],
      cwd,
    );
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe("");
    expect(await readFile(join(cwd, "none", "leaderboard.html"), "utf8")).toContain("not points data");
  });
});
