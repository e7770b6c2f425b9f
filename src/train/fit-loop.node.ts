import { batchesPerEpoch } from "../data/sources/data-set.ts";
import { FileError, TrainingError } from "../errors.ts";
import { parameterCount } from "../nn/module.ts";
import { firstNames } from "../printable.ts";
import { Interrupted } from "../program/deadline.ts";
import { Session, type State } from "../program/program.ts";
import type { Runtime } from "../program/runtime.ts";
import { type EvaluatedSamples, type HeldOut, type TrainingBatches, validationOf } from "./batches.ts";
import type { Fit, FitControl, FitProgress, FitStanding, FitSummary } from "./fit-request.node.ts";
import { ShownMetrics } from "./metrics-file.node.ts";
import { Budget, type StageSpan } from "./options.ts";
import type { MetricRow, RunProgress } from "./run-folder.node.ts";
import { hasStages, isSpent, LOOKING, type StagedBatches, type StageEntry, spanOf } from "./stages.ts";
import type { StepTracer } from "./step.ts";
import { type Snapshot, type StepResult, type Trainer, weightsOf } from "./trainer.ts";

// The story of a fit, step by step: train, validate, log, keep, draw, and end.

/** Milliseconds between reports of progress. */
const REPORT_EVERY = 250;

/** Share of the budget between two pictures of samples. */
const DRAW_EVERY = 0.25;

/** Share of the budget, and seconds at least, that such a picture may take. */
const DRAWING = { share: 0.05, least: 2 } as const;

/** Share of the time that the page of the run may take while it trains. */
const TELLING = 0.02;

const FRESH: RunProgress = {
  step: 0,
  seconds: 0,
  validationsSinceBest: 0,
  pending: { count: 0, sums: {} },
  finished: false,
};

/** Share of a limit in seconds that a validation may take; those of a run are all of as many samples as the first. */
const VALIDATION_SHARE = 0.05;

const showSeconds = (seconds: number): string => `${Number(seconds.toPrecision(2))} s`;

/** A validation that is due by the clock waits for so many times as long as the one before took. */
const VALIDATION_REST = 10;

/** What a validation comes to. */
interface Validation {
  readonly loss: number;
  readonly measures: Readonly<Record<string, number>>;
}

const finite = (measures: Validation["measures"]): Validation["measures"] =>
  Object.fromEntries(Object.entries(measures).filter(([, value]) => Number.isFinite(value)));

/** Whether a validation is better than the best one: by the criterion where both have it, else by the loss. */
function isBetter(
  { loss, measures }: Validation,
  best: NonNullable<RunProgress["best"]>,
  criterion: string | undefined,
): boolean {
  const [now, before] = criterion === undefined ? [] : [measures[criterion], best.measures?.[criterion]];
  if (now === undefined || before === undefined || !Number.isFinite(now)) return loss < best.loss;
  return now > before || (now === before && loss < best.loss);
}

/** The loop of a fit: steps, validation, metrics, checkpoints, pictures, and when to end. */
export class FitLoop {
  private readonly fit: Fit;
  private readonly control: FitControl;
  private readonly tracer: StepTracer;
  private readonly batches: TrainingBatches;
  private readonly validation: HeldOut;
  private readonly budget: Budget;
  private readonly epochSteps: number;
  /** Batches of several stages, where the parts of the model are trained one after the other. */
  private readonly staged: StagedBatches | undefined;
  private runtime: Runtime | undefined;
  /** Seconds of training, those before a resume included; the clock stands until the first step. */
  private readonly elapsed: () => number;
  /** Rows of metrics.csv up to now. */
  private readonly rows: MetricRow[];
  private readonly metrics: ShownMetrics;
  private progress: RunProgress;
  private loss: number;
  private validated: Validation | undefined;
  /** When the last validation ended, on the clock of `performance.now`, and milliseconds that it took. */
  private validatedAt: { readonly time: number; readonly took: number } | undefined;
  /** Steps a second, of training alone. */
  private speed: number | undefined;
  private begun: number | undefined;
  private reportedAt = Number.NEGATIVE_INFINITY;
  private doing: { readonly doing: string; readonly done?: number } | undefined;
  /** Called after each step. */
  onStep: (() => void) | undefined;
  /** Whether a picture has taken too long for others to be drawn. */
  private drawsSlowly = false;
  /** When the page of the run is written next, on the clock of `performance.now`, and whether it could not be. */
  private readonly telling = { next: Number.NEGATIVE_INFINITY, failed: false };

  /** @param rows of metrics.csv; those past the progress are left out, since their steps are done again */
  constructor(
    fit: Fit,
    control: FitControl,
    tracer: StepTracer,
    batches: TrainingBatches,
    progress: RunProgress = FRESH,
    rows: readonly MetricRow[] = [],
  ) {
    this.fit = fit;
    this.control = control;
    this.tracer = tracer;
    this.batches = batches;
    this.staged = hasStages(batches) ? batches : undefined;
    this.validation = validationOf(fit.data);
    this.progress = { ...progress, finished: false };
    this.rows = rows.filter((row) => row.step <= progress.step);
    this.metrics = new ShownMetrics((all) => fit.folder.writeMetrics(all));
    this.loss = this.rows.at(-1)?.loss ?? Number.NaN;
    const loss = this.rows.findLast((row) => row.validationLoss !== undefined)?.validationLoss;
    this.validated = loss === undefined ? undefined : { loss, measures: {} };
    this.epochSteps = batchesPerEpoch(batches.count, fit.options.batchSize);
    const before = progress.seconds;
    this.elapsed = () => before + (this.begun === undefined ? 0 : (performance.now() - this.begun) / 1000);
    this.budget = new Budget(fit.options, this.epochSteps, this.elapsed);
  }

  /** Reports how the fit stands, if enough time has passed since the last time. */
  report(stage: FitProgress["stage"], always = false, mined?: number): void {
    const now = performance.now();
    if (!always && now - this.reportedAt < REPORT_EVERY) return;
    this.reportedAt = now;
    const { step } = this.progress;
    const { stepLimit } = this.budget;
    const ofReport = this.control.deadline.secondsLeft;
    const secondsLeft =
      stage !== "reporting"
        ? this.budget.secondsLeft(step, this.speed)
        : Number.isFinite(ofReport)
          ? ofReport
          : undefined;
    this.fit.onProgress?.({
      step,
      ...(Number.isFinite(stepLimit) && { stepLimit }),
      epoch: step / this.epochSteps,
      seconds: this.elapsed(),
      loss: this.loss,
      ...(this.validated !== undefined && {
        validationLoss: this.validated.loss,
        measures: this.validated.measures,
      }),
      samplesPerSecond: this.samplesPerSecond,
      ...(secondsLeft !== undefined && { secondsLeft }),
      share: this.budget.share(step),
      stage,
      ...(this.part !== undefined && { part: this.part }),
      ...(mined !== undefined && { mined }),
      ...(stage === "reporting" && this.doing),
    });
  }

  /** Reports what a run that has been trained does now. */
  reportDoing(what: string, done?: number): void {
    const isNews = this.doing?.doing !== what;
    this.doing = { doing: what, ...(done !== undefined && { done }) };
    this.report("reporting", isNews);
  }

  /** The name of the stage under way, where there are several. */
  private get part(): string | undefined {
    return this.staged?.stages[Math.max(0, (this.progress.stages?.length ?? 1) - 1)]?.name;
  }

  /** What the stage under way takes of the budget; undefined where there is but one. */
  private get span(): StageSpan | undefined {
    const { staged, progress, budget } = this;
    return staged && spanOf(staged.stages, progress.stages ?? [], budget);
  }

  /** Makes the batches of the stage under way, before the first step or as a fit goes on. */
  async prepare(runtime: Runtime, start: Snapshot): Promise<void> {
    this.runtime = runtime;
    const { stages = [{ step: 0, seconds: 0 }] } = this.progress;
    if (this.staged === undefined) return;
    this.progress = { ...this.progress, stages };
    const entry = await this.enter(stages.length - 1, weightsOf(this.tracer, start));
    for (const warning of entry?.warnings ?? []) this.control.warn(warning);
  }

  /** Lets a stage make its batches. @returns undefined where the fit is stopped meanwhile */
  private async enter(stage: number, weights: State): Promise<StageEntry | undefined> {
    const begun = this.progress.stages?.[stage];
    return this.withSession(weights, async (session) =>
      this.staged?.enter(stage, {
        session,
        seconds: begun === undefined ? LOOKING * this.budget.clockLeft : Number.POSITIVE_INFINITY,
        samples: begun?.samples,
        shouldStop: this.control.shouldStop,
        onShare: (share) => this.report("mining", false, share),
      }),
    );
  }

  /** Uses weights outside of the training step. */
  private async withSession<T>(weights: State, work: (session: Session) => Promise<T>): Promise<T> {
    if (this.runtime === undefined) throw new TrainingError("the fit has no runtime yet");
    const session = new Session(this.runtime, weights);
    try {
      return await work(session);
    } finally {
      await session.release();
    }
  }

  /**
   * Begins the next stage where the one under way has had its part. What was best is forgotten: it was of another part.
   * @returns false where the fit is stopped meanwhile
   */
  private async advance(trainer: Trainer): Promise<boolean> {
    const { staged, span } = this;
    const begun = this.progress.stages ?? [];
    const isLast = begun.length >= (staged?.stages.length ?? 1);
    if (span === undefined || isLast || !isSpent(span, trainer.step, this.budget)) return true;
    const weights = await trainer.weights();
    const entry = await this.enter(begun.length, weights);
    if (entry === undefined) return false;
    // Until the first validation of the stage, those with which it begins are its best.
    if (this.progress.best !== undefined) await this.fit.folder.writeWeights("best", weights, trainer.step);
    const last = this.rows.at(-1);
    if (last !== undefined) this.rows[this.rows.length - 1] = { ...last, ...entry.measures };
    for (const warning of entry.warnings) this.control.warn(warning);
    const { best: _forgotten, ...others } = this.progress;
    this.validated = undefined;
    this.progress = {
      ...others,
      validationsSinceBest: 0,
      stages: [...begun, { step: trainer.step, seconds: this.elapsed(), samples: entry.samples }],
    };
    return true;
  }

  private get samplesPerSecond(): number {
    return (this.speed ?? 0) * this.fit.options.batchSize;
  }

  /** Trains to the end of the budget, until patience ends or until asked to stop; the checkpoint is then written. */
  async run(trainer: Trainer): Promise<FitSummary> {
    const { options } = this.fit;
    this.begun = performance.now();
    const stepsBefore = trainer.step;
    let stepSeconds = 0;
    let checkpointAt = this.begun;
    // Pictures are drawn at the same shares of the budget whether or not the run was interrupted.
    const drawnUntil = (): number => Math.floor(this.budget.share(trainer.step) / DRAW_EVERY) * DRAW_EVERY;
    let drawnShare = drawnUntil();
    let reason = this.endReason();
    while (reason === undefined) {
      if (!(await this.advance(trainer))) {
        reason = "stopped";
        break;
      }
      const { span } = this;
      const rate = this.budget.learningRate(trainer.step, span);
      const before = performance.now();
      this.fit.ranks?.order({ kind: "step", learningRate: rate, since: span?.firstStep ?? 0 });
      const result = await trainer.train(rate, span?.firstStep);
      this.onStep?.();
      stepSeconds += (performance.now() - before) / 1000;
      this.speed = (trainer.step - stepsBefore) / stepSeconds;
      await this.take(trainer, result);
      const ends =
        this.budget.reached(trainer.step) || (span !== undefined && isSpent(span, trainer.step, this.budget));
      const due = trainer.step % options.validateEvery === 0 || ends || this.isValidationDue();
      const validated = due ? await this.validate(trainer) : undefined;
      if (trainer.step % options.logEvery === 0 || validated !== undefined || ends) this.log(rate, validated);
      await this.metrics.show(this.rows);
      reason = this.endReason();
      this.report("training");
      if (reason !== undefined) break;
      const isCheckpoint =
        options.checkpointEvery === undefined
          ? performance.now() - checkpointAt > options.checkpointSeconds * 1000
          : trainer.step % options.checkpointEvery === 0;
      if (isCheckpoint) {
        await this.checkpoint(trainer);
        await this.tell(trainer);
        checkpointAt = performance.now();
      }
      const share = this.budget.share(trainer.step);
      if (this.fit.draw !== undefined && !this.drawsSlowly && share - drawnShare >= DRAW_EVERY) {
        await this.draw(trainer);
        drawnShare = drawnUntil();
      }
    }
    this.progress = { ...this.progress, seconds: this.elapsed() };
    const untrained = this.staged?.stages.slice(this.progress.stages?.length ?? 0) ?? [];
    if (reason === "limit" && untrained.length > 0) {
      const names = untrained.map(({ name }) => name).join(" and ");
      this.control.warn(`the fit has ended before ${names} was trained; give it more time`);
    }
    await this.checkpoint(trainer);
    return { ...this.standing(trainer), reason };
  }

  private standing(trainer: Trainer): FitStanding {
    return {
      folder: this.fit.folder.path,
      step: trainer.step,
      seconds: this.progress.seconds,
      samplesPerSecond: this.samplesPerSecond,
      parameters: parameterCount(this.fit.model),
      loss: this.loss,
      ...(this.progress.best !== undefined && { best: this.progress.best }),
    };
  }

  private endReason(): FitSummary["reason"] | undefined {
    const { patience } = this.fit.options;
    if (this.budget.reached(this.progress.step)) return "limit";
    if (patience !== undefined && this.progress.validationsSinceBest >= patience) return "patience";
    return this.control.shouldStop() ? "stopped" : undefined;
  }

  /** Adds a step's losses to those of the next row of metrics. @throws TrainingError where they are not finite */
  private async take(trainer: Trainer, { losses, gradientNorm }: StepResult): Promise<void> {
    this.loss = losses.total ?? Number.NaN;
    if (!Number.isFinite(this.loss) || !Number.isFinite(gradientNorm))
      throw await this.diverged(trainer.step);
    const { pending } = this.progress;
    const sums: Record<string, number> = { ...pending.sums };
    for (const name in losses) sums[name] = (sums[name] ?? 0) + (losses[name] ?? 0);
    sums.gradientNorm = (sums.gradientNorm ?? 0) + gradientNorm;
    this.progress = {
      ...this.progress,
      step: trainer.step,
      seconds: this.elapsed(),
      pending: { count: pending.count + 1, sums },
    };
  }

  private log(learningRate: number, validated: Validation | undefined): void {
    const { count, sums } = this.progress.pending;
    const { total, ...others } = sums;
    const { step } = this.progress;
    this.rows.push({
      step,
      epoch: step / this.epochSteps,
      seconds: Number(this.elapsed().toFixed(3)),
      loss: (total ?? Number.NaN) / count,
      ...Object.fromEntries(Object.entries(others).map(([name, value]) => [name, value / count])),
      learningRate,
      samplesPerSecond: Number(this.samplesPerSecond.toFixed(1)),
      ...(validated !== undefined && {
        validationLoss: validated.loss,
        ...Object.fromEntries(
          Object.entries(validated.measures).map(([name, value]) => [`validation${name}`, value]),
        ),
      }),
    });
    this.progress = { ...this.progress, pending: { count: 0, sums: {} } };
  }

  /** Whether so much time has passed since the last validation that another is due. */
  private isValidationDue(): boolean {
    const { validateSeconds } = this.fit.options;
    if (validateSeconds === undefined || this.validation.count === 0) return false;
    const { time, took } = this.validatedAt ?? { time: this.begun ?? performance.now(), took: 0 };
    return performance.now() - time >= Math.max(1000 * validateSeconds, VALIDATION_REST * took);
  }

  /** Loss and measures on the validation split, and better weights kept; undefined where the split is empty. */
  private async validate(trainer: Trainer): Promise<Validation | undefined> {
    const { validation } = this;
    if (validation.count === 0) return undefined;
    this.report("validating");
    const begun = performance.now();
    const { evaluator, whole } = validation;
    const evaluated = evaluator?.begin();
    const losses = await this.heldOutLosses(trainer, evaluated);
    const validated = {
      loss: losses.total ?? Number.NaN,
      measures: {
        ...evaluated?.measures(),
        ...(whole && (await this.withSession(await trainer.weights(), (session) => whole.measures(session)))),
      },
    };
    this.validated = validated;
    const { best, validationsSinceBest } = this.progress;
    const isBest =
      best === undefined ||
      this.fit.model.selection === "last" ||
      isBetter(validated, best, evaluator?.criterion ?? whole?.criterion);
    if (Number.isFinite(validated.loss) && isBest) {
      const { loss, measures } = validated;
      this.progress = {
        ...this.progress,
        best: {
          step: trainer.step,
          loss,
          ...((evaluated !== undefined || whole !== undefined) && { measures: finite(measures) }),
        },
        validationsSinceBest: 0,
      };
      await this.fit.folder.writeWeights("best", await trainer.weights(), trainer.step);
    } else {
      this.progress = { ...this.progress, validationsSinceBest: validationsSinceBest + 1 };
    }
    this.validatedAt = { time: performance.now(), took: performance.now() - begun };
    return validated;
  }

  /** Mean losses of a validation, whose first decides of how many samples all are where the fit is limited in seconds. */
  private async heldOutLosses(
    trainer: Trainer,
    evaluated: EvaluatedSamples | undefined,
  ): Promise<Readonly<Record<string, number>>> {
    const { seconds, validationSamples } = this.fit.options;
    const { validationSamples: settled } = this.progress;
    const begun = performance.now();
    const most = seconds === undefined || settled !== undefined ? undefined : VALIDATION_SHARE * seconds;
    const { losses, count } = await trainer.validate(
      this.validation,
      settled ?? validationSamples,
      evaluated,
      () => most !== undefined && performance.now() - begun > 1000 * most,
    );
    const wanted = Math.min(this.validation.count, validationSamples);
    if (settled === undefined && count < wanted) {
      this.progress = { ...this.progress, validationSamples: count };
      this.control.warn(
        `validations are of ${count} samples in place of ${wanted}, which take longer than a twentieth of the time`,
      );
    }
    return losses;
  }

  private async checkpoint(trainer: Trainer): Promise<void> {
    this.report("saving");
    const { folder } = this.fit;
    const snapshot = await trainer.snapshot();
    // Metrics first: rows past the checkpoint are dropped when the run is resumed, missing ones could not be made up.
    await this.metrics.write(this.rows);
    await folder.writeCheckpoint({ progress: this.progress, vectors: snapshot.vectors, rows: this.rows });
    await folder.writeWeights("last", weightsOf(this.tracer, snapshot), snapshot.step);
  }

  /** Has the page of the run written, which takes a fiftieth of the time at most. */
  private async tell(trainer: Trainer): Promise<void> {
    const before = performance.now();
    if (this.fit.tell === undefined || before < this.telling.next) return;
    try {
      await this.fit.tell(this.standing(trainer));
    } catch (error) {
      if (error instanceof FileError || !(error instanceof Error)) throw error;
      if (!this.telling.failed) this.control.warn(`no report while it trains: ${error.message}`);
      this.telling.failed = true;
    }
    const now = performance.now();
    this.telling.next = now + (now - before) / TELLING;
  }

  private async draw(trainer: Trainer): Promise<void> {
    this.report("drawing", true);
    const { control, budget } = this;
    const most = Math.max(DRAWING.least, DRAWING.share * budget.seconds(trainer.step));
    try {
      const weights = await trainer.weights();
      await control.deadline.within(most, async () => this.fit.draw?.(weights, trainer.step, control));
    } catch (error) {
      if (control.shouldStop()) return;
      if (error instanceof Interrupted) {
        this.drawsSlowly = true;
        control.warn(
          `no pictures of samples while it trains: one takes longer than ${showSeconds(most)} (a twentieth of the time); eidos sample draws them of the weights up to now`,
        );
        return;
      }
      if (error instanceof FileError || !(error instanceof Error)) throw error;
      this.control.warn(`no picture of samples at step ${trainer.step}: ${error.message}`);
    }
  }

  private async diverged(step: number): Promise<TrainingError> {
    const { folder } = this.fit;
    const kept = await folder.readCheckpoint();
    const names = this.batches.names(step - 1);
    const samples = firstNames(names, 8);
    const what = Number.isFinite(this.loss)
      ? "gradient of the loss is no longer finite"
      : `loss became ${this.loss}`;
    const lower = Number((this.fit.options.learningRate / 3).toPrecision(2));
    await this.metrics.write(this.rows);
    return new TrainingError(
      kept === undefined
        ? `the ${what} at step ${step} (training samples ${samples}); no checkpoint had been written yet. Fit again with a lower learningRate, or set clipNorm`
        : `the ${what} at step ${step} (training samples ${samples}); the checkpoint of step ${kept.progress.step} is kept. Go on from it with a lower rate: eidos fit --resume ${folder.path} --learning-rate ${lower} (or set clipNorm)`,
    );
  }
}
