import { execFileSync } from "node:child_process";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../support.ts";
import { succeed } from "./support.ts";

// Completions in the shells that they are for, where those are installed.

const drive = fileURLToPath(new URL("../fixtures/shells/offered.zsh", import.meta.url));
let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
  for (const shell of ["bash", "zsh", "fish"]) {
    await writeFile(join(root, shell), (await succeed(["completion", shell], root)).stdout);
  }
});
afterAll(() => rm(root, { recursive: true }));

/** Whether a shell is installed; where it is not, a line says that its tests are skipped. */
function isInstalled(shell: string): boolean {
  try {
    execFileSync(shell, ["-c", "exit 0"], { stdio: "ignore" });
    return true;
  } catch {
    console.log(`${shell} is not installed: tests of its completion are skipped`);
    return false;
  }
}

const run = (command: string, ...args: readonly string[]): string[] =>
  execFileSync(command, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, TERM: "dumb", HOME: root },
  })
    .split("\n")
    .filter((line) => line !== "");

/** What each shell offers for a line that is being typed. */
const offered: Readonly<Record<string, (line: string) => Promise<string[]>>> = {
  bash: async (line) => {
    const script = `source ${root}/bash; COMP_WORDS=(${line}${line.endsWith(" ") ? " ''" : ""}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _eidos; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return run("bash", "--norc", "-c", script);
  },
  zsh: async (line) => {
    const folder = join(root, "zsh-functions");
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    await copyFile(join(root, "zsh"), join(folder, "_eidos"));
    return run("zsh", "-f", drive, folder, line);
  },
  fish: async (line) => {
    const script = `source ${root}/fish; complete -C '${line}'`;
    return run("fish", "--no-config", "-c", script).map((each) => each.split("\t")[0] ?? "");
  },
};

describe.each(["bash", "zsh", "fish"])("%s", (shell) => {
  test.skipIf(!isInstalled(shell))("offers commands, models, options and nothing else", async () => {
    const of = offered[shell];
    if (of === undefined) throw new RangeError(shell);
    expect(await of("eidos fi")).toEqual(["fit"]);
    expect(await of("eidos mut")).toEqual(["mutual-information"]);
    expect(await of("eidos --ver")).toEqual(["--version"]);
    expect(await of("eidos fit ddp")).toEqual(["ddpm"]);
    expect(await of("eidos fit ddpm --learning-r")).toEqual(["--learning-rate"]);
    // A word that is a command, too, stands for data here: options are those of the first word.
    expect(await of("eidos score data --conditi")).toEqual(["--conditional"]);
    expect(await of("eidos score data --binari")).toEqual([]);
    const shells = await of("eidos completion ");
    expect(shells).toEqual(expect.arrayContaining(["bash", "zsh", "fish"]));
  });
});
