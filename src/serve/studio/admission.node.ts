import { createHash, timingSafeEqual } from "node:crypto";

// Who may look at the studio: whoever has the address that the command prints, from a page of this machine.

/** Headers of a request, as far as they decide. */
export interface AskingHeaders {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
  readonly cookie?: string | undefined;
}

/** What is made of a request. */
export type Admission =
  | { readonly kind: "admitted" }
  /** Its token is right: it goes on to the address without one, with a cookie in its place. */
  | { readonly kind: "welcomed" }
  | { readonly kind: "refused"; readonly status: 401 | 403; readonly reason: string };

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

const isSame = (given: string, expected: string): boolean => timingSafeEqual(digest(given), digest(expected));

/** The names of this machine by which a browser may ask. Any other name is that of somebody who leads it here (DNS rebinding). */
const hostsOf = (port: number): readonly string[] => [`127.0.0.1:${port}`, `localhost:${port}`];

/** The name of the cookie. Browsers send cookies to every port of a machine: each studio has its own. */
export function cookieName(port: number): string {
  return `eidos-studio-${port}`;
}

/** The value of a cookie of that name. */
function cookieOf(header: string, name: string): string | undefined {
  for (const entry of header.split(";")) {
    const [key = "", value = ""] = entry.trim().split("=", 2);
    if (key === name) return value;
  }
  return undefined;
}

/** Whether a request may be answered. @param given the token of its address */
export function admit(
  { host = "", origin, cookie = "" }: AskingHeaders,
  given: string | undefined,
  { port, token }: { readonly port: number; readonly token: string },
): Admission {
  const hosts = hostsOf(port);
  if (!hosts.includes(host)) {
    return { kind: "refused", status: 403, reason: "the studio answers to 127.0.0.1 and localhost alone" };
  }
  if (origin !== undefined && !hosts.some((name) => origin === `http://${name}`)) {
    return { kind: "refused", status: 403, reason: "the studio answers to its own page alone" };
  }
  if (given !== undefined && isSame(given, token)) return { kind: "welcomed" };
  const held = cookieOf(cookie, cookieName(port));
  if (held !== undefined && isSame(held, token)) return { kind: "admitted" };
  return {
    kind: "refused",
    status: 401,
    reason: "open the address that eidos studio has printed: it holds the token",
  };
}

/**
 * Headers of every answer. Scripts, styles and workers are those of the server alone, and none stands inside a page; a page is
 * isolated from other origins, which WebAssembly needs for threads.
 */
export const STUDIO_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    // WebAssembly is compiled from bytes.
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "connect-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  // The room Use looks through the camera where its reader wants it.
  "permissions-policy": "camera=(self), microphone=(), geolocation=()",
};
