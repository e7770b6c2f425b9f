import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { bundleCommand } from "./bundle-command.ts";
import { packDigits } from "./pack-digits.ts";

// `npm run build`: packs the digits and compiles every file of src to one of dist, so that workers and assets are found by the same
// relative URL from either tree. The command is bundled into bundle, the page of the studio into dist/studio, that of an exported model
// into dist/handout. Types are checked by `npm run typecheck`.

const root = new URL("../", import.meta.url);
await packDigits();
for (const folder of ["bundle", "dist"]) {
  await rm(new URL(folder, root), { recursive: true, force: true });
}
const compiler = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
execFileSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], {
  cwd: fileURLToPath(root),
  stdio: "inherit",
});
await bundleCommand();
const bundler = fileURLToPath(new URL("bin/vite.js", import.meta.resolve("vite/package.json")));
const bundle = (...options: readonly string[]): void => {
  execFileSync(process.execPath, [bundler, "build", "--logLevel", "warn", ...options], {
    cwd: fileURLToPath(root),
    stdio: "inherit",
  });
};
bundle("--config", "studio/vite.config.ts");
// The worker first: it empties the folder.
for (const mode of ["worker", "page"]) bundle("--config", "studio/vite.handout.config.ts", "--mode", mode);
