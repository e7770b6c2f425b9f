import { existsSync, readdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { DownloadProgress } from "../data/files/download.node.ts";
import type { DecodingProgress } from "../data/image/decode-all.node.ts";
import { counted } from "../memory.ts";
import { printable } from "../printable.ts";
import type { FitHooks } from "../tasks/fit/fit.node.ts";
import type { FitProgress, FitSummary } from "../train/fit-request.node.ts";
import { type RankJob, rankName } from "../train/ranks/job.node.ts";
import { print, printLine, printNote, showDuration, showNumber } from "./format.ts";

// What a command that takes long shows meanwhile, how Ctrl-C ends it, and what a fit prints at its end.

/** Seconds between lines where standard error is no terminal: few enough for the log of a long run. */
const FIRST_LINES = 10;
const LATER_LINES = 60;

/** Seconds after which lines come less often. */
const LATER = 120;

/** Stages whose beginning is shown in a log. */
const NEWS = ["compiling", "mining", "reporting", "sampling", "measuring"];

/** One line on how a fit stands. */
export function progressLine(progress: FitProgress): string {
  const { stage, step, stepLimit, epoch, loss, validationLoss, measures, samplesPerSecond } = progress;
  const { secondsLeft, share, part, mined } = progress;
  const named = part === undefined ? [] : [part];
  if (stage === "compiling") return "compiling the training step …";
  if (stage === "reporting") return reportLine(progress);
  if (stage === "mining") return [...named, progressBar("mining crops", mined ?? 0)].join("  ");
  return [
    ...named,
    `${String(Math.floor(share * 100)).padStart(3)} %`,
    `step ${step}${stepLimit === undefined ? "" : `/${stepLimit}`} (epoch ${epoch.toFixed(1)})`,
    `loss ${showNumber(loss)}`,
    ...(validationLoss === undefined ? [] : [`validation ${showNumber(validationLoss)}`]),
    ...Object.entries(measures ?? {}).map(([name, value]) => `${name} ${value.toFixed(3)}`),
    `${showNumber(Math.round(samplesPerSecond))} samples/s`,
    ...(secondsLeft === undefined ? [] : [`${showDuration(secondsLeft)} left`]),
    ...(stage === "training" ? [] : [stage]),
  ].join("  ");
}

/** One line on a run that has been trained. */
function reportLine({ doing, done, secondsLeft }: FitProgress): string {
  return [
    done === undefined ? (doing ?? "writing pictures, model and report …") : progressBar(doing ?? "", done),
    ...(secondsLeft === undefined ? [] : [`at most ${showDuration(secondsLeft)} left`]),
  ].join("  ");
}

/** One line on images that are decoded. */
export function decodingLine({ done, total }: DecodingProgress): string {
  const counts = `${done.toLocaleString("en")} of ${total.toLocaleString("en")}`;
  return `${progressBar("decoding images", done / total)}  ${counts}`;
}

/** One line on a file that is fetched. */
export function downloadLine({
  source,
  received,
  total,
  bytesPerSecond,
  secondsLeft,
}: DownloadProgress): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  return [
    `fetching ${source}`,
    `${megabytes(received)}${total === undefined ? "" : ` of ${megabytes(total)}`} MB`,
    ...(bytesPerSecond === undefined ? [] : [`${megabytes(bytesPerSecond)} MB/s`]),
    ...(secondsLeft === undefined ? [] : [`${showDuration(secondsLeft)} left`]),
  ].join("  ");
}

/** Characters of a bar. */
const BAR = 24;

/** What is being done and how much of it is, as a bar and in per cent. */
export function progressBar(what: string, share: number): string {
  const full = Math.floor(BAR * share);
  return `${what}  ${"█".repeat(full)}${"░".repeat(BAR - full)}  ${String(Math.floor(100 * share)).padStart(3)} %`;
}

/** One changing line on standard error, where that is a terminal; nothing elsewhere. */
export class ProgressLine {
  private readonly terminal = process.stderr.isTTY === true;
  /** Whether a line has no end yet. */
  private open = false;

  show(line: string): void {
    if (!this.terminal) return;
    process.stderr.write(`\r\x1b[2K${printable(line).slice(0, (process.stderr.columns ?? 120) - 1)}`);
    this.open = true;
  }

  /** Leaves the last line standing. */
  end(): void {
    if (this.open) process.stderr.write("\n");
    this.open = false;
  }

  /** Takes the last line away. */
  clear(): void {
    if (this.open) process.stderr.write("\r\x1b[2K");
    this.open = false;
  }
}

/** Shows progress on standard error: one changing line on a terminal, a line now and then elsewhere. */
export class ProgressDisplay {
  private shownAt = Number.NEGATIVE_INFINITY;
  /** A folder that is decoded at once needs no line. */
  private decodingShownAt = performance.now();
  private stage: string | undefined;
  private readonly terminal = process.stderr.isTTY === true;
  private readonly line = new ProgressLine();
  /** Stands before notes where several ranks print into one log. */
  private readonly who: string;
  private readonly isRank: boolean;

  constructor(job?: RankJob) {
    this.isRank = job !== undefined;
    this.who = job === undefined || job.rank === 0 ? "" : `${rankName(job)} on ${hostname()}: `;
  }

  show(progress: FitProgress): void {
    this.showLine(progressLine(progress), progress);
  }

  /**
   * A line of progress of any kind.
   * @param at what is going on, and seconds since it began: what decides whether the line is shown in a log
   */
  showLine(line: string, { stage, seconds }: { readonly stage: string; readonly seconds: number }): void {
    if (this.terminal) {
      this.line.show(line);
      this.stage = stage;
      return;
    }
    const every = seconds < LATER ? FIRST_LINES : LATER_LINES;
    const news = stage !== this.stage && NEWS.includes(stage);
    if (stage === "compiling") this.shownAt = Number.NEGATIVE_INFINITY;
    if (news || (stage === "training" && seconds - this.shownAt >= every)) {
      if (stage === "training") this.shownAt = seconds;
      printNote(line);
    }
    this.stage = stage;
  }

  /** A file that is fetched: shown on a terminal alone. */
  showDownload(progress: DownloadProgress): void {
    this.line.show(downloadLine(progress));
    this.stage = "fetching";
  }

  /** Images that are decoded: in a log, a line now and then. */
  showDecoding(progress: DecodingProgress): void {
    if (this.terminal) {
      this.line.show(decodingLine(progress));
      return;
    }
    const now = performance.now();
    if (now - this.decodingShownAt < 1000 * FIRST_LINES) return;
    this.decodingShownAt = now;
    printNote(decodingLine(progress));
  }

  /** What an interrupt does now, for a person. */
  get stopping(): string {
    if (this.stage === "fetching") return "stopping; what has come is kept";
    if (this.stage === "reporting") return "stopping; the weights are saved already";
    return this.isRank
      ? "stopping after this step and saving, or at once where another rank has died: the last checkpoint then counts"
      : "stopping after this step and saving";
  }

  /** A line beside the progress, on a line of its own. */
  say(line: string): void {
    this.end();
    printNote(`${this.who}${line}`);
  }

  /** Leaves the last line standing. */
  end(): void {
    this.line.end();
  }
}

/** Milliseconds between lines of a work display where standard error is no terminal. */
const LINES_EVERY = 10_000;

/** Least share of work from which its time is foreseen, and seconds of it that must have passed. */
const FORESEEN = { share: 0.02, seconds: 1 } as const;

/** Progress of work that knows the share that is done: a bar with the time left on a terminal, a line every ten seconds elsewhere. */
export class WorkDisplay {
  /** What an interrupt does now, for a person. */
  readonly stopping = "stopping; what is done is kept";
  private readonly line = new ProgressLine();
  private readonly terminal = process.stderr.isTTY === true;
  private readonly quiet: boolean;
  private what: string | undefined;
  private begun = 0;
  private shownAt = 0;

  constructor(quiet = false) {
    this.quiet = quiet;
  }

  /**
   * @param share that is done of it, 0 to 1; undefined where that is not known
   * @param detail such as how many are done
   */
  show(what: string, share?: number, detail?: string): void {
    if (this.quiet) return;
    const now = performance.now();
    if (what !== this.what) [this.what, this.begun, this.shownAt] = [what, now, now];
    const seconds = (now - this.begun) / 1000;
    const known = share !== undefined && share >= FORESEEN.share && seconds >= FORESEEN.seconds;
    const left = known ? [`${showDuration((seconds * (1 - share)) / share)} left`] : [];
    const named = share === undefined ? what : progressBar(what, share);
    const text = [named, ...(detail === undefined ? [] : [detail]), ...left].join("  ");
    if (this.terminal) {
      this.line.show(text);
      return;
    }
    if (now - this.shownAt < LINES_EVERY) return;
    this.shownAt = now;
    printNote(text);
  }

  say(line: string): void {
    this.line.clear();
    printNote(line);
  }

  /** Takes the progress away. */
  end(): void {
    this.line.clear();
  }
}

/** Shows a fit on a display. */
export function fitHooks(display: ProgressDisplay, signal: AbortSignal, quiet: boolean): FitHooks {
  return {
    signal,
    onWarning: (message) => display.say(`warning: ${message}`),
    ...(!quiet && {
      onProgress: (progress) => display.show(progress),
      onDownload: (progress) => display.showDownload(progress),
      onDecoding: (progress) => display.showDecoding(progress),
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
    `${why[reason]} after ${counted(step, "step")}, ${showDuration(seconds)}, ${showNumber(Math.round(samplesPerSecond))} samples/s`,
  );
  if (best !== undefined) {
    const measures = Object.entries(best.measures ?? {}).map(
      ([name, value]) => `, ${name} ${showNumber(value)}`,
    );
    printLine(`best validation loss ${showNumber(best.loss)}${measures.join("")} at step ${best.step}`);
  }
  printLine(`run folder: ${folder}`);
  if (summary.unreported) {
    printLine(
      `stopped before the report was written; all weights are saved. Write it with: eidos fit --resume ${folder}`,
    );
  } else if (reason === "stopped") printLine(`continue with: eidos fit --resume ${folder}`);
  else if (existsSync(join(folder, "report.html"))) {
    // Models that draw no samples, and runs without pictures, leave that folder empty.
    const pictures = `${folder}/samples`;
    const isEmpty = !existsSync(pictures) || readdirSync(pictures).length === 0;
    printLine(`  ${isEmpty ? "" : `pictures: ${pictures}    `}report: ${folder}/report.html`);
  }
}
