import type { DownloadProgress } from "../../data/files/download.node.ts";
import type { DecodingProgress } from "../../data/image/decode-all.node.ts";
import { checkNames, type NamesOf } from "../../options.ts";
import type { FitProgress } from "../../train/fit-request.node.ts";
import type { FitBeginning, FitReports } from "./run-fit.node.ts";

/**
 * What a fit reports, and how it is stopped. A hook that throws ends the fit after the step under way, with its checkpoint; `fit` is then
 * rejected with what was thrown.
 */
export interface FitHooks {
  /** Called once, when model and data are there and the run folder is made. */
  readonly onBegin?: (beginning: FitBeginning) => void;
  /** Called about four times a second. */
  readonly onProgress?: (progress: FitProgress) => void;
  /** Called about four times a second while weights are fetched. */
  readonly onDownload?: (progress: DownloadProgress) => void;
  /** Called about four times a second while the images of a folder are decoded. */
  readonly onDecoding?: (progress: DecodingProgress) => void;
  /** Takes what went wrong without ending the fit. */
  readonly onWarning?: (message: string) => void;
  /**
   * Whether the processes of a job (mpirun, srun) share the batches of this fit, each of them making the same call; rank 0 then writes the
   * run, and the others call none of these hooks. Default: false.
   */
  readonly ranks?: boolean;
  /** Ends the fit after the step under way; its checkpoint is written. */
  readonly signal?: AbortSignal;
}

const HOOKS: NamesOf<FitHooks> = {
  onBegin: true,
  onProgress: true,
  onDownload: true,
  onDecoding: true,
  onWarning: true,
  ranks: true,
  signal: true,
};

/** Refuses hooks that no fit calls. @throws OptionError */
export function checkHooks(hooks: FitHooks): void {
  checkNames("fit", hooks, HOOKS);
}

/** Hooks of a fit that never throw into it. */
export interface GuardedHooks extends FitReports {
  /** Called with each failure of a hook. */
  onFailure?: () => void;
  /** Waits for hooks that return promises. @throws what the first hook threw that did */
  settle(): Promise<void>;
}

/**
 * Hooks that are called by a fit. One that throws, or whose promise is rejected, ends the fit in good order after the step under way: the
 * checkpoint is written, and what was thrown comes out of `settle`.
 */
export function guarded({
  onBegin,
  onProgress,
  onDownload,
  onDecoding,
  onWarning,
  signal,
}: FitHooks): GuardedHooks {
  const pending = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    hooks.onFailure?.();
  };
  const call = (work: () => unknown): void => {
    try {
      const result = work();
      if (!(result instanceof Promise)) return;
      const settled = result.then(() => undefined, fail).finally(() => pending.delete(settled));
      pending.add(settled);
    } catch (error) {
      fail(error);
    }
  };
  const hooks: GuardedHooks = {
    onBegin: (beginning) => call(() => onBegin?.(beginning)),
    onProgress: (progress) => call(() => onProgress?.(progress)),
    onDownload: (progress) => call(() => onDownload?.(progress)),
    onDecoding: (progress) => call(() => onDecoding?.(progress)),
    onWarning: (message) => call(() => onWarning?.(message)),
    shouldStop: () => failure !== undefined || signal?.aborted === true,
    async settle() {
      await Promise.all(pending);
      if (failure !== undefined) throw failure.error;
    },
  };
  return hooks;
}
