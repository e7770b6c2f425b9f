import { readdir, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

// A server on this machine that misbehaves as tests tell it to.

export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export interface TestServer {
  readonly origin: string;
  /** Requests so far: method, path, and the headers that matter. */
  readonly requests: readonly SeenRequest[];
  close(): Promise<void>;
}

export interface SeenRequest {
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
}

/** @param handler answers; its last argument counts requests from 0 */
export async function serve(handler: Handler): Promise<TestServer> {
  const requests: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const { range, authorization, "if-range": ifRange } = request.headers;
    requests.push({ path: request.url ?? "", range, ifRange: ifRange?.toString(), authorization });
    response.on("error", () => undefined);
    handler(request, response, requests.length - 1);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface FileBehavior {
  readonly etag?: string;
  /** Breaks the connection after so many bytes of the body. */
  readonly drop?: number | undefined;
  /** A cache: the connection is broken once these bytes are there, since what a client has not taken by then is lost. */
  readonly cache?: string;
  readonly ignoreRange?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a file as a sound server does, ranges included, but for what is asked. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  { etag, drop, cache, ignoreRange = false, headers = {} }: FileBehavior = {},
): void {
  const { range, "if-range": ifRange } = request.headers;
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? Number.NaN);
  const isRest = !ignoreRange && Number.isInteger(from) && (ifRange === undefined || ifRange === etag);
  if (isRest && from >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  const body = isRest ? bytes.subarray(from) : bytes;
  response.writeHead(isRest ? 206 : 200, {
    "content-length": body.length,
    ...(etag !== undefined && { etag }),
    ...(isRest && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    ...headers,
  });
  if (drop === undefined || drop >= body.length) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, drop), () => {
    const destroy = (): unknown => response.destroy();
    taken(response, cache, (isRest ? from : 0) + drop).then(destroy, destroy);
  });
}

/**
 * Waits until a part of a file in a cache has so many bytes, but not for ever, and no longer than the connection is there: the test that it
 * belongs to may have ended, and its folder may be gone.
 */
async function taken(response: ServerResponse, cache: string | undefined, bytes: number): Promise<void> {
  for (let looks = 0; cache !== undefined && !response.destroyed && looks < 1000; looks++) {
    const names = await readdir(cache).catch(() => []);
    const parts = names.filter((name) => name.endsWith(".part"));
    const sizes = await Promise.all(
      parts.map(async (name) => (await stat(join(cache, name)).catch(() => undefined))?.size),
    );
    if (sizes.includes(bytes)) return;
    await sleep(5);
  }
}
