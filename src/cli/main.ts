#!/usr/bin/env node
import { statSync } from "node:fs";

// A reader that has seen enough (`eidos score run | head`) is no error; a full disk behind standard output is.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`eidos: cannot write to standard output: ${error.message}\n`);
  process.exit(1);
});
process.stderr.on("error", () => undefined);

/** The command, which loads from there in a third less time than from one file for each of `src` (scripts/bundle-command.ts). */
const bundle = new URL("../../bundle/cli/command.js", import.meta.url);

/** Where the compiler alone has run, in the repository, the bundle is missing or older than what it is made of. */
function isBundleNew(): boolean {
  const modified = (file: URL): number | undefined => statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  const bundled = modified(bundle);
  if (bundled === undefined) return false;
  const isRepository = modified(new URL("../../tsconfig.build.json", import.meta.url)) !== undefined;
  const compiled = modified(new URL("./command.js", import.meta.url));
  return !isRepository || (compiled !== undefined && bundled >= compiled);
}

/**
 * Whether a module of one's own may be imported: the model of a fit, by its path or in a configuration, or that of a run. Such a module imports
 * eidos by its entrances, and the command must have the very classes that it finds there.
 */
const namesModule = (arg: string): boolean => /\.(?:js|mjs|ts)\b|^--(?:config|trust-module)\b/.test(arg);

/** Whether an option of Node loads a module before the command, which may import eidos as well. */
const preloads = (option: string): boolean =>
  /^"?(?:-r|--(?:require|import|loader|experimental[-_]loader))\b/.test(option);

const args = process.argv.slice(2);
const node = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
const isBundled = !args.some(namesModule) && !node.some(preloads) && isBundleNew();
const { runCommand }: typeof import("./command.ts") = isBundled
  ? await import(bundle.href)
  : await import("./command.ts");
await runCommand(args);
