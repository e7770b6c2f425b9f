import { extname } from "node:path";
import { readNpy, writeNpy } from "../../data/files/arrays.node.ts";
import type { CsvWriting } from "../../data/files/csv.ts";
import type { Column } from "../../data/sources/columns.ts";
import type { SplitName } from "../../data/sources/data-set.ts";
import { columnNames, streamTable } from "../../data/table/stream.node.ts";
import { writeTable } from "../../data/table/write.node.ts";
import { DataError, OptionError } from "../../errors.ts";
import type { Codec, CodeSolverOptions, Codes } from "../../model/codes.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { encodeGiven, type GivenValues, isGivenColumns } from "../run/given.node.ts";
import { readSource, SOURCE_BATCH, type Source } from "../run/inputs.node.ts";
import { isClassConditional, type LoadedRun, refuse } from "../run/load.node.ts";
import { checkExtension } from "../run/outputs.node.ts";

/** How codes may be written and read. */
const CODE_EXTENSIONS = [".npy", ".csv", ".parquet"] as const;

/** Checks before any work that codes can be written, or read, under this name. @throws OptionError */
export function checkCodePath(path: string, option: string): void {
  checkExtension(path, CODE_EXTENSIONS, option);
}

/** Codes of consecutive samples. */
export interface CodeBatch {
  readonly firstRow: number;
  /** [count, dimensions]. */
  readonly z: NdArray<"float32">;
  /** Paths of the images within their folder. */
  readonly files?: readonly string[];
}

/**
 * Writes codes by the file's extension: .npy the array [count, dimensions], .csv and .parquet a table with the columns
 * z0, z1, … and, for images of a folder, file.
 * @returns how many there were
 * @throws OptionError for another extension; FileError
 */
export async function writeCodes(
  path: string,
  batches: AsyncIterable<CodeBatch>,
  writing?: CsvWriting,
): Promise<number> {
  checkCodePath(path, "option out");
  let count = 0;
  if (extname(path).toLowerCase() === ".npy") {
    const parts: NdArray<"float32">[] = [];
    for await (const { z } of batches) parts.push(z);
    const width = parts[0]?.shape[1] ?? 0;
    count = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
    const data = new Float32Array(count * width);
    let at = 0;
    for (const part of parts) {
      data.set(part.data, at);
      at += part.data.length;
    }
    await writeNpy(path, float32(data, [count, width]));
    return count;
  }
  const iterator = batches[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done) throw new OptionError("there is nothing to encode");
  const { z, files } = first.value;
  const names = Array.from({ length: z.shape[1] ?? 0 }, (_, i) => `z${i}`);
  async function* rows() {
    for (let batch = first; !batch.done; batch = await iterator.next()) {
      const { z, files } = batch.value;
      const [held = 0, width = 0] = z.shape;
      for (let row = 0; row < held; row++, count++) {
        const code = z.data.subarray(row * width, (row + 1) * width);
        yield [...(files === undefined ? [] : [files[row] ?? ""]), ...code];
      }
    }
  }
  await writeTable(path, files === undefined ? names : ["file", ...names], rows(), undefined, writing);
  return count;
}

/**
 * Reads codes as `writeCodes` writes them: [count, dimensions].
 * @throws DataError where the file is missing, cannot be read or holds codes of another length
 */
async function readCodes(path: string, dimensions: number): Promise<NdArray<"float32">> {
  checkCodePath(path, "codes");
  const wrong = (found: string) =>
    new DataError(`${path}: ${found}; codes of this run are rows of ${dimensions} numbers`);
  if (extname(path).toLowerCase() === ".npy") {
    const { data, shape, dtype } = await readNpy(path);
    if (shape.length !== 2 || shape[1] !== dimensions) throw wrong(`has shape [${shape}]`);
    if (dtype === "int64") throw wrong("holds whole numbers (int64)");
    return float32(Float32Array.from(data as Float32Array | Float64Array | Uint8Array), shape);
  }
  const names = (await columnNames({ path })).filter((name) => name !== "file");
  if (names.length !== dimensions) throw wrong(`has ${names.length} columns`);
  const columns = names.map((name): Column => ({ kind: "numeric", name, mean: 0, deviation: 1 }));
  const parts: Float32Array[] = [];
  for await (const { x } of streamTable({ path }, columns)) parts.push(x.data);
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return float32(data, [data.length / dimensions, dimensions]);
}

/** The codes of a run's model, by one graph or by a solver. */
export interface RunCodec extends Codes {
  /** Whether each sample and code must be given its class. */
  readonly needsClass: boolean;
  /** Codes of samples in data units, [n, …sampleShape] → [n, dimensions]. */
  encode(x: NdArray<"float32">, labels?: readonly number[]): Promise<NdArray<"float32">>;
  /** Samples in data units from codes. @param context as `codeContext` makes it */
  decode(z: NdArray<"float32">, context?: NdArray<"float32">): Promise<NdArray<"float32">>;
}

/**
 * The model of a run as a codec.
 * @throws OptionError where it has no codes, or options of a solver are given to one that takes none
 */
export function codecOf(run: LoadedRun, what: string, options: CodeSolverOptions = {}): RunCodec {
  const { model, session } = run;
  const { encode, decode, encodeArray, decodeArray, dimensions, codeContext } = model;
  if (dimensions === undefined || codeContext === undefined) return refuse(run, what);
  const codes = {
    dimensions,
    hasGaussianCodes: model.hasGaussianCodes ?? false,
    codeContext: codeContext.bind(model),
  };
  const isConditional = isClassConditional(run);
  if (encodeArray && decodeArray) {
    return {
      ...codes,
      needsClass: isConditional && model.hasClasslessCodes !== true,
      encode: (x, label) => encodeArray.call(model, session, x, { ...options, label }),
      decode: (z, context) => decodeArray.call(model, session, z, { ...options, context }),
    };
  }
  if (!encode || !decode) return refuse(run, what);
  if (options.solver !== undefined || options.steps !== undefined) {
    throw new OptionError(
      `option ${options.solver === undefined ? "solverSteps" : "solver"}: codes of ${run.config.model} are made without a solver; leave it out`,
    );
  }
  const codec: Codec = { ...codes, encode: encode.bind(model), decode: decode.bind(model) };
  return {
    ...codes,
    needsClass: isConditional,
    encode: (x, labels) => encodeInGraph(run, codec, x, labels),
    decode: (z, context) => decodeInGraph(run, codec, z, context),
  };
}

/** @throws OptionError where a class is named that the model does not know */
export function checkLabel(run: LoadedRun, label: number | undefined): void {
  if (label === undefined) return;
  const { classes = 0 } = run.config.dataInfo;
  if (!isClassConditional(run)) {
    throw new OptionError(`option label: ${run.config.model} was fitted without classes`);
  }
  if (label >= classes) {
    throw new OptionError(`option label: must be a class from 0 to ${classes - 1}, not ${label}`);
  }
}

/** An array filled up with zeros to a number of rows, so that one program serves all batches. */
function paddedRows(array: NdArray<"float32">, rows: number): NdArray<"float32"> {
  if (array.shape[0] === rows) return array;
  const size = elementCount(array.shape.slice(1));
  const data = new Float32Array(rows * size);
  data.set(array.data.subarray(0, rows * size));
  return float32(data, [rows, ...array.shape.slice(1)]);
}

/** Rows `first` … `first + count − 1` of an array. */
function rowsOf(array: NdArray<"float32">, first: number, count: number): NdArray<"float32"> {
  const size = elementCount(array.shape.slice(1));
  return float32(array.data.subarray(first * size, (first + count) * size), [count, ...array.shape.slice(1)]);
}

/** How samples are encoded. */
export interface EncodeOptions {
  readonly seed?: number;
  readonly split?: SplitName;
  /** Class of all samples, for conditional models; default: the classes of the data, where the model needs some. */
  readonly label?: number | undefined;
  /** How a solver leads to codes, for models whose codes take one. */
  readonly codes?: CodeSolverOptions | undefined;
  readonly onUnreadable?: (file: string) => void;
}

/** Codes of samples by a model that has them in one graph. */
async function encodeInGraph(
  { session }: LoadedRun,
  codec: Codec,
  x: NdArray<"float32">,
  labels?: readonly number[],
): Promise<NdArray<"float32">> {
  const compiled = session.compiled(codec, "encode", ["x", "label?"], ({ x, label }) => ({
    z: codec.encode(x, label),
  }));
  const count = x.shape[0] ?? 0;
  const codes = new Float32Array(count * codec.dimensions);
  const rows = Math.min(SOURCE_BATCH, count);
  for (let first = 0; first < count; first += rows) {
    const held = Math.min(rows, count - first);
    const label = labels && BigInt64Array.from({ length: rows }, (_, i) => BigInt(labels[first + i] ?? 0));
    const { z } = await compiled.run({
      x: paddedRows(rowsOf(x, first, held), rows),
      ...(label !== undefined && { label: { dtype: "int64", shape: [rows], data: label } as const }),
    });
    codes.set((z.data as Float32Array).subarray(0, held * codec.dimensions), first * codec.dimensions);
  }
  return float32(codes, [count, codec.dimensions]);
}

/** Samples from codes by a model that has them in one graph. */
async function decodeInGraph(
  { session, config }: LoadedRun,
  codec: Codec,
  z: NdArray<"float32">,
  context?: NdArray<"float32">,
): Promise<NdArray<"float32">> {
  const compiled = session.compiled(codec, "decode", ["z", "context?"], ({ z, context }) => ({
    x: codec.decode(z, context),
  }));
  const count = z.shape[0] ?? 0;
  const rows = Math.min(SOURCE_BATCH, count);
  const size = elementCount(config.dataInfo.sampleShape);
  const samples = new Float32Array(count * size);
  for (let first = 0; first < count; first += rows) {
    const held = Math.min(rows, count - first);
    const { x } = await compiled.run({
      z: paddedRows(rowsOf(z, first, held), rows),
      ...(context !== undefined && { context: paddedRows(rowsOf(context, first, held), rows) }),
    });
    samples.set((x.data as Float32Array).subarray(0, held * size), first * size);
  }
  return float32(samples, [count, ...config.dataInfo.sampleShape]);
}

/** Codes of samples in data units, [count, …sampleShape], of the given classes. @throws OptionError as `codecOf` */
export function encodeSamples(
  run: LoadedRun,
  x: NdArray<"float32">,
  labels?: readonly number[],
  options?: CodeSolverOptions,
): Promise<NdArray<"float32">> {
  return codecOf(run, "encode", options).encode(x, labels);
}

/**
 * Samples in data units from codes [count, dimensions].
 * @param context what each is decoded under, [count, size], as `codeContext` makes it
 * @throws OptionError as `codecOf`
 */
export function decodeCodes(
  run: LoadedRun,
  z: NdArray<"float32">,
  context?: NdArray<"float32">,
  options?: CodeSolverOptions,
): Promise<NdArray<"float32">> {
  return codecOf(run, "decode", options).decode(z, context);
}

/**
 * Codes of the samples of some data, batch by batch, as `readSource` reads it.
 * @throws OptionError where the model has no codes, or needs a class and none is known; DataError
 */
export async function* encodeRun(
  run: LoadedRun,
  source: Source | undefined,
  options: EncodeOptions = {},
): AsyncGenerator<CodeBatch> {
  const { label, codes, ...reading } = options;
  const codec = codecOf(run, "encode", codes);
  checkLabel(run, label);
  const batches = readSource(run, source, { ...reading, labels: codec.needsClass && label === undefined });
  for await (const { x, firstRow, files, label: known } of batches) {
    const labels =
      label === undefined
        ? known && Array.from(known.data, Number)
        : new Array<number>(x.shape[0] ?? 0).fill(label);
    yield {
      firstRow,
      // Every batch but the last is full, so that two programs serve all.
      z: await codec.encode(x, codec.needsClass || label !== undefined ? labels : undefined),
      ...(files !== undefined && { files }),
    };
  }
}

/** How a file of codes is decoded. */
export interface DecodeOptions {
  /** Class of all samples. */
  readonly label?: number | undefined;
  /** Values of the columns that the model is conditioned on. */
  readonly given?: GivenValues | undefined;
  /** How a solver leads to samples, for models whose codes take one. */
  readonly codes?: CodeSolverOptions | undefined;
}

/**
 * Decodes codes [n, dimensions], or a file of them.
 * @throws OptionError where the model has no codes, or is conditional and given no condition; DataError
 */
export async function decodeRun(
  run: LoadedRun,
  source: string | NdArray<"float32">,
  { label, given, codes }: DecodeOptions = {},
): Promise<NdArray<"float32">> {
  const codec = codecOf(run, "decode", codes);
  checkLabel(run, label);
  const z = typeof source === "string" ? await readCodes(source, codec.dimensions) : source;
  const labels = new Array<number | undefined>(z.shape[0] ?? 0).fill(label);
  const columns =
    given !== undefined || isGivenColumns(run.config)
      ? encodeGiven(run.config, given ?? {}, { count: 1, seed: 0 })
      : undefined;
  return codec.decode(z, codec.codeContext(labels, columns));
}
