import { type DownloadProgress, offlineReason, remoteFile } from "../../data/files/download.node.ts";
import { FILE_KINDS, readBytes } from "../../data/files/files.node.ts";
import { isRemote, remoteSource, shownSource } from "../../data/files/source.ts";
import { OptionError } from "../../errors.ts";
import { readWeights } from "../../nn/weights.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { locatedWeights } from "./run-data.node.ts";

// The weights that a run begins with: a file of this machine, or one that is fetched into the cache.

/** How weights that are elsewhere are had. */
export interface WeightsAccess {
  /** True where only the cache may be used, as `EIDOS_OFFLINE` says for all runs. */
  readonly offline?: boolean | undefined;
  /** Whether the user has asked for these weights; a run folder that asks for them is nobody's word. */
  readonly asked: boolean;
  /** Folder of a run that began with them: they must be those of its record. */
  readonly run?: string;
  readonly signal?: AbortSignal;
  readonly onDownload?: (progress: DownloadProgress) => void;
  readonly onWarning?: (message: string) => void;
}

/** The option `offline` as it is given. @throws OptionError where it is neither true nor false */
export function offlineOption(given: unknown): boolean | undefined {
  if (given === undefined || typeof given === "boolean") return given;
  throw new OptionError(`option offline: must be true or false, not ${JSON.stringify(given)}`);
}

/** Weights that are on this machine now. */
export interface StartingWeights {
  readonly path: string;
  /** What config.json keeps of weights that were fetched; undefined of other ones. */
  readonly record: RunConfig["weights"];
  /** Lines for a person: where they are from. */
  readonly notes: readonly string[];
}

/**
 * The weights that a run begins with; undefined where it begins with random ones. Those behind an address or on the hub are taken from the cache
 * without any request, or fetched into it where the user has asked for them.
 * @throws DownloadError where they cannot be had, or requests are forbidden; OptionError where the run that began with them has kept no checksum
 */
export async function startingWeights(
  config: RunConfig,
  { offline, asked, run, signal, onDownload, onWarning }: WeightsAccess,
): Promise<StartingWeights | undefined> {
  const text = config.fit.weights;
  if (text === undefined || !isRemote(text)) {
    const path = await locatedWeights(config);
    return path === undefined ? undefined : { path, record: undefined, notes: [] };
  }
  const expected = run === undefined ? undefined : expectedOf(config, run);
  const notAsked = asked
    ? undefined
    : `it is the run that asks for it: where you know the address, fetch it with --download, resumeFit(folder, { trust: { download: true } })`;
  const file = await remoteFile(remoteSource(text), {
    kind: { ...FILE_KINDS.array, what: "a file of weights" },
    forbidden: offlineReason(offline) ?? notAsked,
    expected,
    check: async (path, name) => {
      readWeights(await readBytes(path), name);
    },
    signal,
    onProgress: onDownload,
    onWarning,
  });
  const { path, url, sha256, bytes, revision, fetched, cached } = file;
  const commit = revision === undefined ? "" : `, commit ${revision.slice(0, 10)}`;
  const size = `${(bytes / 1e6).toFixed(1)} MB`;
  return {
    path,
    record: { url, sha256, bytes, ...(revision !== undefined && { revision }) },
    notes: [
      cached
        ? `weights ${shownSource(text)}: from the cache, fetched ${fetched.slice(0, 10)}${commit} (${path})`
        : `weights ${shownSource(text)}: fetched, ${size}${commit}, SHA-256 ${sha256} (${path})`,
    ],
  };
}

/** The checksum of the weights that a run began with. @throws OptionError where it keeps none */
function expectedOf(
  { weights, fit }: RunConfig,
  run: string,
): { readonly sha256: string; readonly by: string } {
  if (weights !== undefined) return { sha256: weights.sha256, by: `the run ${run}` };
  throw new OptionError(
    `the run ${run} began with ${shownSource(fit.weights ?? "")} and keeps no checksum of it; fit into a new folder`,
  );
}
