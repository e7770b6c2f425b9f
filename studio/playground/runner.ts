import { effect, signal } from "@preact/signals";
import type { Remote } from "comlink";
import { compute, runtimeFolder } from "./compute.ts";
import { startWorker } from "./connect.ts";
import type { DataSpec } from "./data.ts";
import type { Figures, LookRequest, Picture, Prepared } from "./engine.ts";
import { LossHistory } from "./losses.ts";
import { isMeasuredAtRest, MODELS, type ModelKey } from "./models.ts";
import { playing, settingsOf, state, time } from "./signals.ts";
import type { WorkerApi } from "./worker.ts";

/** How a model is doing. */
export type Status =
  | { readonly kind: "loading" }
  | { readonly kind: "ready"; readonly prepared: Prepared }
  | { readonly kind: "failed"; readonly reason: string };

/** Milliseconds of training between two looks at whether something else is wanted. */
const SLICE = 40;
/** Milliseconds between two pictures at least, while training goes at full speed. */
const PICTURE_EVERY = 150;
/** Milliseconds between two measurements at least. */
const FIGURES_EVERY = 1000;
/** Samples, and particles of a path. */
const COUNTS = { samples: 800, density: 0, path: 400, field: 0 } as const;
let made = 0;

/** One model in its worker: trains while the playground plays, and has a picture of what is to be seen. */
export class Runner {
  /** Of all runners of the page, one after the other. */
  readonly id = ++made;
  readonly key: ModelKey;
  readonly data: DataSpec;
  readonly status = signal<Status>({ kind: "loading" });
  readonly step = signal(0);
  readonly picture = signal<Picture | undefined>(undefined);
  readonly figures = signal<Figures | undefined>(undefined);
  /** Whether a picture is being made that takes long. */
  readonly busy = signal(false);
  readonly losses: LossHistory;
  /** Rises with each new loss. */
  readonly lossCount = signal(0);
  private readonly worker: Worker;
  private readonly api: Remote<WorkerApi>;
  private readonly unwatch: () => void;
  private ended = false;
  private pending = 0;
  private wake: () => void = () => undefined;
  /** What the last picture shows, and when it was made. */
  private shown = "";
  private shownAt = 0;
  private shownIn = 0;
  private measured = "";
  private measuredAt = 0;
  private steppedAt = 0;

  constructor(key: ModelKey, data: DataSpec) {
    this.key = key;
    this.data = data;
    this.losses = new LossHistory(MODELS[key].losses.length);
    const { worker, api } = startWorker(key);
    this.worker = worker;
    this.worker.addEventListener("error", (event) => this.fail(event.message || "the worker did not start"));
    this.api = api;
    this.unwatch = effect(() => {
      playing.value;
      state.value;
      if (state.value.view === "field") time.value;
      this.wake();
    });
    this.run(data).catch((error: unknown) =>
      this.fail(error instanceof Error ? error.message : String(error)),
    );
  }

  private fail(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.busy.value = false;
    this.status.value = { kind: "failed", reason };
  }

  stepOnce(): void {
    this.pending++;
    this.wake();
  }

  /** The weights as a file. */
  file(): Promise<Uint8Array> {
    return this.api.file();
  }

  /** The sampler as it is set, as a file. */
  onnx(): Promise<Uint8Array> {
    return this.api.onnx(settingsOf(this.key));
  }

  dispose(): void {
    this.ended = true;
    this.unwatch();
    this.wake();
    this.worker.terminate();
  }

  private async run(data: DataSpec): Promise<void> {
    const computing = { provider: compute.peek(), wasmPaths: runtimeFolder() };
    const prepared = await this.api.prepare(this.key, data, 0, computing);
    if (this.ended) return;
    this.status.value = { kind: "ready", prepared };
    while (!this.ended) {
      // What changes from here on wakes the wait below.
      let changed = false;
      const change = new Promise<void>((resolve) => {
        this.wake = () => {
          changed = true;
          resolve();
        };
      });
      const trained = await this.trainIfDue();
      if (this.ended) return;
      const looked = await this.lookIfDue();
      if (this.ended) return;
      if (trained || looked || changed) continue;
      const { speed } = state.peek();
      const isSlow = playing.peek() && speed !== "full";
      await Promise.race([change, ...(isSlow ? [pause(this.steppedAt + 1000 / Number(speed))] : [])]);
    }
  }

  /** Trains where it is due. Returns whether it did. */
  private async trainIfDue(): Promise<boolean> {
    const { speed } = state.peek();
    const plays = playing.peek();
    if (this.pending > 0) this.pending--;
    else if (!plays || (speed !== "full" && performance.now() < this.steppedAt + 1000 / Number(speed)))
      return false;
    this.steppedAt = performance.now();
    const isFull = plays && speed === "full";
    const progress = await this.api.advance({ steps: isFull ? 1000 : 1, milliseconds: SLICE });
    if (this.ended) return true;
    this.losses.add(progress);
    this.step.value = progress.step;
    this.lossCount.value++;
    if (progress.failed !== undefined) this.fail(progress.failed);
    return true;
  }

  /** Makes the picture where what is to be seen has changed. Returns whether it did. */
  private async lookIfDue(): Promise<boolean> {
    const { view, seed } = state.value;
    const isFull = playing.peek() && state.peek().speed === "full";
    const request: Omit<LookRequest, "figures"> = {
      view,
      count: COUNTS[view],
      settings: settingsOf(this.key),
      time: view === "field" ? time.peek() : 0,
      seed,
      // There is nothing to see of a model that has not begun.
      patient: !playing.peek() && this.step.peek() > 0,
    };
    // Only what takes seconds depends on whether training rests.
    const isPatient = isMeasuredAtRest(MODELS[this.key]) && request.patient;
    const about = JSON.stringify({ ...request, patient: isPatient, step: this.step.peek() });
    const sinceMeasured = performance.now() - this.measuredAt;
    const figures = about !== this.measured && (!playing.peek() || sinceMeasured > FIGURES_EVERY);
    const wanted = about !== this.shown || (figures && !isFull);
    const rest = Math.max(PICTURE_EVERY, 2 * this.shownIn);
    if (!wanted || (isFull && performance.now() < this.shownAt + rest)) return false;
    const begun = performance.now();
    this.busy.value = isPatient && view === "density" && MODELS[this.key].density === "paused";
    // The picture first; figures that take long follow it.
    const both = figures && !isPatient;
    const look = await this.api.look({ ...request, figures: both || (figures && about === this.shown) });
    if (this.ended) return true;
    this.shown = about;
    this.shownAt = performance.now();
    this.shownIn = this.shownAt - begun;
    this.busy.value = false;
    this.picture.value = look.picture;
    if (look.figures !== undefined) {
      this.figures.value = look.figures;
      this.measured = about;
      this.measuredAt = performance.now();
    }
    return true;
  }
}

function pause(until: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, until - performance.now())));
}
