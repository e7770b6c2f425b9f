import { type ChildProcess, fork } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ServiceError } from "../../errors.ts";
import type { RunFolder } from "../../train/run-folder.node.ts";
import type { CheckedFit, StudioFit } from "./answers.node.ts";
import type { FromFit, ToFit } from "./fit-process.node.ts";
import { checkAsked } from "./form.node.ts";

// Fits that the page has begun: one after the other, each in a process of its own.

/** Fits that wait at most, and those of which the end is remembered. */
const MOST = 100;

const MOST_WARNINGS = 20;

interface HeldFit {
  readonly name: string;
  readonly task: Exclude<ToFit, { kind: "stop" }>;
  state: StudioFit["state"];
  progress?: StudioFit["progress"];
  warnings: readonly string[];
  error?: string;
  process?: ChildProcess;
}

const tell = (child: ChildProcess | undefined, message: ToFit): void => {
  if (child?.connected) child.send(message, () => undefined);
};

/** The queue of fits of a studio. */
export class StudioFits {
  private readonly runs: string;
  private readonly data: string;
  private fits: readonly HeldFit[] = [];
  private isClosed = false;

  /** @param runs folder of the runs  @param data folder that data is taken from */
  constructor(runs: string, data: string) {
    this.runs = runs;
    this.data = data;
  }

  /** All fits of this studio: those that run or wait, and those that have ended. */
  list(): readonly StudioFit[] {
    return this.fits.map(({ name, state, progress, warnings, error }) => ({
      name,
      state,
      warnings,
      ...(progress !== undefined && { progress }),
      ...(error !== undefined && { error }),
    }));
  }

  /** Puts a fit at the end of the queue. @returns the name of its run @throws ServiceError where it is not one that the page can begin */
  async begin(asked: CheckedFit): Promise<string> {
    const data = await checkAsked(asked, this.data);
    const name = await this.freeName(
      asked.name ?? `${asked.model}-${/([^/\\]+)[/\\]*$/.exec(data)?.[1] ?? "data"}`,
      asked.name !== undefined,
    );
    const request = { ...asked.options, model: asked.model, data, out: join(this.runs, name) };
    this.add({ name, task: { kind: "begin", request } });
    return name;
  }

  /** Puts a run at the end of the queue that was stopped. @throws ServiceError where it runs or waits already, or is being fitted elsewhere */
  async resume(folder: RunFolder, name: string): Promise<void> {
    if ((await folder.fitter()) !== undefined || this.isWaiting(name)) {
      throw new ServiceError(`the run ${name} is being fitted, or waits for it`, { status: 409 });
    }
    this.add({ name, task: { kind: "resume", folder: folder.path } });
  }

  /** Stops a fit of this studio after the step under way, or takes it out of the queue. @throws ServiceError where there is none */
  stop(name: string): void {
    const fit = this.fits.find(
      (held) => held.name === name && (held.state === "running" || held.state === "waiting"),
    );
    if (fit === undefined) {
      throw new ServiceError(`no fit of ${name} was begun in this studio; stop it where it was begun`, {
        status: 409,
      });
    }
    if (fit.state === "waiting") {
      this.fits = this.fits.filter((held) => held !== fit);
      return;
    }
    tell(fit.process, { kind: "stop" });
  }

  /** Stops the fit that runs, with its checkpoint written, and begins no other. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.fits = this.fits.filter(({ state }) => state !== "waiting");
    const running = this.fits.filter(({ state }) => state === "running");
    await Promise.all(
      running.map(
        ({ process: child }) =>
          new Promise<void>((resolve) => {
            if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resolve();
            child.once("exit", () => resolve());
            tell(child, { kind: "stop" });
          }),
      ),
    );
  }

  private isWaiting(name: string): boolean {
    return this.fits.some(
      (held) => held.name === name && (held.state === "waiting" || held.state === "running"),
    );
  }

  /** A name that no run and no fit in the queue has. @throws ServiceError where it was asked for and is taken */
  private async freeName(wanted: string, isAsked: boolean): Promise<string> {
    const isTaken = async (name: string): Promise<boolean> =>
      this.isWaiting(name) || (await stat(join(this.runs, name)).catch(() => undefined)) !== undefined;
    if (!(await isTaken(wanted))) return wanted;
    if (isAsked)
      throw new ServiceError(`there is a run ${wanted} already; choose another name`, { status: 409 });
    for (let number = 2; ; number++) {
      if (!(await isTaken(`${wanted}-${number}`))) return `${wanted}-${number}`;
    }
  }

  private add(fit: Pick<HeldFit, "name" | "task">): void {
    const waiting = this.fits.filter(({ state }) => state === "waiting").length;
    if (waiting >= MOST) throw new ServiceError(`${MOST} fits wait already`, { status: 429 });
    // A fit that is begun again takes the place of the one before.
    const others = this.fits.filter(({ name }) => name !== fit.name);
    this.fits = [...others, { ...fit, state: "waiting" as const, warnings: [] }].slice(-2 * MOST);
    this.next();
  }

  private next(): void {
    if (this.isClosed || this.fits.some(({ state }) => state === "running")) return;
    const fit = this.fits.find(({ state }) => state === "waiting");
    if (fit !== undefined) this.start(fit);
  }

  private start(fit: HeldFit): void {
    const isSource = import.meta.url.endsWith(".ts");
    const entry = new URL(isSource ? "./fit-process.node.ts" : "./fit-process.node.js", import.meta.url);
    const child = fork(fileURLToPath(entry), [], {
      execArgv: isSource ? ["--import", import.meta.resolve("tsx")] : [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    fit.state = "running";
    fit.process = child;
    child.on("message", (message: FromFit) => this.take(fit, message));
    child.once("error", (error) => this.end(fit, error.message));
    child.once("exit", (code, signal) =>
      this.end(fit, `its process ended with ${signal ?? `code ${code}`}; resume the run from its checkpoint`),
    );
    tell(child, fit.task);
  }

  private take(fit: HeldFit, message: FromFit): void {
    if (message.kind === "progress") fit.progress = message.progress;
    else if (message.kind === "warning") fit.warnings = [...fit.warnings, message.text].slice(-MOST_WARNINGS);
    else this.end(fit, message.kind === "failed" ? message.error : undefined);
  }

  /** Notes how a fit ended, once, and begins the next one when its process is gone. */
  private end(fit: HeldFit, error: string | undefined): void {
    if (fit.state === "running") {
      fit.state = error === undefined ? "done" : "failed";
      if (error !== undefined) fit.error = error;
    }
    const { process: child } = fit;
    if (child?.connected) child.once("exit", () => this.next());
    else this.next();
  }
}
