import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { EidosError, ServiceError } from "../../errors.ts";
import { printable } from "../../printable.ts";
import { faultsOf } from "../../train/run-progress.node.ts";
import { askedFit, type RunList, runNotes } from "./answers.node.ts";
import type { StudioFits } from "./fits.node.ts";
import { formOf, offeredData, offeredModels } from "./form.node.ts";
import type { StudioRuns } from "./runs.node.ts";

// What the page asks the server for: runs and fits, as JSON.

interface OfRun {
  readonly Params: { readonly name: string };
}

/** Bytes of a body: notes, and options of a fit. */
const BODY_LIMIT = 64 * 1024;

/**
 * The policy of a report: a stranger's run folder may hold any page. It runs no script, loads nothing, and counts as of another origin.
 */
const REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox";

const rowNumber = z.coerce.number().int().min(0).max(1e9).default(0);

/** A body as a schema has it. @throws ServiceError naming what is wrong */
export function bodyOf<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new ServiceError(faultsOf(parsed.error), { status: 400 });
  return parsed.data;
}

/** Answers every error of these routes as `{ error }`, in one line. */
export function addStudioErrors(app: FastifyInstance): void {
  app.setErrorHandler((error: Error & { readonly statusCode?: number }, _request, reply) => {
    const status =
      error instanceof ServiceError
        ? error.status
        : error instanceof EidosError
          ? 422
          : (error.statusCode ?? 500);
    const isOurs = error instanceof EidosError || status < 500;
    const message = isOurs ? error.message : "unexpected error; the command eidos studio has printed it";
    if (!isOurs) process.stderr.write(`${error.stack ?? error.message}\n`);
    return reply.code(status).send({ error: printable(message.replaceAll(/\s*\n\s*/g, " ")) });
  });
}

/** Adds the routes of runs to a server that admits its own page alone. */
export function addRunRoutes(app: FastifyInstance, runs: StudioRuns): void {
  app.get("/api/runs", async (): Promise<RunList> => ({ folder: runs.folder, runs: await runs.list() }));
  app.get<OfRun>("/api/runs/:name", ({ params }) => runs.details(params.name));
  app.get<OfRun & { readonly Querystring: { readonly from?: string } }>(
    "/api/runs/:name/metrics",
    ({ params, query }) => runs.metrics(params.name, bodyOf(rowNumber, query.from)),
  );
  app.get<{ readonly Params: { readonly name: string; readonly file: string } }>(
    "/api/runs/:name/pictures/:file",
    async ({ params }, reply) => {
      const { type, bytes } = await runs.picture(params.name, params.file);
      return reply.type(type).header("cache-control", "no-cache").send(Buffer.from(bytes));
    },
  );
  app.get<OfRun>("/api/runs/:name/report", async ({ params }, reply) => {
    const bytes = await runs.report(params.name);
    return reply
      .type("text/html; charset=utf-8")
      .header("content-security-policy", REPORT_POLICY)
      .header("cache-control", "no-cache")
      .send(Buffer.from(bytes));
  });
  app.put<OfRun>("/api/runs/:name/notes", { bodyLimit: BODY_LIMIT }, async ({ params, body }) => {
    await runs.note(params.name, bodyOf(runNotes, body));
    return {};
  });
  app.post<OfRun>("/api/runs/:name/trash", { bodyLimit: BODY_LIMIT }, async ({ params }) => ({
    place: await runs.discard(params.name),
  }));
}

/** Adds the routes of fits. @param data folder whose entries are offered */
export function addFitRoutes(
  app: FastifyInstance,
  { fits, runs, data }: { readonly fits: StudioFits; readonly runs: StudioRuns; readonly data: string },
): void {
  app.get("/api/data", async () => ({ folder: data, data: await offeredData(data) }));
  app.get("/api/models", async () => ({ models: offeredModels() }));
  app.get<OfRun>("/api/models/:name", async ({ params }) => formOf(params.name));
  app.get("/api/fits", async () => ({ fits: fits.list() }));
  app.post("/api/fits", { bodyLimit: BODY_LIMIT }, async ({ body }) => ({
    name: await fits.begin(bodyOf(askedFit, body)),
  }));
  app.post<OfRun>("/api/runs/:name/resume", { bodyLimit: BODY_LIMIT }, async ({ params }) => {
    await fits.resume(await runs.find(params.name), params.name);
    return {};
  });
  app.post<OfRun>("/api/runs/:name/stop", { bodyLimit: BODY_LIMIT }, async ({ params }) => {
    fits.stop(params.name);
    return {};
  });
}
