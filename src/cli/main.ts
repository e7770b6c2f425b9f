#!/usr/bin/env node
import { runCommand } from "./command.ts";

// A reader that has seen enough (`eidos score run | head`) is no error; a full disk behind standard output is.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`eidos: cannot write to standard output: ${error.message}\n`);
  process.exit(1);
});
process.stderr.on("error", () => undefined);

await runCommand(process.argv.slice(2));
