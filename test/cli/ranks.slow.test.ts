import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { squares } from "../tasks/measure/detection-support.ts";
import {
  exists,
  expectCloseRuns,
  expectSameRuns,
  launchers,
  pause,
  ranksSucceed,
  startRanks,
} from "./mpi.ts";
import { built, QUICK, succeed } from "./support.ts";

const STEPS = 50;
const FIT = [
  ...["fit", "rectified-flow", "two-moons", ...QUICK, "--depth", "2", "--steps", String(STEPS)],
  ...["--log-every", "1", "--validate-every", "25", "--checkpoint-every", "5", "--quiet"],
];

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
});

const expectClose = (one: string, other: string): Promise<void> =>
  expectCloseRuns(join(cwd, one), join(cwd, other), STEPS);

const expectSame = (one: string, other: string): Promise<void> =>
  expectSameRuns(join(cwd, one), join(cwd, other));

describe.each(launchers)("ranks of $name", (launcher) => {
  const at = (name: string): string => `${launcher.command}-${name}`;

  beforeAll(async () => {
    await succeed([...FIT, "--out", at("one")], cwd);
    await ranksSucceed(launcher, 2, [...FIT, "--out", at("two")], cwd);
  });

  test("two ranks give the numbers of one process, which rank 0 alone prints", async () => {
    const { stdout } = await ranksSucceed(launcher, 2, [...FIT, "--out", at("again")], cwd);
    await expectClose(at("one"), at("two"));
    await expectSame(at("again"), at("two"));
    expect(stdout.match(/finished after 50 steps/g)).toHaveLength(1);
  });

  test("three ranks of uneven shares, and two of two replicas each, give the same numbers", async () => {
    await ranksSucceed(launcher, 3, [...FIT, "--out", at("three")], cwd);
    await expectClose(at("one"), at("three"));
    await ranksSucceed(launcher, 2, [...FIT, "--replicas", "2", "--out", at("replicas")], cwd);
    await expectClose(at("one"), at("replicas"));
  });

  test("a rank that is killed ends the job; the checkpoint is whole, and the same ranks go on bit for bit", async () => {
    const folder = at("killed");
    const running = startRanks(launcher, 2, [...FIT, "--out", folder], cwd);
    while (!(await exists(join(cwd, folder, "state.safetensors")))) await pause();
    const killed = running.kill(1, "SIGKILL");
    const outcome = await running.outcome;
    const held = await new RunFolder(join(cwd, folder)).readCheckpoint();
    // On a fast machine it may have come to its end first.
    if (killed && held?.progress.finished === false) {
      expect(outcome.code).not.toBe(0);
      expect(held?.progress.step).toBeGreaterThan(0);
      await ranksSucceed(launcher, 2, ["fit", "--resume", folder, "--quiet"], cwd);
    }
    await expectSame(folder, at("two"));
  });

  test("a job goes on with another number of ranks: two, then one, then two", async () => {
    const folder = at("elastic");
    // The schedule is that of all steps: each part is ended by a signal, as by a scheduler before time runs out.
    const interrupted = async (ranks: number, args: readonly string[], until: number): Promise<number> => {
      const running = startRanks(launcher, ranks, args, cwd);
      let step = 0;
      let ended = false;
      running.outcome.finally(() => {
        ended = true;
      });
      while (step < until && !ended) {
        await pause();
        const held = await new RunFolder(join(cwd, folder)).readCheckpoint().catch(() => undefined);
        step = held?.progress.step ?? 0;
      }
      // Of several ranks, any may be asked.
      running.kill(ranks - 1, "SIGUSR2");
      await running.outcome;
      const held = await new RunFolder(join(cwd, folder)).readCheckpoint();
      return held?.progress.step ?? 0;
    };
    const first = await interrupted(2, [...FIT, "--out", folder], 5);
    const second = await interrupted(1, ["fit", "--resume", folder, "--quiet"], first + 5);
    expect(first).toBeGreaterThan(0);
    expect(second).toBeGreaterThanOrEqual(first);
    if (second < STEPS) await ranksSucceed(launcher, 2, ["fit", "--resume", folder, "--quiet"], cwd);
    await expectClose(at("one"), folder);
  });

  test("photos are decoded by the rank whose share they are in", async () => {
    const photos = await squares(40);
    // Which files each rank opens: all of them for their sizes, and then those that it decodes.
    await writeFile(
      join(cwd, "watch.mjs"),
      `
        import { appendFileSync } from "node:fs";
        import promises from "node:fs/promises";
        import { syncBuiltinESMExports } from "node:module";
        const { open } = promises;
        const rank = process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;
        promises.open = (path, ...rest) => {
          const name = /[^/]+\\.png$/.exec(String(path))?.[0];
          if (name !== undefined) appendFileSync(${JSON.stringify(join(cwd, "opened-"))} + rank, name + "\\n");
          return open(path, ...rest);
        };
        syncBuiltinESMExports();
      `,
    );
    // An epoch of 20 photos to train on; ten are for validation.
    const small = ["--size", "64", "--width", "0.25", "--batch-size", "4", "--steps", "5", "--threads", "1"];
    const plain = ["--mosaic", "0", "--sample-pictures", "0", "--report", "none", "--quiet"];
    const args = ["fit", "center-net", photos, ...small, ...plain, "--out", at("photos")];
    const watched = { NODE_OPTIONS: `--import ${join(cwd, "watch.mjs")}` };
    const outcome = await startRanks(launcher, 2, args, cwd, watched).outcome;
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
    const decoded = await Promise.all(
      [0, 1].map(async (rank) => {
        const names = (await readFile(join(cwd, `opened-${rank}`), "utf8")).trim().split("\n");
        expect(new Set(names).size).toBe(40);
        return [...new Set(names)].filter((name) => names.indexOf(name) !== names.lastIndexOf(name));
      }),
    );
    const isTraining = (name: string): boolean => Number(/\d+/.exec(name)?.[0]) % 4 < 2;
    // Each has half of the epoch, and may have begun with its two of the batch that would be next. Rank 0 alone validates.
    const trained = decoded.map((names) => names.filter(isTraining));
    for (const names of trained) expect(names.length).toBeLessThanOrEqual(12);
    expect(new Set(trained.flat()).size).toBe(20);
    expect(decoded[1]).toEqual(trained[1]);
    await rm(photos, { recursive: true });
  });

  const second = (where: string): Promise<void> =>
    writeFile(
      join(cwd, "second.mjs"),
      `
        import { isMainThread } from "node:worker_threads";
        import { models } from ${JSON.stringify(built("catalog.js"))};
        const nice = models.get("nice");
        const rank = process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;
        if (rank === "1" && isMainThread === WHERE) throw new Error("a bolt from the blue");
        export default { ...nice, name: "second" };
      `.replace("WHERE", where),
    );

  test("a rank that fails before it meets the others ends the job", async () => {
    await second("true");
    const args = ["fit", "./second.mjs", "two-moons", ...QUICK, "--steps", "20", "--quiet"];
    const outcome = await startRanks(launcher, 2, [...args, "--out", at("early")], cwd).outcome;
    expect(outcome.code).not.toBe(0);
    expect(outcome.stderr).toContain("a bolt from the blue");
  });

  test("what fails on one rank is printed by all, each in one line", async () => {
    await second("false");
    const args = ["fit", "./second.mjs", "two-moons", ...QUICK, "--steps", "20", "--quiet"];
    const outcome = await startRanks(launcher, 2, [...args, "--out", at("failed")], cwd).outcome;
    expect(outcome.code).not.toBe(0);
    const lines = outcome.stderr.split("\n").filter((line) => line.startsWith("eidos: "));
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toContain("a bolt from the blue");
    expect(lines.filter((line) => /rank 1 of 2 on /.test(line))).toHaveLength(1);
  });

  test("a model whose parts take turns, and a library that is not there, are refused", async () => {
    const gan = ["fit", "gan", "two-moons", "--count", "2000", "--steps", "5", "--quiet", "--out", at("gan")];
    const outcome = await startRanks(launcher, 2, gan, cwd).outcome;
    expect(outcome.code).not.toBe(0);
    expect(outcome.stderr).toMatch(/eidos: 2 ranks: the parts of this model take turns on whole batches/);
    expect(await exists(join(cwd, at("gan")))).toBe(false);
    const args = [...FIT, "--out", at("missing")];
    const missing = await startRanks(launcher, 2, args, cwd, { EIDOS_MPI: "./no-such-library.so" }).outcome;
    expect(missing.code).not.toBe(0);
    expect(missing.stderr).toMatch(/eidos: no MPI library was found \(.\/no-such-library.so: .*EIDOS_MPI/);
  });
});

test.skipIf(launchers.length > 0)("ranks are skipped, since there is no MPI here", () => {
  expect(launchers).toEqual([]);
});
