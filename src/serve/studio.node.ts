import { randomBytes } from "node:crypto";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import fastify from "fastify";
import { OptionError } from "../errors.ts";
import { parseOptions } from "../options.ts";
import { admit, cookieName, STUDIO_HEADERS } from "./studio/admission.node.ts";
import { bytesOf, pageWithServer, studioFiles } from "./studio/files.node.ts";
import { StudioFits } from "./studio/fits.node.ts";
import { addMarkRoutes } from "./studio/mark-routes.node.ts";
import { StudioMarks } from "./studio/marks.node.ts";
import { type StudioOptions, studioOptions } from "./studio/options.ts";
import { addFitRoutes, addRunRoutes, addStudioErrors } from "./studio/routes.node.ts";
import { StudioRuns } from "./studio/runs.node.ts";
import { addUseRoutes, ServedRuns } from "./studio-use.node.ts";

/** A studio that runs. */
export interface Studio {
  /** Where it listens: http://127.0.0.1:8020. */
  readonly url: string;
  /** The address to open, which holds the token. */
  readonly address: string;
  close(): Promise<void>;
}

/** Bytes of a token: nobody guesses it. */
const TOKEN_BYTES = 24;

/** The built page beside the compiled package; from the source tree the same folder. */
const BUILT = fileURLToPath(new URL("../../dist/studio/", import.meta.url));

/** Path and query of a request as they stand there: names of files need no escape. */
function partsOf(url: string): { readonly path: string; readonly query: URLSearchParams } {
  const at = url.indexOf("?");
  return at < 0
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, at), query: new URLSearchParams(url.slice(at + 1)) };
}

/**
 * Serves the studio's page to this machine alone. `close` stops a fit that the page has begun, with its checkpoint written.
 *
 *     const studio = await startStudio();
 *     console.log(studio.address);
 *     await studio.close();
 *
 * @param folder the built page (default: that of the package)
 * @throws OptionError where an option is wrong or the port is taken; FileError where the page is not built
 */
export async function startStudio(given: StudioOptions = {}, folder: string = BUILT): Promise<Studio> {
  const options = parseOptions("studio", studioOptions, given);
  const files = await studioFiles(folder);
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const app = fastify({ logger: false, bodyLimit: 1, routerOptions: { maxParamLength: 300 } });
  let port = options.port;
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(STUDIO_HEADERS);
    const { path, query } = partsOf(request.url);
    const admission = admit(request.headers, query.get("token") ?? undefined, { port, token });
    if (admission.kind === "refused") {
      return reply.code(admission.status).type("text/plain; charset=utf-8").send(`${admission.reason}\n`);
    }
    if (admission.kind === "admitted") {
      // A browser names the page that asks for a change; whoever does not is none.
      if (request.method === "GET" || request.method === "HEAD" || request.headers.origin !== undefined)
        return;
      return reply
        .code(403)
        .type("text/plain; charset=utf-8")
        .send("the studio is changed by its own page alone\n");
    }
    // The token leaves the address, so that no history, picture or link holds it.
    reply.header("set-cookie", `${cookieName(port)}=${token}; Path=/; HttpOnly; SameSite=Strict`);
    return reply
      .code(303)
      .header("location", files.has(path) ? path : "/")
      .header("cache-control", "no-store")
      .send();
  });
  addStudioErrors(app);
  const [runs, data] = [new StudioRuns(resolve(options.runs)), resolve(options.data)];
  const fits = new StudioFits(runs.folder, data);
  addRunRoutes(app, runs);
  addFitRoutes(app, { fits, runs, data });
  addMarkRoutes(app, new StudioMarks(data));
  const served = new ServedRuns();
  addUseRoutes(app, runs, served);
  app.get("/*", async (request, reply) => {
    const file = files.get(partsOf(request.url).path);
    if (file === undefined) {
      return reply.code(404).type("text/plain; charset=utf-8").send("there is no such page\n");
    }
    const takesGzip = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
    if (file.type.startsWith("text/html") && file.path.endsWith("index.html")) {
      return reply
        .type(file.type)
        .header("cache-control", "no-cache")
        .send(await pageWithServer(file));
    }
    const { bytes, isSqueezed } = await bytesOf(file, takesGzip);
    if (isSqueezed) reply.header("content-encoding", "gzip").header("vary", "accept-encoding");
    const cache = file.isNamedByContent ? "private, max-age=31536000, immutable" : "no-cache";
    return reply.type(file.type).header("cache-control", cache).send(bytes);
  });
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).type("text/plain; charset=utf-8").send("there is no such page\n"),
  );
  try {
    await app.listen({ host: "127.0.0.1", port: options.port });
  } catch (cause) {
    await app.close();
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw cause;
    throw new OptionError(
      `cannot listen on port ${options.port} (${code}); choose another --port, or 0 for any free one`,
      { cause },
    );
  }
  ({ port } = app.server.address() as AddressInfo);
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    address: `${url}/?token=${token}`,
    async close() {
      // A browser keeps its connections open.
      app.server.closeAllConnections();
      await app.close();
      await Promise.all([fits.close(), served.close()]);
    },
  };
}
