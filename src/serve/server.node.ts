import { createHash, timingSafeEqual } from "node:crypto";
import { stat } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import { createSecureContext } from "node:tls";
import fastify, { type FastifyInstance } from "fastify";
import { FILE_KINDS, readRegularFile } from "../data/files/files.node.ts";
import { OptionError, ServiceError } from "../errors.ts";
import { parseOptions } from "../options.ts";
import { printable } from "../printable.ts";
import type { GivenTrust } from "../tasks/run/trust.node.ts";
import type { ServedModel } from "./abilities.ts";
import type { Serving } from "./compute.node.ts";
import { ServerMetrics } from "./metrics.node.ts";
import { type ResolvedServeOptions, type ServeOptions, serveOptions } from "./options.ts";
import { WorkerPool } from "./pool.node.ts";
import { RequestQueue } from "./queue.ts";
import { addPlainRoutes } from "./routes/plain.node.ts";
import { addProtocolRoutes } from "./routes/protocol.node.ts";
import { watchRuns } from "./watch.node.ts";
import type { RunToOpen } from "./worker.node.ts";

/** A server that runs. */
export interface EidosServer {
  /** Where it listens: http://127.0.0.1:8000. */
  readonly url: string;
  readonly models: readonly ServedModel[];
  /** Process ids of its workers. */
  readonly workers: readonly number[];
  /** Takes no more requests, answers those that it has, and ends. */
  close(): Promise<void>;
}

/** Names that need no escape in a path. */
const NAME = /^[\w][\w.-]{0,199}$/;

/** The name and folder of a run: FOLDER, served under the name of its folder, or NAME=FOLDER. @throws OptionError */
async function runOf(text: string): Promise<{ readonly name: string; readonly folder: string }> {
  const [, given, path] = /^([^=/\\]+)=(.+)$/s.exec(text) ?? [];
  const isFolder = (await stat(text).catch(() => undefined)) !== undefined;
  const named = !isFolder && given !== undefined && path !== undefined;
  const folder = named ? path : text;
  const name = named ? given : basename(resolve(folder));
  if (!NAME.test(name)) {
    throw new OptionError(
      `${printable(name)} is no name of a model: letters, digits, _, - and . are; write NAME=${printable(folder)}`,
    );
  }
  return { name, folder };
}

/** Reads what proves that a client may ask. @throws OptionError where both are given, or the file is empty */
async function tokenOf({ token, tokenFile }: ResolvedServeOptions): Promise<string | undefined> {
  if (token !== undefined && tokenFile !== undefined) {
    throw new OptionError("options token and tokenFile: give one of them");
  }
  if (tokenFile === undefined) {
    if (token?.trim() === "") throw new OptionError("option token: is empty");
    return token;
  }
  const text = new TextDecoder().decode(await readRegularFile(tokenFile, FILE_KINDS.text)).trim();
  if (text === "") throw new OptionError(`option tokenFile: ${tokenFile} is empty`);
  return text;
}

/** Certificate and key. @throws OptionError where one of them is missing, or they are none that belong together; FileError */
async function tlsOf({ tlsCert, tlsKey }: ResolvedServeOptions) {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new OptionError("options tlsCert and tlsKey: https needs both");
  }
  const read = async (file: string) => Buffer.from(await readRegularFile(file, FILE_KINDS.text));
  const pair = { cert: await read(tlsCert), key: await read(tlsKey) };
  try {
    createSecureContext(pair);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OptionError(
      `options tlsCert and tlsKey: ${tlsCert} and ${tlsKey} are no certificate and its key in PEM (${why})`,
      { cause: error },
    );
  }
  return pair;
}

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|::1)$/.test(host);

const MEGABYTE = 1e6;

/** Seconds that a client may take to send a request. */
const SLOWEST = 60;

/** Milliseconds after the drain in which answers still reach their clients. */
const LAST_WORD = 1000;

/** Routes that need no token: those of probes. */
const OPEN = new Set(["/v2/health/live", "/v2/health/ready"]);

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** What is worth asking again, and what of it is no secret. */
function addAuthorization(app: FastifyInstance, token: string): void {
  const expected = digest(`Bearer ${token}`);
  app.addHook("onRequest", async (request, reply) => {
    if (OPEN.has(request.routeOptions.url ?? "") || request.method === "OPTIONS") return;
    if (timingSafeEqual(digest(request.headers.authorization ?? ""), expected)) return;
    reply.header("www-authenticate", "Bearer");
    throw new ServiceError("the token is missing or wrong; send Authorization: Bearer TOKEN", {
      status: 401,
    });
  });
}

/** Refuses requests beyond what the server can hold, before their bodies are read. */
function addAdmission(app: FastifyInstance, options: ResolvedServeOptions, serving: Serving): void {
  const most = options.queueSize * MEGABYTE;
  let [requests, bytes] = [0, 0];
  app.addHook("onRequest", async (request, reply) => {
    if (request.method !== "POST") return;
    const { queue, pool, metrics } = serving;
    const length = Number(request.headers["content-length"] ?? options.bodyLimit * MEGABYTE);
    // Those of which the body is read count too: as many as can wait and be computed.
    const places = options.queue + Math.max(1, pool.size) * options.maxBatch;
    if (requests >= places || (requests > 0 && bytes + length > most)) {
      metrics.shed.add();
      throw new ServiceError("too many requests wait already; try again later", {
        status: 503,
        retryAfter: queue.retryAfter,
      });
    }
    requests++;
    bytes += length;
    reply.raw.once("close", () => {
      requests--;
      bytes -= length;
    });
  });
}

/** What is wrong with a body that no route has seen, in words that say what to do. */
function bodyFault(
  error: Error & { readonly code?: string },
  type: string,
  limit: number,
): string | undefined {
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return `the body is larger than the limit of ${limit} MB`;
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return `a body of the type ${type.slice(0, 60)} is not taken; send application/json, or an image as image/… or application/octet-stream`;
    case "FST_ERR_CTP_EMPTY_JSON_BODY":
      return "the body is empty; send JSON, or {} where everything has a default";
    default:
      return undefined;
  }
}

/** Answers every error as `{ error }`, in one line. */
function addErrors(app: FastifyInstance, { bodyLimit }: ResolvedServeOptions): void {
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const status = error instanceof ServiceError ? error.status : (error.statusCode ?? 500);
    if (error instanceof ServiceError && error.retryAfter !== undefined) {
      reply.header("retry-after", String(error.retryAfter));
    }
    const isOurs = error instanceof ServiceError || status < 500;
    if (!isOurs) request.log.error({ err: error }, "unexpected error");
    const fault = bodyFault(error, request.headers["content-type"] ?? "", bodyLimit);
    const message =
      fault ?? (isOurs ? error.message : "unexpected error; the log of the server has the reason");
    return reply.code(status).send({ error: printable(message.replaceAll(/\s*\n\s*/g, " ")) });
  });
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      error: printable(
        `there is no ${request.method} ${request.url.split("?")[0]}; /openapi.json lists the routes`,
      ),
    }),
  );
}

/** The bodies that routes take: JSON, and the bytes of images. What curl sends without a type is bytes. */
function addBodies(app: FastifyInstance): void {
  const types = [/^image\//, /^application\/(octet-stream|x-www-form-urlencoded)(;|$)/];
  for (const type of types) {
    app.addContentTypeParser(type, { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  }
  app.removeContentTypeParser("text/plain");
}

/**
 * Serves runs over HTTP: the Open Inference Protocol and plain routes.
 *
 *     const server = await serve(["runs/yolo-cells"], { port: 8000 });
 *     await server.close();
 *
 * @param runs run folders, or NAME=FOLDER
 * @throws OptionError; FileError and WeightsError where a run cannot be opened
 */
export async function serve(
  runs: string | readonly string[],
  given: ServeOptions = {},
  trust?: GivenTrust,
): Promise<EidosServer> {
  const options = parseOptions("serve", serveOptions, given);
  const named = await Promise.all((typeof runs === "string" ? [runs] : runs).map(runOf));
  if (named.length === 0) throw new OptionError("serve: name at least one run");
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) < i);
  if (twice !== undefined) {
    throw new OptionError(`two runs have the name ${twice.name}; write NAME=FOLDER for one of them`);
  }
  const cores = availableParallelism();
  const workers = options.workers ?? cores;
  const threads = options.threads ?? Math.max(1, Math.floor(cores / workers));
  const toOpen = named.map(
    (run): RunToOpen => ({
      ...run,
      options: { weights: options.weights, provider: options.provider, threads, trust },
      pixelLimit: options.pixelLimit,
    }),
  );
  const token = await tokenOf(options);
  const https = await tlsOf(options);
  const app: FastifyInstance = fastify({
    ...(https !== undefined && { https }),
    logger:
      options.log === "silent"
        ? false
        : { level: options.log, redact: ["req.headers.authorization", "req.headers.cookie"] },
    bodyLimit: options.bodyLimit * MEGABYTE,
    requestTimeout: 1000 * SLOWEST,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 300 },
  } as object);
  const watcher = await watchRuns(toOpen, options.weights);
  let queue: RequestQueue | undefined;
  const metrics = new ServerMetrics(() => ({
    waiting: queue?.length ?? 0,
    running: queue?.runningCount ?? 0,
    workers: pool.states,
  }));
  const pool = await WorkerPool.start(
    toOpen,
    { workers, threads },
    {
      idle: () => queue?.wake(),
      answered: (id, answered) => queue?.answer(id, answered),
      failed(id, error, stack) {
        if (stack !== undefined) app.log.error({ job: id, stack }, "a model could not compute a request");
        queue?.fail(id, error);
      },
      batchDone(jobs, milliseconds) {
        const [first] = jobs;
        if (first === undefined) return;
        metrics.computed.observe({ model: first.model, ability: first.work.kind }, milliseconds / 1000);
        queue?.took(milliseconds, jobs.length);
      },
      died(why) {
        metrics.deaths.add();
        app.log.error(why);
      },
      notStarted: (why) => app.log.error(`a worker could not start: ${why}`),
      reloaded({ name, version }) {
        metrics.reloads.add({ model: name, outcome: "loaded" });
        app.log.info({ model: name, version }, "new weights are served");
      },
      notReloaded(name, error) {
        metrics.reloads.add({ model: name, outcome: "failed" });
        app.log.error(
          { model: name, reason: error.message },
          "new weights cannot be read; the ones before are served",
        );
      },
    },
  );
  const { maxBatch, batchWindow: window } = options;
  const labels = ({ model, work }: { readonly model: string; readonly work: { readonly kind: string } }) => ({
    model,
    ability: work.kind,
  });
  queue = new RequestQueue({ limit: options.queue, maxBatch, window }, pool, {
    waited: (job, seconds) => metrics.waited.observe(labels(job), seconds),
    batch(jobs) {
      const [first] = jobs;
      if (first !== undefined) metrics.batch.observe(labels(first), jobs.length);
    },
    shed: (job) => metrics.shed.add(labels(job)),
    expired: (job) => metrics.expired.add(labels(job)),
  });
  let draining = false;
  const serving: Serving = {
    pool,
    queue,
    metrics,
    limits: { maxRows: options.maxRows, maxSamples: options.maxSamples },
    timeout: options.timeout,
    needsToken: token !== undefined,
    isDraining: () => draining,
  };
  try {
    app.decorateRequest("served", null);
    addErrors(app, options);
    if (options.cors.length > 0) {
      const origin = options.cors.includes("*") ? "*" : [...options.cors];
      await app.register((await import("@fastify/cors")).default, { origin, methods: ["GET", "POST"] });
    }
    if (token !== undefined) addAuthorization(app, token);
    addAdmission(app, options, serving);
    addBodies(app);
    app.addHook("onSend", async (_request, reply) => {
      reply.header("x-content-type-options", "nosniff");
      if (draining) reply.header("connection", "close");
    });
    app.addHook("onResponse", async (request, reply) => {
      const { model, ability } = request.served ?? { model: "", ability: "" };
      metrics.requests.add({ model, ability, status: String(reply.statusCode) });
      if (ability !== "") metrics.seconds.observe({ model, ability }, reply.elapsedTime / 1000);
    });
    addProtocolRoutes(app, serving);
    addPlainRoutes(app, serving);
    await app.listen({ host: options.host, port: options.port });
  } catch (error) {
    await pool.close();
    await app.close();
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
    throw new OptionError(
      `cannot listen on ${options.host} port ${options.port} (${code}); choose another --host or --port`,
      {
        cause: error,
      },
    );
  }
  if (token === undefined && !isLoopback(options.host)) {
    app.log.warn(`anyone who reaches ${options.host} may ask: there is no --token`);
  }
  const looking =
    options.reload === 0
      ? undefined
      : setInterval(() => {
          watcher.changed().then(
            (names) => {
              for (const name of names) pool.reload(name);
            },
            (error: unknown) => app.log.error({ err: error }, "run folders cannot be looked at"),
          );
        }, 1000 * options.reload);
  const { address, port, family } = app.server.address() as AddressInfo;
  const host = family === "IPv6" ? `[${address}]` : address;
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    draining = true;
    clearInterval(looking);
    let cut: ReturnType<typeof setTimeout> | undefined;
    const late = setTimeout(() => {
      serving.queue.refuseAll(new ServiceError("the server is stopping", { status: 503, retryAfter: 1 }));
      // Those that are told so have a moment to hear it; a client that sends or reads without end has no more.
      cut = setTimeout(() => app.server.closeAllConnections(), LAST_WORD);
    }, 1000 * options.drain);
    await app.close();
    clearTimeout(late);
    clearTimeout(cut);
    await pool.close();
  };
  return {
    url: `${https === undefined ? "http" : "https"}://${host}:${port}`,
    get models() {
      return [...pool.models.values()];
    },
    get workers() {
      return pool.pids;
    },
    close() {
      closed ??= close();
      return closed;
    },
  };
}
