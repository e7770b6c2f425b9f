import { OptionError } from "../errors.ts";
import type { ExportedAbilityName, ExportedModel } from "../model/exported.ts";
import { refuseAbility, type Watch, type Work } from "./engine.ts";
import type {
  CallOptions,
  DetectOptions,
  ImageInput,
  Imputed,
  ImputeOptions,
  Loaded,
  Methods,
  Model,
  Row,
  SampleOptions,
  Samples,
  Scored,
  ScoreOptions,
} from "./types.ts";

/** What does the work of a model: its engine, or a worker with one. */
export interface Executor {
  readonly record: ExportedModel;
  readonly provider: string;
  readonly inWorker: boolean;
  do(work: Work, watch: Watch): Promise<unknown>;
  release(): Promise<void>;
}

/** What a promise comes to, unless a signal ends first. @throws the reason of the signal, at once */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Whether the samples of an ability are images. */
function takesImages({ abilities }: ExportedModel, name: "score" | "embed"): boolean {
  const [first] = abilities[name]?.inputs ?? [];
  return first?.type === "uint8" && first.shape.length === 4;
}

const listOf = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]);

/** Abilities of eidos that no file has, and that a program may ask for. */
const OTHERS = ["inpaint", "edit"] as const;

/**
 * A model over what does its work. Each method is there, and one of what the model cannot do throws an AbilityError with the reason; types show what is
 * known to be there.
 */
export function modelOf<A extends ExportedAbilityName>(executor: Executor): Model<A> {
  const { record } = executor;
  let released = false;
  const work = async (asked: Work, { signal, onStep }: Watch): Promise<unknown> => {
    if (record.abilities[asked.kind] === undefined) refuseAbility(record, asked.kind);
    if (released) throw new OptionError(`the model ${record.model} has been released; load it again`);
    signal?.throwIfAborted();
    return abortable(executor.do(asked, { signal, onStep }), signal);
  };
  const plain = <O extends CallOptions>({ signal: _, ...options }: O): Omit<O, "signal"> => options;
  const samplesOf = (
    kind: "score" | "embed",
    samples: readonly Row[] | ImageInput | readonly ImageInput[],
  ) =>
    takesImages(record, kind)
      ? { images: listOf(samples as ImageInput | readonly ImageInput[]) }
      : { rows: listOf(samples as Row | readonly Row[]) };
  const methods: Methods = {
    detect: (async (images: ImageInput | readonly ImageInput[], options: DetectOptions = {}) => {
      const asked = { kind: "detect", images: listOf<ImageInput>(images), options: plain(options) } as const;
      const found = (await work(asked, options)) as readonly unknown[];
      return Array.isArray(images) ? found : found[0];
    }) as Methods["detect"],
    score: async (samples, options: ScoreOptions = {}) => {
      const asked = { kind: "score", samples: samplesOf("score", samples), options: plain(options) } as const;
      return (await work(asked, options)) as Scored;
    },
    embed: async (samples, options: ScoreOptions = {}) => {
      const asked = { kind: "embed", samples: samplesOf("embed", samples), options: plain(options) } as const;
      return (await work(asked, options)) as Awaited<ReturnType<Methods["embed"]>>;
    },
    impute: async (rows, options: ImputeOptions = {}) => {
      const asked = { kind: "impute", rows: listOf<Row>(rows), options: plain(options) } as const;
      return (await work(asked, options)) as Imputed;
    },
    sample: async (options: SampleOptions = {}) => {
      const { onStep, ...own } = plain(options);
      const asked = { kind: "sample", options: own, inSteps: onStep !== undefined } as const;
      return (await work(asked, options)) as Samples;
    },
  };
  const loaded: Omit<Loaded, "can"> & { can(ability: string): boolean } = {
    model: record.model,
    data: record.data,
    kind: record.kind,
    classes: record.classes ?? [],
    abilities: Object.keys(record.abilities) as ExportedAbilityName[],
    record,
    get provider() {
      return executor.provider;
    },
    inWorker: executor.inWorker,
    can: (ability) => Object.hasOwn(record.abilities, ability),
    async release() {
      released = true;
      await executor.release();
    },
    async [Symbol.asyncDispose]() {
      await loaded.release();
    },
  };
  const others = Object.fromEntries(
    OTHERS.map((name) => [name, async (): Promise<never> => refuseAbility(record, name)]),
  );
  return Object.assign(loaded, methods, others) as unknown as Model<A>;
}
