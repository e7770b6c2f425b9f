import { randomBytes } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { ServiceError } from "../errors.ts";
import { ABILITIES, type ServedModel } from "./abilities.ts";
import { type EidosServer, serve } from "./server.node.ts";
import { askedExport, type ExportedRun } from "./studio/answers.node.ts";
import { StudioExports } from "./studio/exports.node.ts";
import { bodyOf } from "./studio/routes.node.ts";
import type { StudioRuns } from "./studio/runs.node.ts";

// Runs that the studio's page uses: each is served as `eidos serve` serves it, with its queue, limits and workers, and the page's requests are
// passed on.

/** Runs that are open at once: each has a process with its model in memory. */
const MOST_OPEN = 2;

/** Samples of a request: points as they form are many, and small. */
const MOST_SAMPLES = 16_000;

/** Bytes of a body, as those of `eidos serve`. */
const BODY_LIMIT = 32e6;

/** Bytes of a body that says how a run is exported. */
const EXPORT_LIMIT = 1024;

/** Seconds that a request may take: a picture that is completed in a thousand steps takes minutes, and whoever waits may leave. */
const TIMEOUT = 300;

interface Opened {
  readonly server: EidosServer;
  readonly token: string;
  readonly model: ServedModel;
}

/** The servers of runs that were used last. */
export class ServedRuns {
  readonly exports = new StudioExports();
  private readonly opened = new Map<string, Promise<Opened>>();
  private isClosed = false;

  /** The server of a run, which is begun where there is none. @throws FileError, WeightsError where the run cannot be opened */
  open(folder: string): Promise<Opened> {
    if (this.isClosed) throw new ServiceError("the studio is stopping", { status: 503 });
    const opened = this.opened.get(folder) ?? begin(folder);
    // The one that was used last stands at the end.
    this.opened.delete(folder);
    this.opened.set(folder, opened);
    opened.catch(() => this.opened.delete(folder));
    for (const [oldest, old] of this.opened) {
      if (this.opened.size <= MOST_OPEN) break;
      this.opened.delete(oldest);
      void closed(old);
    }
    return opened;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...[...this.opened.values()].map(closed), this.exports.close()]);
    this.opened.clear();
  }
}

async function closed(opened: Promise<Opened>): Promise<void> {
  const held = await opened.catch(() => undefined);
  await held?.server.close();
}

async function begin(folder: string): Promise<Opened> {
  const token = randomBytes(24).toString("base64url");
  const server = await serve(`run=${folder}`, {
    port: 0,
    token,
    workers: 1,
    drain: 1,
    timeout: TIMEOUT,
    maxSamples: MOST_SAMPLES,
    log: "silent",
  });
  const [model] = server.models;
  if (model === undefined) throw new ServiceError("the run could not be opened", { status: 503 });
  return { server, token, model };
}

/** What the page is told of a model. */
export type UsableModel = Omit<ServedModel, "merged" | "name">;

/** Adds the routes of using a run: what its model can do, each ability as a plain route of `eidos serve`, and its export. */
export function addUseRoutes(app: FastifyInstance, runs: StudioRuns, served: ServedRuns): void {
  app.get<{ readonly Params: { readonly name: string } }>(
    "/api/runs/:name/use",
    async ({ params }): Promise<UsableModel> => {
      const { path } = await runs.find(params.name);
      const { merged: _, name: __, ...model } = (await served.open(path)).model;
      return model;
    },
  );
  app.post<{ readonly Params: { readonly name: string } }>(
    "/api/runs/:name/export",
    { bodyLimit: EXPORT_LIMIT },
    async ({ params, body }): Promise<ExportedRun> => {
      const { path } = await runs.find(params.name);
      return served.exports.run(path, bodyOf(askedExport, body));
    },
  );
  app.register(async (scope) => {
    // Bodies are passed on as they came.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    scope.post<{ readonly Params: { readonly name: string; readonly ability: string } }>(
      "/api/runs/:name/use/:ability",
      { bodyLimit: BODY_LIMIT },
      async ({ params, headers, body, url }, reply) => {
        if (!ABILITIES.some((ability) => ability === params.ability)) {
          throw new ServiceError(`no model can ${params.ability}`, { status: 404 });
        }
        const { path } = await runs.find(params.name);
        const { server, token } = await served.open(path);
        const { search } = new URL(url, server.url);
        const gone = new AbortController();
        reply.raw.once("close", () => gone.abort());
        const answer = await fetch(`${server.url}/${params.ability}${search}`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${token}`,
            accept: headers.accept ?? "*/*",
            "content-type": headers["content-type"] ?? "application/json",
          },
          body: Buffer.isBuffer(body) ? new Uint8Array(body) : "{}",
          signal: gone.signal,
        }).catch((cause: unknown) => {
          if (!gone.signal.aborted) throw cause;
          throw new ServiceError("nobody waits for this any more", { status: 499, cause });
        });
        return reply
          .code(answer.status)
          .type(answer.headers.get("content-type") ?? "application/octet-stream")
          .header("cache-control", "no-store")
          .send(Buffer.from(await answer.arrayBuffer()));
      },
    );
  });
}
