import type { FitHooks } from "../tasks/fit/fit.node.ts";
import type { FitSummary } from "../train/fit.node.ts";
import { print, showDuration, showNumber } from "./format.ts";
import type { ProgressDisplay } from "./progress.ts";

/** Shows a fit on a display. */
export function fitHooks(display: ProgressDisplay, signal: AbortSignal, quiet: boolean): FitHooks {
  return {
    signal,
    onWarning: (message) => display.say(`warning: ${message}`),
    ...(!quiet && {
      onProgress: (progress) => display.show(progress),
      onBegin: (beginning) => {
        for (const line of beginning.data) display.say(line);
        display.say(`${beginning.resumed ? "continuing" : "run folder:"} ${beginning.folder}`);
      },
    }),
  };
}

/** Prints what a fit came to. */
export function printSummary(summary: FitSummary): void {
  const { folder, step, seconds, samplesPerSecond, best, reason } = summary;
  const why = {
    limit: "finished",
    patience: "finished: validation no longer improves",
    stopped: "stopped and saved",
  };
  print(
    `${why[reason]} after ${step} steps, ${showDuration(seconds)}, ${showNumber(Math.round(samplesPerSecond))} samples/s`,
  );
  if (best !== undefined) {
    const measures = Object.entries(best.measures ?? {}).map(
      ([name, value]) => `, ${name} ${showNumber(value)}`,
    );
    print(`best validation loss ${showNumber(best.loss)}${measures.join("")} at step ${best.step}`);
  }
  print(`run folder: ${folder}`);
  if (reason === "stopped") print(`continue with: eidos fit --resume ${folder}`);
  else print(`  pictures: ${folder}/samples    report: ${folder}/report.html`);
}
