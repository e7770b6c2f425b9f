import type { Session } from "../program/program.ts";
import type { NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/graph.ts";

/** Properties of every model with codes. */
export interface Codes {
  /** Length of a code. */
  readonly dimensions: number;
  /** Whether codes of data are standard Gaussian: all of about the same norm, so that paths between them should keep it. */
  readonly hasGaussianCodes: boolean;
  /**
   * The condition under which codes are decoded, a row for each; undefined where the model is not conditional.
   * @param labels the class of each code
   * @param given values of the columns that the model is conditioned on, as it sees them: [1 or count, size]
   * @throws OptionError where the model is conditional and the classes or given values are missing
   */
  codeContext(
    labels: readonly (number | undefined)[],
    given?: NdArray<"float32">,
  ): NdArray<"float32"> | undefined;
}

/** A model that maps data to a code and back. */
export interface Codec extends Codes {
  /**
   * The code of each sample, [n, …sampleShape] in data units → [n, dimensions].
   * @param label classes [n] (int64), for models that are conditional on them
   */
  encode(x: Tensor, label?: Tensor): Tensor;
  /**
   * Samples in data units from codes. Images are not rounded.
   * @param context rows that `codeContext` has made, for models that are conditional
   */
  decode(z: Tensor, context?: Tensor): Tensor;
}

/** Solvers that map data to codes and back. */
export const CODE_SOLVERS = ["heun", "ddim"] as const;

export type CodeSolverName = (typeof CODE_SOLVERS)[number];

/** How a solver maps data to codes or back. */
export interface CodeSolverOptions {
  /** Default: heun. */
  readonly solver?: CodeSolverName;
  /** Default: the solver's own number. */
  readonly steps?: number;
  /** Called with the share that is done, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

export interface EncodeArrayOptions extends CodeSolverOptions {
  /** Class of each sample, for conditional models. */
  readonly label?: readonly number[] | undefined;
}

export interface DecodeArrayOptions extends CodeSolverOptions {
  /** Rows that `codeContext` has made, for conditional models. */
  readonly context?: NdArray<"float32"> | undefined;
}

/** A model whose codes are found by a solver, which runs step by step on a session. */
export interface SolverCodec extends Codes {
  /** Whether samples have codes without a class, in models that are conditional too. */
  readonly hasClasslessCodes: boolean;
  /** The code of each sample, [n, …sampleShape] in data units → [n, dimensions]. */
  encodeArray(
    session: Session,
    x: NdArray<"float32">,
    options?: EncodeArrayOptions,
  ): Promise<NdArray<"float32">>;
  /** Samples in data units from codes. Images are not rounded. */
  decodeArray(
    session: Session,
    z: NdArray<"float32">,
    options?: DecodeArrayOptions,
  ): Promise<NdArray<"float32">>;
}

/** Whether a model has codes of either kind. */
export function hasCodes(model: Partial<Codec> & Partial<SolverCodec>): boolean {
  return (
    (model.encode ?? model.encodeArray) !== undefined && (model.decode ?? model.decodeArray) !== undefined
  );
}
