import { importSharp, refuseDrawing } from "../data/image/sharp.node.ts";
import { isPicture } from "../data/sources/data-set.ts";
import { DataError, MemoryError, MissingPackageError, OptionError, ServiceError } from "../errors.ts";
import { descendingOrder } from "../metrics/index.ts";
import { encodePng, imageGrid } from "../report/index.ts";
import type { Run } from "../tasks/open-run.node.ts";
import { fewRows, readSource } from "../tasks/run/inputs.node.ts";
import { detectorRun } from "../tasks/run/load.node.ts";
import { asWritten, checkFinite, sampleRows, toBytes } from "../tasks/run/outputs.node.ts";
import { type DetectedImage, drawFound, leastScore } from "../tasks/use/detect.node.ts";
import { embedding, joined } from "../tasks/use/embed.node.ts";
import { reasonsOf } from "../tasks/use/reasons.node.ts";
import { scoreSamples } from "../tasks/use/score.node.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import {
  type Answer,
  type Brought,
  countOf,
  type FoundIn,
  type Job,
  type MadeCell,
  type OddRow,
  type ServedModel,
  type Work,
} from "./abilities.ts";
import { describeRun } from "./describe.node.ts";
import { formingOf, seriesOf } from "./series.node.ts";

// What a worker does with an open run. Data of clients comes as rows, bytes and numbers, and never as the name of anything: no request
// reaches a path, a query or a module.

/** What became of a job. */
export type Outcome =
  | { readonly ok: true; readonly answer: Answer }
  | { readonly ok: false; readonly status: number; readonly message: string; readonly stack?: string };

/** Hands over what became of a job, as soon as it is known. */
type Tell = (job: Job, outcome: Outcome) => void;

/** Whether nobody waits for a job any more. */
type GivenUp = (job: Job) => boolean;

/** Thrown inside of a job that nobody waits for. */
class GivenUpError extends Error {}

/** Programs of other shapes that a run keeps: clients choose how many samples they ask for. */
const MOST_PROGRAMS = 64;

/** An open run as a worker serves it. */
export class ServedRun {
  readonly model: ServedModel;
  private readonly run: Run;
  private readonly pixelLimit: number;
  private readonly shapes = new Set<string>();
  private usualConfidence: Promise<number> | undefined;

  constructor(name: string, run: Run, pixelLimit: number) {
    this.run = run;
    this.pixelLimit = pixelLimit;
    this.model = describeRun(name, run);
  }

  /** Computes once what most clients ask for, so that the first one need not wait for its program. */
  async warmUp(): Promise<void> {
    const { abilities, sample, merged } = this.model;
    const { loaded, config } = this.run;
    const { sampleShape } = config.dataInfo;
    const blank = float32(new Float32Array(elementCount(sampleShape)), [1, ...sampleShape]);
    if (abilities.includes("detect")) {
      const [, height = 1, width = 1] = sampleShape;
      const image = { width, height, data: new Uint8Array(4 * width * height).fill(255) };
      await this.run.detect(image, { confidence: 1 });
    } else if (abilities.includes("embed")) {
      await embedding(loaded, {}, fewRows)(blank);
    }
    if (merged.includes("score") && sample.kind === "rows") {
      await scoreSamples(loaded, blank);
    }
  }

  /** Does jobs of one key, together where they are merged. */
  async answer(jobs: readonly Job[], tell: Tell, givenUp: GivenUp): Promise<void> {
    await this.limitPrograms(jobs);
    const works = jobs.map(({ work }) => work);
    if (jobs.length > 1 && works.every((work) => work.kind === "score" || work.kind === "embed")) {
      return this.answerTogether(jobs, tell, givenUp);
    }
    if (jobs.length > 1 && works.every((work) => work.kind === "detect")) {
      return this.detectAll(jobs, tell, givenUp);
    }
    for (const job of jobs) {
      await this.settle([job], tell, async () => {
        if (givenUp(job)) throw new GivenUpError();
        const answer = await this.answerOne(job.work, () => givenUp(job));
        tell(job, { ok: true, answer });
      });
    }
  }

  /** Frees programs where there have been many shapes. */
  private async limitPrograms(jobs: readonly Job[]): Promise<void> {
    for (const { work } of jobs) {
      const { kind } = work;
      if (kind === "sample") {
        this.shapes.add(
          JSON.stringify([
            kind,
            work.states,
            { ...work.options, seed: 0, label: undefined, given: undefined },
          ]),
        );
      }
      if (kind === "impute") this.shapes.add(JSON.stringify([kind, work.rows.length, work.options.draws]));
      if (kind === "embed") this.shapes.add(JSON.stringify([kind, work.layer]));
      if (kind === "inpaint" || kind === "edit" || kind === "interpolate") {
        this.shapes.add(JSON.stringify([kind, countOf(work.samples), { ...work.options, seed: 0 }]));
      }
    }
    if (this.shapes.size <= MOST_PROGRAMS) return;
    this.shapes.clear();
    await this.run.loaded.session.release();
  }

  /** Runs a step on behalf of jobs; where it fails, all of them that have no answer yet are told so. */
  private async settle(jobs: readonly Job[], tell: Tell, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (error instanceof GivenUpError) return;
      const outcome = this.failure(error);
      for (const job of jobs) tell(job, outcome);
    }
  }

  /** What clients are told of an error: faults of what they sent as they are, without paths of this machine. */
  private failure(error: unknown): Outcome {
    const { config, folder } = this.run;
    const given = error instanceof Error ? error.message : String(error);
    const paths = [folder, ...(/[/\\]/.test(config.data) ? [config.data] : [])];
    const message = paths
      .reduce((text, path) => text.replaceAll(path, this.model.name), given)
      .replaceAll(/\s*\n\s*/g, " ");
    if (error instanceof ServiceError) return { ok: false, status: error.status, message };
    if (error instanceof MemoryError) return { ok: false, status: 413, message };
    if (error instanceof MissingPackageError) return { ok: false, status: 501, message };
    if (error instanceof OptionError || error instanceof DataError) {
      return { ok: false, status: 400, message };
    }
    return {
      ok: false,
      status: 500,
      message: "the model could not compute this; the log of the server has the reason",
      stack: error instanceof Error ? (error.stack ?? given) : given,
    };
  }

  private async answerOne(work: Work, givenUp: () => boolean): Promise<Answer> {
    const { run } = this;
    const onProgress = (): void => {
      if (givenUp()) throw new GivenUpError();
    };
    switch (work.kind) {
      case "detect": {
        const images: FoundIn[] = [];
        for (const [i, file] of work.files.entries()) {
          onProgress();
          const name = nameOf(work.files, i);
          for await (const image of this.detections(file, name, work.options, givenUp)) {
            if (work.picture) {
              const bytes = await drawFound(image, run.classes);
              return { kind: "picture", type: "image/jpeg", bytes };
            }
            images.push(this.foundIn(image));
          }
        }
        return { kind: "found", images };
      }
      case "score": {
        const x = await this.read(work.samples, work.seed);
        onProgress();
        const logLikelihood = await scoreSamples(run.loaded, x, { seed: work.seed });
        if (work.why === 0) return { kind: "scores", logLikelihood };
        onProgress();
        return { kind: "scores", logLikelihood, why: await this.oddest(x, logLikelihood, work) };
      }
      case "impute": {
        const { names, rows } = await run.impute({ kind: "rows", rows: work.rows }, work.options);
        const { columns } = this.model.sample.kind === "rows" ? this.model.sample : { columns: [] };
        const bits = new Set(columns.filter(({ kind }) => kind === "binary").map(({ name }) => name));
        const all: (readonly MadeCell[])[] = [];
        for await (const row of rows) {
          onProgress();
          const sent = work.rows[Math.floor(all.length / work.options.draws)] ?? {};
          // Cells that are there come back as they were sent, not as texts.
          all.push(
            row.map((made, i) => {
              const name = names[i] ?? "";
              const cell = !bits.has(name) && Object.hasOwn(sent, name) ? sent[name] : undefined;
              const isThere = typeof cell === "number" || (typeof cell === "string" && cell.trim() !== "");
              return isThere ? cell : made;
            }),
          );
        }
        return { kind: "table", names, rows: all };
      }
      case "sample": {
        const { dataInfo } = run.config;
        if (work.states !== undefined)
          return formingOf(run.loaded, { ...work.options, states: work.states }, onProgress);
        const samples = await run.sample({ ...work.options, onProgress });
        checkFinite(samples);
        if (!isPicture(dataInfo)) return { kind: "table", ...sampleRows(dataInfo, samples) };
        if (!work.picture) return { kind: "array", array: asWritten(dataInfo, samples) };
        const bytes = await encodePng(imageGrid(toBytes(samples, dataInfo.kind)));
        return { kind: "picture", type: "image/png", bytes };
      }
      case "embed": {
        const x = await this.read(work.samples, work.seed);
        onProgress();
        return { kind: "array", array: await embedding(run.loaded, work.layer, fewRows)(x) };
      }
      case "inpaint":
      case "edit":
      case "interpolate": {
        const x = await this.read(work.samples, 0);
        onProgress();
        return seriesOf(run.loaded, x, work, onProgress);
      }
    }
  }

  /** The oddest of some rows, and their cells. */
  private async oddest(
    x: NdArray<"float32">,
    logLikelihood: Float64Array,
    { seed, why }: Extract<Work, { kind: "score" }>,
  ): Promise<readonly OddRow[]> {
    const oddity = Float64Array.from(logLikelihood, (value) => (Number.isNaN(value) ? Infinity : -value));
    const order = descendingOrder(oddity).subarray(0, why);
    const [, width = 1] = x.shape;
    const chosen = new Float32Array(order.length * width);
    for (const [i, row] of order.entries())
      chosen.set(x.data.subarray(row * width, (row + 1) * width), i * width);
    const { rows } = await reasonsOf(this.run.loaded, float32(chosen, [order.length, width]), { seed });
    return rows.map(({ reasons }, i) => ({ row: order[i] ?? 0, reasons }));
  }

  /** Reads each job's samples by itself, and computes those of all that can be read as one array. */
  private async answerTogether(jobs: readonly Job[], tell: Tell, givenUp: GivenUp): Promise<void> {
    const ready: { readonly job: Job; readonly x: NdArray<"float32"> }[] = [];
    for (const job of jobs) {
      const { work } = job;
      await this.settle([job], tell, async () => {
        if (givenUp(job) || !(work.kind === "score" || work.kind === "embed")) throw new GivenUpError();
        ready.push({ job, x: await this.read(work.samples, work.seed) });
      });
    }
    const waited = ready.filter(({ job }) => !givenUp(job));
    const [first] = waited;
    if (first === undefined) return;
    const { work } = first.job;
    await this.settle(
      waited.map(({ job }) => job),
      tell,
      async () => {
        const x = joined(waited.map((one) => one.x));
        const [count = 0] = x.shape;
        const result =
          work.kind === "embed"
            ? await embedding(this.run.loaded, work.layer, fewRows)(x)
            : { data: await scoreSamples(this.run.loaded, x), shape: [count] };
        const size = elementCount(result.shape.slice(1));
        let at = 0;
        for (const { job, x } of waited) {
          const [rows = 0] = x.shape;
          const part = result.data.slice(at * size, (at + rows) * size);
          at += rows;
          const answer: Answer =
            part instanceof Float64Array
              ? { kind: "scores", logLikelihood: part }
              : { kind: "array", array: float32(part, [rows, ...result.shape.slice(1)]) };
          tell(job, { ok: true, answer });
        }
      },
    );
  }

  /** Detects for several jobs of equal options: while the detector looks at one image, the next ones are decoded. */
  private async detectAll(jobs: readonly Job[], tell: Tell, givenUp: GivenUp): Promise<void> {
    const plain = jobs.filter(
      ({ work }) => work.kind === "detect" && !work.picture && work.files.length === 1,
    );
    for (const job of jobs) if (!plain.includes(job)) await this.answer([job], tell, givenUp);
    const waited = plain.filter((job) => !givenUp(job));
    const [first] = waited;
    if (first?.work.kind !== "detect") return;
    const { options } = first.work;
    const open = new Set(waited);
    const named = new Map<string, { readonly job: Job; readonly image: Uint8Array }>();
    for (const [i, job] of waited.entries()) {
      const { work } = job;
      await this.settle([job], tell, async () => {
        const [image] = work.kind === "detect" ? work.files : [];
        if (image === undefined) throw new GivenUpError();
        named.set(String(i), { job, image });
      });
    }
    await this.settle(
      waited,
      (job, outcome) => void (open.delete(job) && tell(job, outcome)),
      async () => {
        const images = [...named].map(([name, { image }]) => ({ image, name }));
        const limits = { pixelLimit: this.pixelLimit };
        const onUnreadable = ({ name }: { readonly name: string }, reason: string): void => {
          const job = named.get(name)?.job;
          if (job !== undefined && open.delete(job)) tell(job, this.failure(imageError("the image", reason)));
        };
        for await (const found of this.run.detections(images, {
          ...(await this.detectOptions(options)),
          ...limits,
          onUnreadable,
        })) {
          const job = named.get(found.name)?.job;
          if (job === undefined || !open.delete(job)) continue;
          tell(job, { ok: true, answer: { kind: "found", images: [this.foundIn(found)] } });
        }
      },
    );
  }

  /** What is found in the file of an image, which must be readable. */
  private async *detections(
    image: Uint8Array,
    name: string,
    options: Extract<Work, { kind: "detect" }>["options"],
    givenUp: () => boolean,
  ): AsyncGenerator<DetectedImage> {
    const { pixelLimit } = this;
    yield* this.run.detections([{ image, name }], {
      ...(await this.detectOptions(options)),
      pixelLimit,
      onUnreadable(_, reason) {
        throw imageError(name, reason);
      },
      onTiles() {
        if (givenUp()) throw new GivenUpError();
      },
    });
  }

  /** Options that are given, and the run's own confidence, which is looked up once: it stands in a file. */
  private async detectOptions({ confidence, iou, maximum }: Extract<Work, { kind: "detect" }>["options"]) {
    this.usualConfidence ??= leastScore(detectorRun(this.run.loaded), undefined);
    return {
      confidence: confidence ?? (await this.usualConfidence),
      ...(iou !== undefined && { iou }),
      ...(maximum !== undefined && { maximum }),
    };
  }

  private foundIn({ width, height, found, cut }: DetectedImage): FoundIn {
    const { classes } = detectorRun(this.run.loaded);
    const objects = found.map((one) => ({ ...one, label: classes[one.class] ?? String(one.class) }));
    return { width, height, objects, cut };
  }

  /** Samples of a request as the model sees them. */
  private async read(samples: Brought, seed: number): Promise<NdArray<"float32">> {
    if (samples.kind === "array") return samples.x;
    const parts: NdArray<"float32">[] = [];
    if (samples.kind === "files") {
      for (const [i, file] of samples.files.entries())
        await checkPixels(file, nameOf(samples.files, i), this.pixelLimit);
    }
    const source =
      samples.kind === "rows"
        ? ({ kind: "rows", rows: samples.rows } as const)
        : ({ kind: "images", form: "encoded", images: samples.files } as const);
    const onUnreadable = (_: string, reason: string): never => {
      throw imageError("the image", reason);
    };
    for await (const { x } of readSource(this.run.loaded, source, { seed, onUnreadable })) parts.push(x);
    return joined(parts);
  }

  async release(): Promise<void> {
    await this.run.release();
  }
}

/** What messages call one of some images. */
function nameOf(files: readonly unknown[], index: number): string {
  return files.length === 1 ? "the image" : `image ${index}`;
}

/** What is wrong with an image: 413 where it is too large, otherwise 400. */
function imageError(name: string, reason: string): ServiceError {
  const plain = reason.replace(/; --tiles looks at it .*$/, "").replace(/^images\[\d+\]: /, "");
  return new ServiceError(`${name}: ${plain}`, { status: /more than the limit of/.test(plain) ? 413 : 400 });
}

/** Refuses an image by its header, before it is decoded. @throws ServiceError */
async function checkPixels(file: Uint8Array, name: string, limit: number): Promise<void> {
  const sharp = await importSharp();
  let size: { readonly width: number; readonly height: number; readonly format?: string };
  try {
    size = await sharp(file).metadata();
    refuseDrawing(size.format);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    throw imageError(name, `not a readable image (${reason})`);
  }
  if (size.width * size.height > limit)
    throw imageError(name, `${size.width} × ${size.height} pixels, more than the limit of ${limit}`);
}
