import { Command, CommanderError } from "commander";
import { EidosError, locationOutside } from "../errors.ts";
import { printable, printableLines } from "../printable.ts";
import { version } from "../version.ts";

// Commands are imported when they are called: `eidos --help` loads neither ONNX Runtime nor the models.
const COMMANDS = {
  fit: { arguments: "[model] [data]", summary: "fit a model to data, or continue a fit" },
  sample: { arguments: "<run>", summary: "draw samples from a fitted model" },
  score: { arguments: "<run> [data]", summary: "log-likelihood of every row or image" },
  encode: { arguments: "<run> [data]", summary: "write the codes of samples" },
  embed: { arguments: "<run> [data]", summary: "write the features that a model has of samples" },
  neighbours: { arguments: "<run> [images...]", summary: "find the most similar images of a folder" },
  probe: { arguments: "<run> [data]", summary: "measure what features are worth for classes" },
  decode: { arguments: "<run> <codes>", summary: "turn codes into samples" },
  interpolate: { arguments: "<run> [samples...]", summary: "draw the path from one sample to another" },
  inpaint: { arguments: "<run> [images...]", summary: "fill in unknown parts of images" },
  edit: { arguments: "<run> [samples...]", summary: "change samples by noising and denoising them" },
  impute: { arguments: "<run> <table>", summary: "fill in missing cells of a table" },
  detect: { arguments: "<run> <images...>", summary: "find objects in photos, and draw them" },
  merge: { arguments: "<folder>", summary: "join the parts that --shard has written" },
  translate: { arguments: "<run> [images...]", summary: "lead samples of one data set to another" },
  reflow: { arguments: "<run>", summary: "fit a straighter flow to what a run makes of noise" },
  distill: { arguments: "<run>", summary: "fit a one-step model to what a run makes of noise" },
  import: { arguments: "<file...>", summary: "make a run of a detector that others have trained" },
  eval: { arguments: "<run> [data]", summary: "measure a fitted model on held-out data" },
  compare: { arguments: "[data]", summary: "train several models alike and rank them on one page" },
  export: { arguments: "<run>", summary: "write a fitted model for use outside, as ONNX files" },
  serve: { arguments: "<runs...>", summary: "answer requests over HTTP with fitted models" },
  models: { arguments: "[model]", summary: "list the models by what one wants, or show one" },
  studio: { arguments: "", summary: "see models learn, in a page of this machine" },
  data: { arguments: "[data]", summary: "list the data sets, or look at one" },
  inspect: { arguments: "<data>", summary: "check images with boxes, count them and draw some" },
  convert: { arguments: "<data> <out>", summary: "write images with boxes in another format" },
  "mutual-information": {
    arguments: "[table]",
    summary: "how much columns of a table tell of other columns, in nats",
  },
  runs: { arguments: "[folder]", summary: "list the runs in a folder" },
  completion: {
    arguments: "<shell>",
    summary: "print the completion of commands and options for bash, zsh or fish",
  },
} as const;

type CommandName = keyof typeof COMMANDS;

/** What a command's module exports: it adds options and the action; `args` selects which model's options to show. */
export interface CommandModule {
  configure(command: Command, args: readonly string[]): Promise<void> | void;
}

const MODULES: Readonly<Record<CommandName, () => Promise<CommandModule>>> = {
  fit: () => import("./commands/fit.ts"),
  sample: () => import("./commands/sample.ts"),
  score: () => import("./commands/score.ts"),
  encode: () => import("./commands/encode.ts"),
  embed: () => import("./commands/embed.ts"),
  neighbours: () => import("./commands/neighbours.ts"),
  probe: () => import("./commands/probe.ts"),
  decode: () => import("./commands/decode.ts"),
  interpolate: () => import("./commands/interpolate.ts"),
  inpaint: () => import("./commands/inpaint.ts"),
  edit: () => import("./commands/edit.ts"),
  impute: () => import("./commands/impute.ts"),
  detect: () => import("./commands/detect.ts"),
  merge: () => import("./commands/merge.ts"),
  translate: () => import("./commands/translate.ts"),
  reflow: async () => (await import("./commands/pairs.ts")).reflow,
  distill: async () => (await import("./commands/pairs.ts")).distill,
  import: () => import("./commands/import.ts"),
  eval: () => import("./commands/eval.ts"),
  compare: () => import("./commands/compare.ts"),
  export: () => import("./commands/export.ts"),
  serve: () => import("./commands/serve.ts"),
  studio: () => import("./commands/studio.ts"),
  models: () => import("./commands/models.ts"),
  data: () => import("./commands/data.ts"),
  inspect: () => import("./commands/inspect.ts"),
  convert: () => import("./commands/convert.ts"),
  "mutual-information": () => import("./commands/mutual-information.ts"),
  runs: () => import("./commands/runs.ts"),
  completion: () => import("./commands/completion.ts"),
};

/** What other programs call commands and options that have another name here. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  train: "fit",
  learn: "fit",
  resume: "fit --resume",
  predict: "detect (finds objects), score (rates rows and images) or sample",
  infer: "detect (finds objects), score (rates rows and images) or sample",
  generate: "sample",
  draw: "sample",
  test: "eval",
  evaluate: "eval",
  validate: "eval",
  anomaly: "score --anomaly",
  fill: "impute (tables) or inpaint (images)",
  list: "runs, models or data",
  ls: "runs",
  "--lr": "--learning-rate",
  "--batch": "--batch-size",
  "--bs": "--batch-size",
  "--iterations": "--steps",
  "--iters": "--steps",
  "--max-steps": "--steps",
  "--epoch": "--epochs",
  "--time": "--seconds",
  "--device": "--provider",
  "--gpu": "--provider",
  "--workers": "--threads",
  "--output": "--out",
  "--output-dir": "--out",
  "--save-dir": "--out",
  "--num-samples": "--count",
  "--imgsz": "--size",
  "--image-size": "--size",
  "--conf": "--confidence",
  "--pretrained": "--weights",
  "--checkpoint": "--weights",
  "--ema": "--average-decay",
};

/** Commander's complaint as one line, as all other errors are. */
function oneLine(complaint: string, command: string | undefined): string {
  const unknown = /unknown (?:command|option) '([^'=]*)/.exec(complaint)?.[1] ?? "";
  const known = Object.hasOwn(OTHER_NAMES, unknown) ? OTHER_NAMES[unknown] : undefined;
  const said = complaint.trim().replace(/^error: /, "");
  const text =
    known === undefined
      ? said.replace(/\n\(Did you mean (one of )?(.*)\?\)/s, "; did you mean $2?")
      : `${said.split("\n")[0]}; it is called ${known} here`;
  const help = command === undefined ? "eidos --help lists the commands" : `see eidos ${command} --help`;
  return `eidos: ${printable(text)} (${help})\n`;
}

async function parse(args: readonly string[]): Promise<void> {
  const wanted = args.find((arg) => !arg.startsWith("-"));
  const known = wanted !== undefined && Object.hasOwn(COMMANDS, wanted) ? wanted : undefined;
  const program = new Command("eidos")
    .description(
      "Learn distributions and find objects: generative models and detectors, trained on your own data.",
    )
    .version(version)
    .configureOutput({
      writeOut: (text) => process.stdout.write(printableLines(text)),
      outputError: (text, write) => write(oneLine(text, known)),
    })
    .exitOverride();
  for (const [name, { arguments: positional, summary }] of Object.entries(COMMANDS)) {
    const command = program.command(`${name} ${positional}`.trim()).description(summary).exitOverride();
    // Completions are of the options of all commands.
    if (name === wanted || wanted === "completion" || (wanted === "help" && args.includes(name))) {
      const { configure } = await MODULES[name as CommandName]();
      await configure(command, args.slice(args.indexOf(name) + 1));
    }
  }
  if (known !== undefined) {
    const { onMissingCharacters } = await import("../report/text/missing.ts");
    onMissingCharacters((line) => process.stderr.write(`${printable(line)}\n`));
  }
  await program.parseAsync([...args], { from: "user" });
}

/** The most characters of a message: it may quote a stranger's file. */
const LONGEST = 4000;

/** Prints what is wrong on standard error; the exit code will be 1. */
function fail(error: unknown): void {
  // What a signal has ended has the code of that signal.
  if (!(Number(process.exitCode) > 128)) process.exitCode = 1;
  if (error instanceof Error && error.name === "AbortError" && Number(process.exitCode) > 128) {
    process.stderr.write("eidos: stopped; nothing was written\n");
  } else if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exitCode = 0;
  } else if (error instanceof EidosError) {
    const { message } = error;
    const shown = message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message;
    process.stderr.write(`eidos: ${printable(shown.replaceAll(/\s*\n\s*/g, " "))}\n`);
  } else {
    const text = error instanceof Error ? error.stack : error;
    const own = error instanceof Error ? locationOutside(error.stack ?? "") : undefined;
    if (own !== undefined && error instanceof Error) {
      process.stderr.write(
        `eidos: ${printable(`your own code has failed (${own}): ${error.message}`)}\n${printableLines(String(text))}\n`,
      );
      return;
    }
    process.stderr.write(`eidos: unexpected error; please report it\n${printableLines(String(text))}\n`);
  }
}

/**
 * Runs the command with these arguments, as `eidos ARGUMENTS` does. What is wrong is printed on standard error, and the exit code is
 * left in `process.exitCode`.
 */
export async function runCommand(args: readonly string[]): Promise<void> {
  try {
    await parse(args);
  } catch (error) {
    fail(error);
    if (args.find((arg) => !arg.startsWith("-")) !== "fit") return;
    const { rankJob } = await import("../train/ranks/job.node.ts");
    const job = rankJob();
    if (job !== undefined) {
      const { abortJob } = await import("../train/ranks/ranks.node.ts");
      await abortJob(job);
    }
  }
}
