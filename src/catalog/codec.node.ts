import type { SplitName } from "../data/data-set.ts";
import { OptionError } from "../errors.ts";
import type { Codec } from "../nn/model.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import { type CodeBatch, readCodes } from "./codes.node.ts";
import { encodeGiven, type GivenValues, isGivenColumns } from "./given.node.ts";
import { type OpenRun, refuse } from "./run.node.ts";
import { isClassConditional } from "./score.node.ts";
import { readSource, SOURCE_BATCH } from "./source.node.ts";

/** The model of a run as a codec. @throws OptionError where it has no codes */
export function codecOf(run: OpenRun, what: string): Codec {
  const { encode, decode, dimensions, codeContext } = run.model;
  if (!encode || !decode || dimensions === undefined || codeContext === undefined) return refuse(run, what);
  const { model } = run;
  return {
    dimensions,
    hasGaussianCodes: model.hasGaussianCodes ?? false,
    encode: encode.bind(model),
    decode: decode.bind(model),
    codeContext: codeContext.bind(model),
  };
}

/** @throws OptionError where a class is named that the model does not tell apart */
export function checkLabel(run: OpenRun, label: number | undefined): void {
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
  /** Class of all samples, for conditional models; the classes of the data unless told. */
  readonly label?: number | undefined;
  readonly onUnreadable?: (file: string) => void;
}

/** Codes of samples in data units, [count, …sampleShape], of the given classes. @throws OptionError */
export async function encodeSamples(
  run: OpenRun,
  x: NdArray<"float32">,
  labels?: readonly number[],
): Promise<NdArray<"float32">> {
  const codec = codecOf(run, "encode");
  const compiled = run.session.compiled<string, "z">("encode", ({ x, label }) => {
    if (x === undefined) throw new OptionError("encoding takes samples");
    return { z: codec.encode(x, label) };
  });
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

/**
 * Codes of the samples of some data, batch by batch, as `readSource` reads it.
 * @throws OptionError where the model has no codes, or is conditional and no class is known; DataError
 */
export async function* encodeRun(
  run: OpenRun,
  source: string | undefined,
  options: EncodeOptions = {},
): AsyncGenerator<CodeBatch> {
  const { label, ...reading } = options;
  codecOf(run, "encode");
  checkLabel(run, label);
  const conditional = isClassConditional(run);
  const batches = readSource(run, source, { ...reading, labels: conditional && label === undefined });
  for await (const { x, firstRow, files, label: known } of batches) {
    const count = x.shape[0] ?? 0;
    const labels =
      label === undefined ? Array.from(known?.data ?? [], Number) : new Array<number>(count).fill(label);
    yield {
      firstRow,
      // Every batch but the last is full, so that two programs serve all.
      z: await encodeSamples(run, x, conditional ? labels : undefined),
      ...(files !== undefined && { files }),
    };
  }
}

/**
 * Samples in data units from codes [count, dimensions].
 * @param context what each is decoded under, [count, size], as `codeContext` makes it
 * @throws OptionError where the model has no codes
 */
export async function decodeCodes(
  run: OpenRun,
  z: NdArray<"float32">,
  context?: NdArray<"float32">,
): Promise<NdArray<"float32">> {
  const codec = codecOf(run, "decode");
  const compiled = run.session.compiled<string, "x">("decode", ({ z, context }) => {
    if (z === undefined) throw new OptionError("decoding takes codes");
    return { x: codec.decode(z, context) };
  });
  const count = z.shape[0] ?? 0;
  const rows = Math.min(SOURCE_BATCH, count);
  const size = elementCount(run.config.dataInfo.sampleShape);
  const samples = new Float32Array(count * size);
  for (let first = 0; first < count; first += rows) {
    const held = Math.min(rows, count - first);
    const { x } = await compiled.run({
      z: paddedRows(rowsOf(z, first, held), rows),
      ...(context !== undefined && { context: paddedRows(rowsOf(context, first, held), rows) }),
    });
    samples.set((x.data as Float32Array).subarray(0, held * size), first * size);
  }
  return float32(samples, [count, ...run.config.dataInfo.sampleShape]);
}

/**
 * Decodes a file of codes.
 * @param options.label class of all samples, and `given` values of the columns that the model is conditioned on
 * @throws OptionError where the model has no codes, or is conditional and not told on what; DataError
 */
export async function decodeRun(
  run: OpenRun,
  path: string,
  { label, given }: { readonly label?: number | undefined; readonly given?: GivenValues | undefined } = {},
): Promise<NdArray<"float32">> {
  const codec = codecOf(run, "decode");
  checkLabel(run, label);
  const z = await readCodes(path, codec.dimensions);
  const labels = new Array<number | undefined>(z.shape[0] ?? 0).fill(label);
  const columns =
    given !== undefined || isGivenColumns(run.config)
      ? encodeGiven(run.config, given ?? {}, { count: 1, seed: 0 })
      : undefined;
  return decodeCodes(run, z, codec.codeContext(labels, columns));
}
