import { readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { execute, installedPackage, root } from "./packed.ts";
import { temporaryFolder } from "./support.ts";

// The package as others get it: packed, and installed into an empty project where install scripts do not run.

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

let project = "";
let manifest: Manifest;
beforeAll(async () => {
  // Optional packages are peers and are not installed: sharp, DuckDB, onnxruntime-web.
  project = await installedPackage();
  manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
});
afterAll(() => rm(project, { recursive: true, force: true }));

const installed = (path: string): string => join(project, "node_modules", "eidos", path);

describe("the packed package", () => {
  it("holds its documentation, its sources for stack traces and what each entrance names, and installs no optional package", async () => {
    for (const path of ["docs/README.md", "src/index.ts", "README.md", "CHANGELOG.md", "LICENSE"]) {
      expect((await stat(installed(path))).isFile(), path).toBe(true);
    }
    for (const entrance of Object.values(manifest.exports)) {
      for (const path of typeof entrance === "string" ? [entrance] : [entrance.types, entrance.default]) {
        expect((await stat(installed(path))).isFile(), path).toBe(true);
      }
    }
    for (const peer of Object.keys(manifest.peerDependencies)) {
      await expect(stat(join(project, "node_modules", peer)), peer).rejects.toThrow();
    }
  });

  it("has declarations that pass without skipLibCheck, and without the optional packages", async () => {
    const entrances = Object.entries(manifest.exports).filter(([, entrance]) => typeof entrance !== "string");
    const lines = entrances.map(([name], i) => `export * as e${i} from "eidos${name.slice(1)}";`);
    await writeFile(join(project, "all.ts"), `${lines.join("\n")}\n`);
    await writeFile(
      join(project, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          target: "ES2023",
          module: "NodeNext",
          strict: true,
          noEmit: true,
          skipLibCheck: false,
          // Without the types of Node and of explicit resource management.
          types: [],
        },
        files: ["all.ts"],
      }),
    );
    const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
    const { stdout } = await execute(process.execPath, [compiler, "-p", "."], { cwd: project }).catch(
      (error: { readonly stdout: string }) => error,
    );
    expect(stdout).toBe("");
  });

  it("runs: the command, and a fit from code", async () => {
    const { stdout } = await execute("npx", ["eidos", "models"], { cwd: project });
    expect(stdout).toMatch(/rectified-flow/);
    await writeFile(
      join(project, "run.mjs"),
      `import { fit, openRun, points } from "eidos";
const data = points(Float32Array.from({ length: 200 }, (_, i) => Math.sin(i)), [100, 2]);
const { folder } = await fit({ model: "nice", data, steps: 3, width: 8, couplings: 2, batchSize: 8, samplePictures: 0, out: "run" });
const run = await openRun(folder);
console.log((await run.sample({ count: 5 })).shape.join());
await run.release();
`,
    );
    expect((await execute(process.execPath, ["run.mjs"], { cwd: project })).stdout.trim()).toBe("5,2");
  });

  it("runs with ONNX Runtime's libraries of this platform alone, as the guide removes the others", async () => {
    if (process.platform === "win32") return;
    const guide = await readFile(join(root, "docs", "guide", "getting-started.md"), "utf8");
    const [command] = /^find node_modules\/onnxruntime-node.*$/m.exec(guide) ?? [];
    if (command === undefined) throw new Error("the guide has no such command");
    await execute("sh", ["-c", command], { cwd: project });
    const libraries = join(project, "node_modules", "onnxruntime-node", "bin");
    const left = (await readdir(libraries, { recursive: true })).filter((path) => path.endsWith(".node"));
    expect(left).toHaveLength(1);
    expect(left[0]).toContain(join(process.platform, process.arch));
    await rm(join(project, "run"), { recursive: true, force: true });
    expect((await execute(process.execPath, ["run.mjs"], { cwd: project })).stdout.trim()).toBe("5,2");
  });

  it("names the caller of a shape error, also where source maps name the sources of eidos", async () => {
    const compiled = pathToFileURL(join(root, "dist", "tensor", "index.js")).href;
    await writeFile(
      join(project, "shapes.mjs"),
      `import { input } from ${JSON.stringify(compiled)};
try {
  input("x", [3]).add(input("y", [2]));
} catch (error) {
  console.log(error.message);
}
`,
    );
    for (const options of [[], ["--enable-source-maps"]]) {
      const { stdout } = await execute(process.execPath, [...options, "shapes.mjs"], { cwd: project });
      expect(stdout.trim()).toMatch(/\(called at .*\/shapes\.mjs:3\)$/);
    }
  });
});

it("npm run pack makes a whole package of a fresh clone, which has no build", async () => {
  if ((await stat(join(root, ".git")).catch(() => undefined)) === undefined) return;
  const clone = await temporaryFolder();
  try {
    await execute("git", ["clone", "--quiet", "--no-hardlinks", root, clone]);
    await symlink(join(root, "node_modules"), join(clone, "node_modules"));
    const { stdout } = await execute("npm", ["run", "--silent", "pack", "--", "--json"], {
      cwd: clone,
      maxBuffer: 1 << 26,
    });
    const [{ files }] = JSON.parse(stdout.slice(stdout.indexOf("[\n")));
    const paths = new Set(files.map(({ path }: { readonly path: string }) => path));
    for (const path of [
      "dist/index.js",
      "dist/index.d.ts",
      "dist/cli/main.js",
      "bundle/cli/command.js",
      "bundle/licenses.txt",
      "bundle/tasks/fit/worker.node.js",
      "assets/digits.bin.gz",
      "SECURITY.md",
    ]) {
      expect(paths, path).toContain(path);
    }
    for (const path of ["docs/README.md", "src/index.ts", "README.md", "LICENSE", "CHANGELOG.md"]) {
      expect(paths, path).toContain(path);
    }
  } finally {
    await rm(clone, { recursive: true, force: true });
  }
});
