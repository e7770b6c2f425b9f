import { spawn } from "node:child_process";
import { platform } from "node:os";
import type { Command } from "commander";
import { z } from "zod";
import { parseOptions } from "../../options.ts";
import { startStudio, studioOptions } from "../../serve/index.node.ts";
import { printOutcome, showing } from "../flags.ts";
import { printNote } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { openUntilSignal } from "../signals.ts";

const flags = z.strictObject({
  ...studioOptions.shape,
  open: z.boolean().default(true).describe("open the page in the browser of this machine"),
  ...showing,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Studio", flags);
  command.addHelpText(
    "after",
    "\nThe page is for this machine alone: open the address that is printed. It needs no network: the playground computes in the browser, all else in this command.\n\nExamples:\n  eidos studio\n  eidos studio --port 0 --no-open",
  );
  command.action(async (given: Readonly<Record<string, unknown>>) => {
    const { open, json, quiet, ...options } = parseOptions("studio", flags, flagValues(given, [flags]));
    await openUntilSignal(
      () => startStudio(options),
      ({ address }) => {
        printOutcome(json, `open ${address}`, { address });
        if (!quiet) printNote("only this machine can reach it; Ctrl-C ends");
        if (open) openInBrowser(address);
      },
    );
  });
}

/** Hands an address to the browser of this machine; where that fails, the printed address is enough. */
function openInBrowser(address: string): void {
  const [program, ...given] =
    platform() === "darwin"
      ? ["open"]
      : platform() === "win32"
        ? ["rundll32", "url.dll,FileProtocolHandler"]
        : ["xdg-open"];
  const child = spawn(program ?? "", [...given, address], { stdio: "ignore", detached: true });
  child.on("error", () => printNote("no browser could be opened: open the address yourself"));
  child.unref();
}
