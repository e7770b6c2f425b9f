import { DownloadError, OptionError } from "../../errors.ts";
import { addressFault, type HubSource, type RemoteSource } from "./source.ts";

// Hugging Face's hub: where its files are, and what its answers mean. https://huggingface.co/docs/hub/api

type Environment = Readonly<Record<string, string | undefined>>;

const ENDPOINT = "https://huggingface.co";

/** Files of a model that hold its weights, likeliest first. */
const USUAL_FILES = ["model.safetensors", "pytorch_model.bin"] as const;

/** Where the hub is: `HF_ENDPOINT` as in huggingface_hub. @throws OptionError where that is no address that is fetched from */
export function hubEndpoint(env: Environment = process.env): URL {
  const { HF_ENDPOINT: given } = env;
  if (given === undefined || given === "") return new URL(ENDPOINT);
  if (!URL.canParse(given)) {
    throw new OptionError(`HF_ENDPOINT: ${JSON.stringify(given)} is no address, as in ${ENDPOINT}`);
  }
  const url = new URL(given);
  const fault = addressFault(url);
  if (fault !== undefined) throw new OptionError(`HF_ENDPOINT: ${fault}`);
  return url;
}

/**
 * The token of the user for the hub; undefined where there is none. It is sent to the hub's own host alone, and never printed.
 * @throws OptionError where it has characters that no token has
 */
export function hubToken(env: Environment = process.env): string | undefined {
  const token = env.HF_TOKEN?.trim();
  if (token === undefined || token === "") return undefined;
  if (/^[\x21-\x7e]{1,1000}$/.test(token)) return token;
  throw new OptionError("HF_TOKEN has characters that no token has, or is too long; set it anew");
}

/** The addresses at which the file of a source may be, likeliest first. */
export function addressesOf(source: RemoteSource, endpoint: URL): readonly string[] {
  if (source.kind === "url") return [source.url];
  const { owner, name, revision, file } = source;
  const base = `${endpoint.origin}${endpoint.pathname.replace(/\/+$/, "")}`;
  const files = file === undefined ? USUAL_FILES : [file];
  return files.map((path) => {
    const within = path.split("/").map(encodeURIComponent).join("/");
    return `${base}/${owner}/${name}/resolve/${encodeURIComponent(revision)}/${within}`;
  });
}

/** What the hub says of a file beside its bytes. */
export interface HubFacts {
  readonly sha256?: string;
  readonly bytes?: number;
  readonly commit?: string;
}

/** An entity tag without its quotes and its mark of weakness. */
const bare = (etag: string): string => etag.replace(/^W\//, "").replace(/^"|"$/g, "");

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * What an answer of the host that was asked first says of the file. Large files are named by their SHA-256.
 * @param isHub whether it is the hub, whose plain entity tags are checksums too
 */
export function hubFacts(headers: Headers, isHub: boolean): HubFacts {
  const tag = bare(headers.get("x-linked-etag") ?? (isHub ? (headers.get("etag") ?? "") : ""));
  const size = Number(headers.get("x-linked-size") ?? Number.NaN);
  const commit = headers.get("x-repo-commit") ?? "";
  return {
    ...(SHA256.test(tag) && { sha256: tag }),
    ...(Number.isSafeInteger(size) && size >= 0 && { bytes: size }),
    ...(/^[0-9a-f]{40}$/.test(commit) && { commit }),
  };
}

/** There is no such file at an address; another one may have it. */
export class NoSuchFileError extends DownloadError {}

/** What a refusal of a server means, and what to do. */
export function refusal(
  response: Pick<Response, "status" | "headers">,
  source: RemoteSource,
  sent: { readonly token: boolean; readonly endpoint: URL },
): DownloadError {
  const { status, headers } = response;
  const code = headers.get("x-error-code") ?? "";
  const page = source.kind === "hub" ? pageOf(source, sent.endpoint) : undefined;
  const answers = `the server answers ${status}`;
  if (page === undefined || source.kind !== "hub") {
    if (status === 404 || status === 410) return new NoSuchFileError(`${answers}: there is no such file`);
    const why = status === 401 || status === 403 ? ": it does not give it to everybody" : "";
    return new DownloadError(`${answers}${why}`);
  }
  const access = `ask for access at ${page}${sent.token ? " with the account of your HF_TOKEN" : ", and set HF_TOKEN to a token of yours"}`;
  if (code === "GatedRepo") return new DownloadError(`${answers}: the model is gated; ${access}`);
  if (status === 403) return new DownloadError(`${answers}; where the model is gated, ${access}`);
  if (code === "RevisionNotFound") {
    return new DownloadError(`${answers}: the model has no branch, tag or commit ${source.revision}`);
  }
  if (code === "RepoNotFound" || status === 401) {
    const token = sent.token
      ? "your HF_TOKEN gives no access to it, or has expired"
      : "it is private or gated and needs a token of yours in HF_TOKEN";
    return new DownloadError(`${answers}: there is no model ${source.owner}/${source.name}, or ${token}`);
  }
  if (status === 404) return new NoSuchFileError(`${answers}: the model has no such file`);
  return new DownloadError(answers);
}

/** Where a person reads about a model. */
function pageOf({ owner, name }: HubSource, endpoint: URL): string {
  return `${endpoint.origin}${endpoint.pathname.replace(/\/+$/, "")}/${owner}/${name}`;
}
