import * as errors from "../errors.ts";
import type { ExportedAbilityName, ExportedModel } from "../model/exported.ts";
import type { Work } from "./engine.ts";
import type { ModelFiles, SampleStep } from "./types.ts";

// What a page and its worker say to each other.

/** What a worker loads, and how. */
export interface LoadRequest {
  /** An address in full, or files. */
  readonly source: string | ModelFiles;
  readonly needs: ExportedAbilityName | readonly ExportedAbilityName[] | undefined;
  readonly provider: string | undefined;
  readonly threads: number | undefined;
  readonly wasmPaths: string | undefined;
  readonly wasmBinary: Uint8Array | undefined;
}

/** From the page. */
export type Request =
  | { readonly kind: "load"; readonly id: number; readonly request: LoadRequest }
  | { readonly kind: "do"; readonly id: number; readonly work: Work; readonly inSteps: boolean }
  | { readonly kind: "abort"; readonly id: number };

/** An error as plain data. */
export interface SentError {
  readonly name: string;
  readonly message: string;
}

/** From the worker. */
export type Reply =
  | {
      readonly kind: "loaded";
      readonly id: number;
      readonly record: ExportedModel;
      readonly provider: string;
    }
  | { readonly kind: "done"; readonly id: number; readonly result: unknown; readonly provider: string }
  | { readonly kind: "step"; readonly id: number; readonly step: SampleStep }
  | { readonly kind: "failed"; readonly id: number; readonly error: SentError };

/** An error to be sent. */
export function sentError(error: unknown): SentError {
  return error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: "Error", message: String(error) };
}

/** An error that was sent, of the class that it was of. */
export function receivedError({ name, message }: SentError): Error {
  const known: Readonly<Record<string, unknown>> = { ...errors };
  const Kind = Object.hasOwn(known, name) ? known[name] : undefined;
  return typeof Kind === "function" && name.endsWith("Error")
    ? new (Kind as new (text: string) => Error)(message)
    : new Error(message);
}
