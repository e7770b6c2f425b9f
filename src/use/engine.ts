import { AbilityError, DataError, OptionError } from "../errors.ts";
import type { ExportedAbility, ExportedAbilityName, ExportedModel, ExportedPort } from "../model/exported.ts";
import { checkNames, type NamesOf } from "../options.ts";
import type { Backend, Graph } from "./backend.ts";
import { feedsOfRows, ignoredColumns, rowsOfOutputs } from "./cells.ts";
import { imputed } from "./impute.ts";
import { noiseFeeds, ROWS } from "./noise.ts";
import { checkPixels, fitted, rgbOf } from "./pixels.ts";
import { numbersOf, sizeOf, type Values, valuesOf } from "./tensors.ts";
import type {
  DetectOptions,
  FoundIn,
  ImageInput,
  Imputed,
  ImputeOptions,
  Numbers,
  PixelImage,
  Row,
  SampleOptions,
  SampleStep,
  Samples,
  ScoreOptions,
} from "./types.ts";

// What an exported model does, where it computes: in Node, in a page's worker, or in the page itself.

/** Options without what cannot be sent to a worker. */
type Plain<O> = Omit<O, "signal" | "onStep">;

/** What is asked of a model: plain data. */
export type Work =
  | {
      readonly kind: "detect";
      readonly images: readonly ImageInput[];
      readonly options: Plain<DetectOptions>;
    }
  | {
      readonly kind: "score" | "embed";
      readonly samples:
        | { readonly rows: readonly Row[] }
        | { readonly rows?: undefined; readonly images: readonly ImageInput[] };
      readonly options: Plain<ScoreOptions>;
    }
  | { readonly kind: "impute"; readonly rows: readonly Row[]; readonly options: Plain<ImputeOptions> }
  | { readonly kind: "sample"; readonly options: Plain<SampleOptions>; readonly inSteps: boolean };

/** How work goes on, and whether it is still wanted. */
export interface Watch {
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((step: SampleStep) => void) | undefined;
}

/** The files of a model, and what makes pixels of images. */
export interface Sources {
  /** The bytes of a file beside model.json. @throws DataError, FileError, DownloadError */
  read(name: string): Promise<Uint8Array>;
  /** @throws DataError, MissingPackageError */
  decode(image: ImageInput): Promise<PixelImage>;
}

/** Rows that are computed together, and numbers of images that are. */
const BATCH_ROWS = 4096;
const BATCH_NUMBERS = 2 ** 20;
const BATCH_IMAGES = 64;

/** The most samples of a call, as `sampleCount` of the command has it. */
const MOST_SAMPLES = 100_000_000;

/** Why a model cannot do something. @throws AbilityError */
export function refuseAbility({ model, abilities, leftOut, outside }: ExportedModel, asked: string): never {
  const why = leftOut.find(({ ability }) => ability === asked)?.why;
  const can = Object.keys(abilities).join(", ");
  throw new AbilityError(
    `the exported ${model} cannot ${asked}${why === undefined ? "" : `: ${why}`}; ${
      can === ""
        ? `it has no file that does something by itself${outside === undefined ? "" : " (outside of model.json says what is to be done by hand)"}`
        : `it can ${can}`
    }`,
  );
}

/** A whole number within bounds. @throws OptionError */
function whole(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new OptionError(`option ${name}: must be a whole number from ${least} to ${most}, not ${value}`);
}

/** The sides of images that an input takes; undefined for other inputs. */
function imageSides({ type, shape }: ExportedPort) {
  const [, height, width, channels] = shape;
  const isImage = type === "uint8" && shape.length === 4;
  if (!isImage || typeof height !== "number" || typeof width !== "number") return undefined;
  return { height, width, channels: Number(channels) };
}

const required = (ports: readonly ExportedPort[]): readonly ExportedPort[] =>
  ports.filter(({ optional }) => optional !== true);

/** An output that a file of its kind has. @throws DataError */
function output(outputs: Readonly<Record<string, Values>>, name: string): Values {
  const found = outputs[name];
  if (found === undefined) throw new DataError(`the file gives no ${name}; export the model again`);
  return found;
}

/** The part of noise that belongs to some rounds. */
function ofRounds({ type, shape, data }: Values, first: number, last: number): Values {
  const [, ...rest] = shape;
  const size = sizeOf(rest);
  return { type, shape: [last - first, ...rest], data: data.slice(first * size, last * size) };
}

/** An open model: its files are read and opened when they are first needed. */
export class Engine {
  readonly record: ExportedModel;
  private readonly sources: Sources;
  private readonly backend: Backend;
  private readonly graphs = new Map<string, Promise<Graph>>();

  constructor(record: ExportedModel, sources: Sources, backend: Backend) {
    this.record = record;
    this.sources = sources;
    this.backend = backend;
  }

  get provider(): string {
    return this.backend.provider;
  }

  /** Opens the file of an ability. @throws AbilityError, DataError, FileError, DownloadError, RuntimeError */
  async open(name: ExportedAbilityName): Promise<void> {
    const { file, completion } = this.ability(name);
    const { cells, draw, drawKnown, density, mixture } = completion ?? {};
    for (const part of [{ file }, cells, draw, drawKnown, density, mixture]) if (part) await this.graph(part);
  }

  private ability(name: ExportedAbilityName): ExportedAbility {
    return this.record.abilities[name] ?? refuseAbility(this.record, name);
  }

  private graph({ file }: Pick<ExportedAbility, "file">): Promise<Graph> {
    const known = this.graphs.get(file);
    if (known !== undefined) return known;
    const opened = this.openFile(file);
    this.graphs.set(file, opened);
    // What did not open is tried again the next time.
    opened.catch(() => this.graphs.delete(file));
    return opened;
  }

  private async openFile(file: string): Promise<Graph> {
    const bytes = await this.sources.read(file);
    try {
      return await this.backend.open(bytes);
    } catch (error) {
      throw error instanceof DataError ? new DataError(`${file}: ${error.message}`, { cause: error }) : error;
    }
  }

  /** Runs the file of an ability; inputs that are left out have their defaults. */
  private async run(
    ability: Pick<ExportedAbility, "file" | "inputs">,
    feeds: Readonly<Record<string, Values>>,
    signal?: AbortSignal,
  ) {
    signal?.throwIfAborted();
    const rest = ability.inputs.filter(
      ({ name, optional }) => optional === true && !Object.hasOwn(feeds, name),
    );
    const graph = await this.graph(ability);
    const found = await graph.run({
      ...feeds,
      ...Object.fromEntries(rest.map(({ name, type }) => [name, valuesOf(type, [], [0])])),
    });
    signal?.throwIfAborted();
    return found;
  }

  /** Does what is asked. @throws AbilityError, OptionError, DataError, RuntimeError; the reason of the signal */
  async do(work: Work, { signal, onStep }: Watch = {}): Promise<unknown> {
    switch (work.kind) {
      case "detect": {
        const found: FoundIn[] = [];
        for (const image of work.images) found.push(await this.detect(image, work.options, signal));
        return found;
      }
      case "score":
        return this.score(work, signal);
      case "embed":
        return this.embed(work, signal);
      case "impute":
        return this.impute(work.rows, work.options, signal);
      case "sample":
        return this.sample(work.options, work.inSteps, { signal, onStep });
    }
  }

  private async decoded(image: ImageInput): Promise<PixelImage> {
    const pixels = await this.sources.decode(image);
    checkPixels(pixels);
    return pixels;
  }

  private async detect(
    image: ImageInput,
    options: Plain<DetectOptions>,
    signal: AbortSignal | undefined,
  ): Promise<FoundIn> {
    checkNames("detect", options, {
      confidence: true,
      iou: true,
      maximum: true,
    } satisfies NamesOf<typeof options>);
    const ability = this.ability("detect");
    const { confidence, iou, maximum } = options;
    for (const [name, share] of Object.entries({ confidence, iou })) {
      if (share === undefined || (share >= 0 && share <= 1)) continue;
      throw new OptionError(`option ${name}: must lie in 0 … 1, not ${share}`);
    }
    const port = (name: string) => ability.inputs.find((one) => one.name === name);
    if (iou !== undefined && port("iou") === undefined) {
      throw new OptionError(`option iou: ${this.record.model} finds each object once; leave it out`);
    }
    const most = whole("maximum", maximum ?? port("maximum")?.default ?? Number.NaN, 0, 1_000_000);
    const { width, height, data } = rgbOf(await this.decoded(image));
    const found = await this.run(
      ability,
      {
        image: { type: "uint8", shape: [height, width, 3], data },
        // One more than counts: so it is known whether any is left out.
        maximum: valuesOf("int64", [most + 1]),
        ...(confidence !== undefined && { confidence: valuesOf("float32", [confidence]) }),
        ...(iou !== undefined && { iou: valuesOf("float32", [iou]) }),
      },
      signal,
    );
    const scores = Array.from(numbersOf(output(found, "scores")));
    const boxes = numbersOf(output(found, "boxes"));
    const classes = numbersOf(output(found, "classes"));
    const { landmarks } = found;
    const points = landmarks && numbersOf(landmarks);
    const perObject = landmarks?.shape[1] ?? 0;
    const at = (values: ArrayLike<number>, i: number): number => values[i] ?? Number.NaN;
    const objects = scores.slice(0, most).map((score, i) => {
      const label = at(classes, i);
      return {
        box: [at(boxes, 4 * i), at(boxes, 4 * i + 1), at(boxes, 4 * i + 2), at(boxes, 4 * i + 3)] as const,
        score,
        class: label,
        label: this.record.classes?.[label] ?? String(label),
        ...(points !== undefined && {
          landmarks: Array.from({ length: perObject }, (_, k) => {
            const first = 2 * (i * perObject + k);
            return [at(points, first), at(points, first + 1)] as const;
          }),
        }),
      };
    });
    return { width, height, objects, cut: scores.length > most };
  }

  /** Samples that a graph reads, in batches: runs each, and gathers one of its outputs. */
  private async eachBatch(
    work: Extract<Work, { kind: "score" | "embed" }>,
    signal: AbortSignal | undefined,
    take: (values: Values) => void,
  ): Promise<readonly string[] | undefined> {
    const { samples, options, kind } = work;
    checkNames(kind, options, { firstRow: true, batchSize: true } satisfies NamesOf<typeof options>);
    const ability = this.ability(kind);
    const ports = required(ability.inputs);
    const [first] = ports;
    const sides = first && imageSides(first);
    const isNumbered = ability.inputs.some(({ name, optional }) => optional === true && name === "firstRow");
    const begin = whole("firstRow", options.firstRow ?? 0, 0, Number.MAX_SAFE_INTEGER);
    const { rows } = samples;
    const { model } = this.record;
    if (first === undefined) throw new DataError(`model.json: ${kind} takes nothing`);
    if (rows !== undefined && sides !== undefined) throw new DataError(`${model} takes images, not rows`);
    if (rows === undefined && sides === undefined) throw new DataError(`${model} takes rows, not images`);
    const count = rows?.length ?? (samples as { readonly images: readonly ImageInput[] }).images.length;
    const size = this.batchSize(sides, options.batchSize);
    const [result] = ability.outputs;
    for (let row = 0; row < count; row += size) {
      const end = Math.min(count, row + size);
      const own =
        rows !== undefined
          ? feedsOfRows(ports, rows.slice(row, end), row)
          : await this.imageFeeds(
              first,
              (samples as { images: readonly ImageInput[] }).images.slice(row, end),
            );
      const numbered = isNumbered ? { firstRow: valuesOf("int64", [begin + row]) } : {};
      const found = await this.run(ability, { ...own, ...numbered }, signal);
      take(output(found, result?.name ?? ""));
    }
    return rows && ignoredColumns(ports, rows);
  }

  private batchSize(
    sides: { readonly height: number; readonly width: number; readonly channels: number } | undefined,
    given: number | undefined,
  ): number {
    if (given !== undefined) return whole("batchSize", given, 1, 1_000_000);
    if (sides === undefined) return BATCH_ROWS;
    const fit = Math.floor(BATCH_NUMBERS / (sides.height * sides.width * sides.channels));
    return Math.max(1, Math.min(BATCH_IMAGES, fit));
  }

  private async imageFeeds(
    port: ExportedPort,
    images: readonly ImageInput[],
  ): Promise<Readonly<Record<string, Values>>> {
    const { height = 1, width = 1, channels = 1 } = imageSides(port) ?? {};
    const size = height * width * channels;
    const data = new Uint8Array(images.length * size);
    for (const [i, image] of images.entries()) {
      data.set(fitted(await this.decoded(image), { width, height, channels }).data, i * size);
    }
    return { [port.name]: { type: "uint8", shape: [images.length, height, width, channels], data } };
  }

  private async score(work: Extract<Work, { kind: "score" | "embed" }>, signal: AbortSignal | undefined) {
    const nats: (number | null)[] = [];
    const ignored = await this.eachBatch(work, signal, (values) => {
      for (const value of Array.from(numbersOf(values))) nats.push(Number.isFinite(value) ? value : null);
    });
    return {
      logLikelihood: nats,
      ...(ignored !== undefined && ignored.length > 0 && { ignoredColumns: ignored }),
    };
  }

  private async embed(work: Extract<Work, { kind: "score" | "embed" }>, signal: AbortSignal | undefined) {
    const parts: Values[] = [];
    await this.eachBatch(work, signal, (values) => parts.push(values));
    const rest = parts[0]?.shape.slice(1) ?? [];
    const count = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
    const data = new Float32Array(count * sizeOf(rest));
    let at = 0;
    for (const part of parts) {
      data.set(numbersOf(part), at);
      at += part.data.length;
    }
    return { features: { shape: [count, ...rest], data } satisfies Numbers };
  }

  private async impute(
    rows: readonly Row[],
    options: Plain<ImputeOptions>,
    signal: AbortSignal | undefined,
  ): Promise<Imputed> {
    checkNames("impute", options, { draws: true, seed: true, label: true, steps: true } satisfies NamesOf<
      typeof options
    >);
    const ability = this.ability("impute");
    const { draws = 5, seed = 0, steps } = options;
    whole("draws", draws, 1, 1_000_000);
    whole("seed", seed, 0, Number.MAX_SAFE_INTEGER);
    if (steps !== undefined) whole("steps", steps, 1, 1_000_000);
    return {
      rows: await imputed(this.record, ability, rows, options, (part, feeds) =>
        this.run(part, feeds, signal),
      ),
    };
  }

  /** The classes of samples. @throws OptionError where the model wants some and none is given */
  private labelFeeds(
    ports: readonly ExportedPort[],
    label: SampleOptions["label"],
    total: number,
    first: number,
    count: number,
  ): Readonly<Record<string, Values>> {
    const port = ports.find(({ name, type }) => name === "label" && type === "int64");
    const { model, classes = [] } = this.record;
    if (port === undefined) {
      if (label === undefined) return {};
      throw new OptionError(`option label: ${model} draws samples without a class; leave it out`);
    }
    const chosen = label ?? port.default;
    if (chosen === undefined) {
      throw new OptionError(
        `option label: ${model} draws samples of a class: give its number, 0 to ${classes.length - 1}`,
      );
    }
    if (typeof chosen !== "number" && chosen.length !== total) {
      throw new OptionError(`option label: ${chosen.length} classes for ${total} samples`);
    }
    const labels = Array.from({ length: count }, (_, i) =>
      typeof chosen === "number" ? chosen : (chosen[first + i] ?? -1),
    );
    // The number that stands for any class is none to ask for.
    for (const one of label === undefined ? [] : labels) whole("label", one, 0, classes.length - 1);
    return { [port.name]: valuesOf("int64", labels) };
  }

  private async sample(options: Plain<SampleOptions>, inSteps: boolean, watch: Watch): Promise<Samples> {
    checkNames("sample", options, {
      count: true,
      seed: true,
      label: true,
      noise: true,
      batchSize: true,
    } satisfies NamesOf<typeof options>);
    const ability = this.ability("sample");
    const { label, noise = {} } = options;
    const count = whole("count", options.count ?? 1, 0, MOST_SAMPLES);
    const seed = whole("seed", options.seed ?? 0, 0, Number.MAX_SAFE_INTEGER);
    const [image] = ability.outputs;
    const sides = image && imageSides(image);
    if (inSteps && ability.steps === undefined) {
      throw new AbilityError(
        `the exported ${this.record.model} draws samples in one run, which shows no steps; leave onStep out`,
      );
    }
    const ports = required(ability.inputs);
    const known = ports.find((port) => port.noise === undefined && port.name !== "label");
    if (known !== undefined)
      throw new DataError(`model.json: sample takes ${known.name}, which is unknown here`);
    const parts: Samples[] = [];
    // Whoever sees steps sees all samples at once.
    const size = inSteps ? Math.max(1, count) : this.batchSize(sides, options.batchSize);
    for (let first = 0; first < count; first += size) {
      const rows = Math.min(size, count - first);
      const feeds = {
        ...noiseFeeds(ports, noise, count, { seed, first, count: rows }),
        ...this.labelFeeds(ports, label, count, first, rows),
      };
      const found = inSteps
        ? await this.inSteps(ability, feeds, rows, watch)
        : await this.run(ability, feeds, watch.signal);
      parts.push(this.samplesOf(ability, found, rows));
    }
    return this.joined(ability, parts);
  }

  /** Runs the steps of a sampler one by one, and shows samples on their way. @returns the outputs of the last */
  private async inSteps(
    ability: ExportedAbility,
    feeds: Readonly<Record<string, Values>>,
    rows: number,
    { signal, onStep }: Watch,
  ): Promise<Readonly<Record<string, Values>>> {
    const { steps } = ability;
    if (steps === undefined) return this.run(ability, feeds, signal);
    let found: Readonly<Record<string, Values>> = {};
    const { count, each } = steps;
    const all = Math.ceil(count / each);
    for (let step = 0; step < all; step++) {
      const [first, last] = [step * each, Math.min(count, (step + 1) * each)];
      const noise = steps.noise === undefined ? undefined : feeds[steps.noise];
      found = await this.run(
        ability,
        {
          ...feeds,
          ...(step > 0 && { [steps.input]: output(found, steps.state) }),
          ...(noise && { [steps.noise ?? ""]: ofRounds(noise, first, last) }),
          [steps.first]: valuesOf("int64", [first]),
          [steps.last]: valuesOf("int64", [last]),
        },
        signal,
      );
      onStep?.({ ...this.samplesOf(ability, found, rows), done: step + 1, steps: all });
    }
    return found;
  }

  /** Outputs of a sampler as samples. */
  private samplesOf(
    { outputs }: ExportedAbility,
    found: Readonly<Record<string, Values>>,
    count: number,
  ): Samples {
    const [image] = outputs;
    const sides = image && imageSides(image);
    if (image === undefined || sides === undefined) {
      const columns = outputs.filter(({ shape }) => shape.length === 1 && shape[0] === ROWS);
      return { rows: rowsOfOutputs(columns, found, count) };
    }
    const { height, width, channels } = sides;
    const bytes = numbersOf(output(found, image.name));
    const data = new Uint8Array(bytes.length);
    const pixels = height * width;
    for (let i = 0; i < data.length; i++) {
      const [channel, place] = [i % channels, Math.floor(i / channels)];
      const [sample, pixel] = [Math.floor(place / pixels), place % pixels];
      data[(sample * channels + channel) * pixels + pixel] = bytes[i] ?? 0;
    }
    return { samples: { shape: [count, channels, height, width], data } };
  }

  private joined(ability: ExportedAbility, parts: readonly Samples[]): Samples {
    const [only] = parts;
    if (parts.length === 1 && only !== undefined) return only;
    const [image] = ability.outputs;
    const sides = image && imageSides(image);
    if (sides === undefined) return { rows: parts.flatMap(({ rows = [] }) => rows) };
    const { height, width, channels } = sides;
    const whole = parts.flatMap(({ samples }) => (samples === undefined ? [] : [samples]));
    const data = new Uint8Array(whole.reduce((sum, part) => sum + part.data.length, 0));
    let at = 0;
    for (const part of whole) {
      data.set(part.data, at);
      at += part.data.length;
    }
    const count = whole.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
    return { samples: { shape: [count, channels, height, width], data } };
  }

  /** Frees the memory of its graphs. */
  async release(): Promise<void> {
    const open = [...this.graphs.values()];
    this.graphs.clear();
    await Promise.all(open.map(async (graph) => (await graph.catch(() => undefined))?.release()));
  }
}
