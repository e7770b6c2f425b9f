import type { Command } from "commander";
import { configurePairCommand } from "../pair-command.ts";

export function configure(command: Command): Promise<void> {
  return configurePairCommand(command, "reflow");
}
