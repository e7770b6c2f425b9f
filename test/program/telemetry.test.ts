import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const repository = new URL("../..", import.meta.url).pathname;

/** A process that loads ONNX Runtime: the log that its telemetry opens is named after the process. */
async function telemetryLog(script: string): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "eidos-"));
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
  try {
    const { stdout } = await run(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
      cwd: repository,
      env: { ...env, TMPDIR: folder },
    });
    return existsSync(join(folder, `mat-debug-${stdout.trim()}.log`));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("ONNX Runtime's telemetry is off in a process that uses eidos", async () => {
  const uses = `const { evaluate } = await import("./src/program/node.ts");
    const { constant } = await import("./src/tensor/index.ts");
    await evaluate([constant(1).add(1)]);
    console.log(process.pid);`;
  expect(await telemetryLog(uses)).toBe(false);
});
