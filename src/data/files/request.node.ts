import { DownloadError } from "../../errors.ts";
import { version } from "../../version.ts";
import { type HubFacts, hubFacts, refusal } from "./hub.node.ts";
import { addressFault, isLoopback, type RemoteSource, shownSource } from "./source.ts";

// One request for a file: redirects are followed one by one, so that a token goes to the hub alone and nothing leads off https.

/** The most redirects of a request. */
const MOST_REDIRECTS = 8;

/** The longest that a server may make us wait, in seconds. */
const LONGEST_WAIT = 60;

/** What failed may succeed when it is tried again. */
export class PassingError extends Error {
  /** Seconds that the server wants to pass before. */
  readonly after: number;

  constructor(message: string, after = 0) {
    super(message);
    this.after = after;
  }
}

/** What is asked for. */
export interface FileRequest {
  readonly source: RemoteSource;
  readonly url: string;
  /** The hub, and the token for it. */
  readonly endpoint: URL;
  readonly token: string | undefined;
  /** Asks for the bytes from there on, if the file is still the one of this entity tag. */
  readonly from?: { readonly offset: number; readonly etag?: string };
  readonly signal: AbortSignal;
}

/** A server's answer: the whole file (200), its rest (206), or none (416: it has no bytes from there on). */
export interface FileAnswer {
  readonly response: Response;
  readonly facts: HubFacts;
}

/**
 * Asks for a file. The body is not read yet.
 * @throws DownloadError where it is refused; PassingError where another try may succeed; what `fetch` throws
 */
export async function requestFile(request: FileRequest): Promise<FileAnswer> {
  const { source, endpoint, signal } = request;
  const first = new URL(request.url);
  const isHub = first.origin === endpoint.origin;
  // A token never comes back to a request that has left the hub.
  let token = isHub ? request.token : undefined;
  let facts: HubFacts = {};
  let at = first;
  for (let redirects = 0; ; redirects++) {
    const response = await fetch(at, { redirect: "manual", signal, headers: headersOf(request, token) });
    if (at.origin === first.origin) facts = { ...hubFacts(response.headers, isHub), ...facts };
    const { status } = response;
    if (status === 200 || status === 206 || status === 416) return { response, facts };
    // The rest is of no interest, and may be endless.
    await response.body?.cancel().catch(() => undefined);
    if ([301, 302, 303, 307, 308].includes(status)) {
      if (redirects === MOST_REDIRECTS) {
        throw redirectFault(first, `the server redirects more than ${MOST_REDIRECTS} times`);
      }
      at = redirectOf(response, at, first);
      if (at.origin !== endpoint.origin) token = undefined;
      continue;
    }
    if (status === 408 || status === 429 || status >= 500) {
      const why = status === 429 ? ", too many requests" : status === 408 ? "" : ", a fault of its own";
      const after = Number(response.headers.get("retry-after") ?? 0);
      const wait = after > 0 ? Math.min(LONGEST_WAIT, after) : 0;
      throw new PassingError(`the server answers ${status}${why}`, wait);
    }
    throw refusal(response, source, { token: token !== undefined, endpoint });
  }
}

function headersOf({ from }: FileRequest, token: string | undefined): Record<string, string> {
  return {
    // Bytes are counted, and a resumed file is put together of them: they come as they are.
    "accept-encoding": "identity",
    accept: "*/*",
    "user-agent": `eidos/${version}`,
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(from !== undefined && { range: `bytes=${from.offset}-` }),
    ...(from?.etag !== undefined && { "if-range": from.etag }),
  };
}

/** A redirect that is not followed, of the address that was asked for. */
function redirectFault({ origin, pathname }: URL, why: string): DownloadError {
  return new DownloadError(
    `${origin}${pathname} cannot be fetched: ${why}. Give the address of the file itself, or fetch it by hand and give its path`,
  );
}

/** Where a redirect leads. @throws DownloadError where that is nowhere, off https, or to this machine from elsewhere */
function redirectOf({ headers, status }: Response, at: URL, first: URL): URL {
  const location = headers.get("location");
  if (location === null || !URL.canParse(location, at)) {
    throw redirectFault(first, `the server answers ${status} and names no address`);
  }
  const next = new URL(location, at);
  next.hash = "";
  const where = shownSource(next.href);
  const fault = addressFault(next);
  if (fault !== undefined) throw redirectFault(first, `the server redirects to ${where}: ${fault}`);
  if (isLoopback(next) && !isLoopback(first)) {
    throw redirectFault(first, `the server redirects to this machine, ${where}`);
  }
  return next;
}

/** Failures of the network that stay as they are, and what they mean. */
const LASTING: Readonly<Record<string, string>> = {
  ENOTFOUND: "the host is not found; is there a network?",
  EAI_AGAIN: "the host's name cannot be looked up; is there a network?",
  ECONNREFUSED: "the connection is refused",
  ENETUNREACH: "there is no network",
  ENETDOWN: "there is no network",
  EHOSTUNREACH: "the host cannot be reached; is there a network?",
  EACCES: "connections are not permitted here",
  EPERM: "connections are not permitted here",
};

const PASSING: Readonly<Record<string, string>> = {
  ECONNRESET: "the connection was dropped",
  EPIPE: "the connection was dropped",
  UND_ERR_SOCKET: "the connection was dropped",
  ETIMEDOUT: "the server does not answer",
  UND_ERR_CONNECT_TIMEOUT: "the server does not answer",
  UND_ERR_HEADERS_TIMEOUT: "the server does not answer",
  UND_ERR_BODY_TIMEOUT: "the server sends nothing more",
};

/** A failure of the network in words, and whether it is one that no further try mends. */
export function networkFailure(error: unknown): { readonly why: string; readonly lasting: boolean } {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code =
    typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
      ? cause.code
      : "";
  const message = cause instanceof Error ? cause.message : String(cause);
  // `fetch` does not go to ports of other services.
  if (message === "bad port") return { why: "no file is fetched from that port", lasting: true };
  const lasting = LASTING[code];
  if (lasting !== undefined) return { why: lasting, lasting: true };
  if (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO_/.test(code)) {
    return { why: `the server's certificate is not accepted (${code})`, lasting: true };
  }
  const passing = PASSING[code];
  if (passing !== undefined) return { why: passing, lasting: false };
  return { why: `the connection failed (${code === "" ? message : code})`, lasting: false };
}
