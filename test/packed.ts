import { execFile } from "node:child_process";
import { mkdtemp, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The root of the repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

export const execute = promisify(execFile);

/** Runs npm where install scripts do not run. */
const npm = (args: readonly string[], cwd: string) =>
  execute("npm", [...args, "--no-audit", "--no-fund", "--ignore-scripts"], { cwd, maxBuffer: 1 << 26 });

/**
 * A fresh project into which the packed package is installed.
 * @param peers optional packages to lend to it from this repository
 * @returns its folder, which the caller removes
 */
export async function installedPackage(peers: readonly string[] = []): Promise<string> {
  const project = await mkdtemp(join(tmpdir(), "eidos-package-"));
  const { stdout } = await npm(["pack", "--json", "--pack-destination", project], root);
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf("[")));
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "empty", type: "module", private: true }),
  );
  await npm(["install", "--legacy-peer-deps", join(project, filename)], project);
  for (const peer of peers) {
    const [scope, name] = peer.split("/");
    if (name !== undefined && scope !== undefined) {
      await symlink(join(root, "node_modules", scope), join(project, "node_modules", scope));
    } else await symlink(join(root, "node_modules", peer), join(project, "node_modules", peer));
  }
  return project;
}
