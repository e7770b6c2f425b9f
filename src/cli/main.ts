#!/usr/bin/env node
import { existsSync } from "node:fs";

// A reader that has seen enough (`eidos score run | head`) is no error; a full disk behind standard output is.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`eidos: cannot write to standard output: ${error.message}\n`);
  process.exit(1);
});
process.stderr.on("error", () => undefined);

/**
 * The command in a few files, which load in a third less time than one file for each of `src` (scripts/bundle-command.ts). Not there: in
 * development, where the compiler alone has run.
 */
const bundle = new URL("../../bundle/cli/command.js", import.meta.url);

/**
 * Whether a module of one's own may be imported: the model of a fit, by its path or in a configuration, or that of a run. Such a module imports
 * eidos by its entrances, and the command must have the very classes that it finds there.
 */
const mayImport = (arg: string): boolean => /\.(?:js|mjs|ts)\b|^--(?:config|trust-module)\b/.test(arg);

const args = process.argv.slice(2);
const isBundled = import.meta.url.endsWith(".js") && existsSync(bundle) && !args.some(mayImport);
const { runCommand }: typeof import("./command.ts") = isBundled
  ? await import(bundle.href)
  : await import("./command.ts");
await runCommand(args);
