import type { InferenceSession, Tensor } from "onnxruntime-common";
import { RuntimeError } from "../errors.ts";
import { refuseOtherFiles } from "./onnx-file.ts";
import type { TensorType, Values } from "./tensors.ts";

// ONNX Runtime as the rest needs it: graphs that take and give plain arrays, one run after the other.

/** An open graph. */
export interface Graph {
  run(feeds: Readonly<Record<string, Values>>): Promise<Readonly<Record<string, Values>>>;
  release(): Promise<void>;
}

/** What runs graphs. */
export interface Backend {
  /** What computes: it may change with the first run. */
  readonly provider: string;
  /** @throws DataError for what is no ONNX file; RuntimeError where it does not load */
  open(bytes: Uint8Array): Promise<Graph>;
}

/** What is used of ONNX Runtime's packages. */
export interface Ort {
  readonly InferenceSession: {
    create(model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: typeof Tensor;
}

/** Makes a call of the library. */
type Guard = <T>(call: () => Promise<T>) => Promise<T>;

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

const TYPES: readonly string[] = ["float32", "float64", "int64", "uint8", "string"] satisfies TensorType[];

function valuesOfTensor(name: string, tensor: Tensor): Values {
  if (!TYPES.includes(tensor.type)) throw new RuntimeError(`the output ${name} is of type ${tensor.type}`);
  return { type: tensor.type as TensorType, shape: tensor.dims, data: tensor.data as Values["data"] };
}

/**
 * A backend over one of ONNX Runtime's packages.
 * @param guard makes each call of the library
 */
export function ortBackend(
  ort: Ort,
  provider: string,
  options: InferenceSession.SessionOptions,
  guard: Guard = (call) => call(),
): Backend {
  // onnxruntime-web hangs where, with WebGPU, one run begins before another has ended.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(call: () => Promise<T>): Promise<T> => {
    const turn = last.then(() => guard(call));
    last = turn.catch(() => undefined);
    return turn;
  };
  return {
    provider,
    async open(bytes) {
      refuseOtherFiles(bytes);
      const failed = (what: string) => (cause: unknown) => {
        throw new RuntimeError(`${provider} cannot ${what}: ${messageOf(cause)}`, { cause });
      };
      const session = await inTurn(() => ort.InferenceSession.create(bytes, options)).catch(
        failed("load the file"),
      );
      return {
        async run(feeds) {
          const missing = session.inputNames.find((name) => !Object.hasOwn(feeds, name));
          if (missing !== undefined) {
            throw new RuntimeError(`the file takes the input ${missing}, which model.json does not name`);
          }
          const tensors = Object.fromEntries(
            Object.entries(feeds).map(([name, { type, data, shape }]) => [
              name,
              new ort.Tensor(type as "float32", data as Float32Array, [...shape]),
            ]),
          );
          const found = await inTurn(() => session.run(tensors)).catch(failed("run the file"));
          return Object.fromEntries(
            Object.entries(found).map(([name, tensor]) => [name, valuesOfTensor(name, tensor as Tensor)]),
          );
        },
        release: () => inTurn(() => session.release()),
      };
    },
  };
}

/** A backend that takes the place of another as soon as that one does not load or run a file. */
export function orElse(first: Backend, other: () => Promise<Backend>): Backend {
  let given: Promise<Backend> | undefined;
  let provider = first.provider;
  const second = async (): Promise<Backend> => {
    given ??= other();
    const backend = await given;
    provider = backend.provider;
    return backend;
  };
  return {
    get provider() {
      return provider;
    },
    async open(bytes) {
      if (given !== undefined) return (await second()).open(bytes);
      let graph: Graph;
      try {
        graph = await first.open(bytes);
      } catch (error) {
        if (!(error instanceof RuntimeError)) throw error;
        return (await second()).open(bytes);
      }
      // Until a run has ended well, the file is kept.
      let kept: Uint8Array | undefined = bytes;
      let replaced: Promise<Graph> | undefined;
      const replace = async (file: Uint8Array): Promise<Graph> => {
        const broken = graph;
        graph = await (await second()).open(file);
        await broken.release().catch(() => undefined);
        return graph;
      };
      return {
        async run(feeds) {
          if (replaced !== undefined) return (await replaced).run(feeds);
          try {
            const found = await graph.run(feeds);
            kept = undefined;
            return found;
          } catch (error) {
            if (!(error instanceof RuntimeError) || (kept === undefined && replaced === undefined))
              throw error;
            if (kept !== undefined) replaced ??= replace(kept);
            kept = undefined;
            return (await (replaced as Promise<Graph>)).run(feeds);
          }
        },
        release: () => graph.release(),
      };
    },
  };
}
