import { DataError, DownloadError } from "../errors.ts";

/** A file beside another, or in a folder, by their address; the query of the address stays. */
export function addressBelow(folder: URL, file: string): URL {
  const address = new URL(folder);
  address.pathname = `${address.pathname.replace(/(\/model\.json|\/*)$/, "")}/${encodeURIComponent(file)}`;
  address.hash = "";
  return address;
}

/**
 * The bytes at an address.
 * @param most bytes that are read
 * @throws DownloadError where there is no answer, or none with a file; DataError where it is larger
 */
export async function fetchBytes(address: URL, most: number, signal?: AbortSignal): Promise<Uint8Array> {
  const name = address.protocol === "data:" || address.protocol === "blob:" ? address.protocol : address.href;
  let response: Response;
  try {
    response = await fetch(address, signal === undefined ? {} : { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new DownloadError(`no answer from ${name}; check the address and the network`, { cause });
  }
  if (!response.ok || response.body === null) {
    throw new DownloadError(
      `${name}: the server answers ${response.status} ${response.statusText}`.trimEnd(),
    );
  }
  const tooLarge = (): DataError =>
    new DataError(`${name}: it is larger than ${most} bytes, which are read at most`);
  if (Number(response.headers.get("content-length") ?? 0) > most) {
    await response.body.cancel();
    throw tooLarge();
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new DownloadError(`${name}: the connection ended before the file was complete`, { cause });
    });
    if (done) break;
    size += value.length;
    if (size > most) {
      await reader.cancel();
      throw tooLarge();
    }
    parts.push(value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
