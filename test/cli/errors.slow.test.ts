import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { filesBelow, mounted, QUICK, refused, start, succeed } from "./support.ts";

// Fits that meet a limit of the machine: a process of its own under ulimit, a disk that is full, and the same runs gone on with.
// test/cli/errors.test.ts checks what is written of each in one step.

let cwd: string;
const FIT = ["fit", "nice", "two-moons", ...QUICK, "--quiet"];

beforeAll(async () => {
  cwd = await temporaryFolder();
});

describe("a disk that does not take files", () => {
  const mounts: string[] = [];
  afterAll(() => {
    for (const folder of mounts) execFileSync("umount", ["-l", folder], { stdio: "ignore" });
  });

  /** The checkpoint of a run that could not go on is whole, and nothing half-written is left. */
  async function expectWhole(folder: string): Promise<void> {
    const checkpoint = await new RunFolder(folder).readCheckpoint();
    if (checkpoint !== undefined) expect(checkpoint.vectors.size).toBeGreaterThan(2);
    expect((await filesBelow(folder)).filter((file) => file.includes(".tmp"))).toEqual([]);
  }

  test("files that may not grow: one clear line, nothing half-written", async () => {
    const args = [...FIT, "--width", "64", "--steps", "20", "--checkpoint-every", "5", "--out", "limited"];
    const { code, stderr } = await start(args, cwd, [], "ulimit -f 64;").outcome;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^eidos: cannot write limited\/[^\n]+: the file would be larger than is allowed here[^\n]+\n$/,
    );
    await expectWhole(join(cwd, "limited"));
    await succeed(["fit", "--resume", "limited", "--quiet"], cwd);
  });

  test("no space left: one clear line, the last checkpoint kept, and the run goes on where there is room", async (context) => {
    const disk = join(cwd, "disk");
    await mkdir(disk);
    if (!mounted(disk, "size=1200k")) return context.skip("this machine does not let us mount a file system");
    mounts.push(disk);
    const args = [...FIT, "--width", "64", "--steps", "20", "--checkpoint-every", "5", "--out", "disk/run"];
    expect(await refused(args, cwd)).toMatch(
      /cannot write disk\/run\/[^:]+: there is no space left on the disk/,
    );
    await expectWhole(join(disk, "run"));
    execFileSync("mount", ["-o", "remount,size=50m", disk]);
    await succeed(["fit", "--resume", "disk/run", "--quiet"], cwd);
    expect((await new RunFolder(join(disk, "run")).readCheckpoint())?.progress).toMatchObject({ step: 20 });
  });
});
