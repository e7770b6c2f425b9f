// What the server of the studio is asked for. A page without a server has the rooms alone that need none.

/** Whether the page was served by `eidos studio`. */
export const hasServer =
  document.querySelector<HTMLMetaElement>('meta[name="eidos-server"]')?.content === "here";

/** The server does not do what it was asked for, or cannot be reached. */
export class ServerError extends Error {
  override readonly name = "ServerError";
}

/** What answers in the place of a server. */
type Answer = (path: string, init: RequestInit) => Promise<Response>;

let answerHere: Answer | undefined;

/** Has a page that was handed out answer itself. */
export function answerBy(answer: Answer): void {
  answerHere = answer;
}

/** Whether the page answers itself: there are no runs then, and no commands for them. */
export const isHandedOut = (): boolean => answerHere !== undefined;

/** An answer of the server that is none of its refusals. @throws ServerError with the server's own words */
async function answerTo(path: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  if (answerHere !== undefined) return answerHere(path, init);
  try {
    answer = await fetch(new URL(`api/${path}`, document.baseURI), init);
  } catch (cause) {
    throw new ServerError("", { cause });
  }
  if (answer.ok) return answer;
  const isJson = answer.headers.get("content-type")?.includes("json") === true;
  const body: unknown = isJson ? await answer.json() : await answer.text();
  const said =
    typeof body === "object" && body !== null && "error" in body ? String(body.error) : String(body);
  throw new ServerError(said.slice(0, 500));
}

/**
 * Asks the server.
 * @param path below /api/
 * @throws ServerError with the server's own words
 */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  return (await answerTo(path, init)).json() as Promise<T>;
}

/** Asks the server for a picture. @throws ServerError */
export async function askForPicture(path: string): Promise<Blob> {
  return (await answerTo(path, {})).blob();
}

const posted = (method: "POST" | "PUT", body: unknown): RequestInit => ({
  method,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

/** Sends JSON for a picture. @throws ServerError */
export async function sendForPicture(path: string, body: unknown): Promise<Blob> {
  const { headers, ...init } = posted("POST", body);
  return (await answerTo(path, { ...init, headers: { ...headers, accept: "image/png" } })).blob();
}

/** Sends JSON. @throws ServerError */
export function send<T>(method: "POST" | "PUT", path: string, body: unknown): Promise<T> {
  return ask<T>(path, posted(method, body));
}
