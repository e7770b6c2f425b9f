#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { EidosError } from "../errors.ts";
import { version } from "../version.ts";

// Commands are imported when they are called: `eidos --help` loads neither ONNX Runtime nor the models.
const COMMANDS = {
  fit: { arguments: "[model] [data]", summary: "fit a model to data, or continue a fit" },
  sample: { arguments: "<run>", summary: "draw samples from a fitted model" },
  score: { arguments: "<run> [data]", summary: "log-likelihood of every row or image" },
  eval: { arguments: "<run>", summary: "measure a fitted model on held-out data" },
  export: { arguments: "<run>", summary: "write a fitted model as one ONNX file" },
  models: { arguments: "", summary: "list the models and what each can do" },
  data: { arguments: "[data]", summary: "list the data sets, or look at one" },
  runs: { arguments: "[folder]", summary: "list the runs in a folder" },
} as const;

type CommandName = keyof typeof COMMANDS;

/** What a command's module exports: it adds options and the action; `args` tells which model's options to show. */
export interface CommandModule {
  configure(command: Command, args: readonly string[]): Promise<void> | void;
}

const MODULES: Readonly<Record<CommandName, () => Promise<CommandModule>>> = {
  fit: () => import("./commands/fit.ts"),
  sample: () => import("./commands/sample.ts"),
  score: () => import("./commands/score.ts"),
  eval: () => import("./commands/eval.ts"),
  export: () => import("./commands/export.ts"),
  models: () => import("./commands/models.ts"),
  data: () => import("./commands/data.ts"),
  runs: () => import("./commands/runs.ts"),
};

async function main(args: readonly string[]): Promise<void> {
  const program = new Command("eidos")
    .description(
      "Learn distributions and find objects: generative models and detectors, trained on your own data.",
    )
    .version(version)
    .showHelpAfterError("(eidos --help lists the commands, eidos COMMAND --help its options)")
    .exitOverride();
  const wanted = args.find((arg) => !arg.startsWith("-"));
  for (const [name, { arguments: positional, summary }] of Object.entries(COMMANDS)) {
    const command = program.command(`${name} ${positional}`.trim()).description(summary).exitOverride();
    if (name === wanted || (wanted === "help" && args.includes(name))) {
      const { configure } = await MODULES[name as CommandName]();
      await configure(command, args.slice(args.indexOf(name) + 1));
    }
  }
  await program.parseAsync([...args], { from: "user" });
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 1;
  } else if (error instanceof EidosError) {
    process.stderr.write(`eidos: ${error.message}\n`);
    process.exitCode = 1;
  } else {
    process.stderr.write(
      `eidos: unexpected error; please report it\n${error instanceof Error ? error.stack : error}\n`,
    );
    process.exitCode = 1;
  }
}
