// What the server of the studio is asked for. A page without a server has the rooms alone that need none.

/** Whether the page was served by `eidos studio`. */
export const hasServer =
  document.querySelector<HTMLMetaElement>('meta[name="eidos-server"]')?.content === "here";

/** The address of a path below /api/. */
export function apiAddress(path: string): URL {
  return new URL(`api/${path}`, document.baseURI);
}

/** The server does not do what it was asked for, or cannot be reached. */
export class ServerError extends Error {
  override readonly name = "ServerError";
}

/**
 * Asks the server.
 * @param path below /api/
 * @throws ServerError with the server's own words
 */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(apiAddress(path), init);
  } catch (cause) {
    throw new ServerError("", { cause });
  }
  const isJson = answer.headers.get("content-type")?.includes("json") === true;
  const body: unknown = isJson ? await answer.json() : await answer.text();
  if (answer.ok) return body as T;
  const said =
    typeof body === "object" && body !== null && "error" in body ? String(body.error) : String(body);
  throw new ServerError(said.slice(0, 500));
}

/** Sends JSON. @throws ServerError */
export function send<T>(method: "POST" | "PUT", path: string, body: unknown): Promise<T> {
  return ask<T>(path, {
    method,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}
