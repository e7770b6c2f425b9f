import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ServiceError } from "../../errors.ts";
import { isRecord } from "../../options.ts";
import {
  ABILITIES,
  type Answer,
  type MadeCell,
  type OddRow,
  type ServedAbility,
  type ServedModel,
  type Work,
} from "../abilities.ts";
import { compute, type Serving } from "../compute.node.ts";
import { METRICS_TYPE } from "../metrics.node.ts";
import { bad, ignoredColumns, workOf, workOnFiles } from "../requests.ts";
import { jsonNumber } from "../tensors.ts";

// The routes that people type: an image or a few rows in, JSON or a picture out.

type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** Options of a query, without the model: numbers as such. */
function optionsOf({ model: _, ...query }: Query): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [
      name,
      typeof value === "string" && NUMBER.test(value) ? Number(value) : value,
    ]),
  );
}

/** The pictures that abilities make. */
const PICTURES: Readonly<Partial<Record<ServedAbility, string>>> = {
  detect: "image/jpeg",
  sample: "image/png",
  inpaint: "image/png",
  edit: "image/png",
  interpolate: "image/png",
};

/** Whether a client wants a picture. @throws ServiceError 406 where it accepts neither JSON nor what there is */
function wantsPicture({ headers: { accept = "*/*" } }: FastifyRequest, ability: ServedAbility): boolean {
  const types = accept.split(",").map((part) => (part.split(";")[0] ?? "").trim().toLowerCase());
  const picture = PICTURES[ability];
  for (const type of types) {
    if (type === "*/*" || type === "application/*" || type === "application/json") return false;
    if (picture !== undefined && (type === picture || type === "image/*")) return true;
  }
  const known = ["application/json", ...(picture === undefined ? [] : [picture])];
  throw new ServiceError(`/${ability} answers ${known.join(" or ")}`, { status: 406 });
}

/** Rows of a table as objects. */
function asObjects({ names, rows }: Extract<Answer, { kind: "table" }>): readonly object[] {
  return rows.map((row) => Object.fromEntries(names.map((name, i) => [name, jsonCell(row[i] ?? null)])));
}

const jsonCell = (cell: MadeCell): MadeCell => (typeof cell === "number" ? jsonNumber(cell) : cell);

/** A row and its cells as JSON has them. */
const asOddRow = ({ row, reasons }: OddRow): object => ({
  row,
  reasons: reasons.map(({ column, cell, nats, usual }) => ({
    column,
    cell: jsonCell(cell),
    nats: jsonNumber(nats),
    usual: jsonCell(usual),
  })),
});

/** An answer as JSON. */
function asJson(answer: Exclude<Answer, { kind: "picture" }>, ability: ServedAbility): object {
  switch (answer.kind) {
    case "found": {
      const [first] = answer.images;
      return first ?? bad("there is no image in the body");
    }
    case "scores":
      return {
        logLikelihood: Array.from(answer.logLikelihood, jsonNumber),
        ...(answer.why !== undefined && { why: answer.why.map(asOddRow) }),
      };
    case "table":
      return { rows: asObjects(answer) };
    case "array": {
      const { shape, data } = answer.array;
      return {
        [ability === "embed" ? "features" : "samples"]: { shape, data: Array.from(data, jsonNumber) },
      };
    }
  }
}

export function addPlainRoutes(app: FastifyInstance, serving: Serving): void {
  const { pool, limits, metrics } = serving;

  /** The model that a query names, or the only one. @throws ServiceError */
  const modelOf = ({ model: name }: Query): ServedModel => {
    const [first, second] = pool.models.values();
    const known = [...pool.models.keys()].join(", ");
    if (name === undefined) {
      if (first !== undefined && second === undefined) return first;
      return bad(`there are several models; add ?model= and one of ${known}`);
    }
    const model = pool.models.get(String(name));
    if (model !== undefined) return model;
    throw new ServiceError(`there is no model ${name}; there are ${known}`, { status: 404 });
  };

  const answer = async (
    request: FastifyRequest,
    reply: FastifyReply,
    model: ServedModel,
    work: Work,
    ignored: readonly string[] = [],
  ): Promise<unknown> => {
    const { answer, version } = await compute(serving, request, reply, model, work);
    if (answer.kind === "picture") return reply.type(answer.type).send(Buffer.from(answer.bytes));
    return {
      model: model.name,
      ...(version !== undefined && { version }),
      ...asJson(answer, work.kind),
      ...(ignored.length > 0 && { ignoredColumns: ignored }),
    };
  };

  app.post<{ Querystring: Query }>("/detect", (request, reply) => {
    const { body, query } = request;
    const model = modelOf(query);
    const picture = wantsPicture(request, "detect");
    if (!Buffer.isBuffer(body))
      return bad("send the bytes of an image as the body, as image/jpeg or image/png");
    return answer(
      request,
      reply,
      model,
      workOnFiles(model, "detect", [body], optionsOf(query), limits, picture),
    );
  });

  for (const ability of ABILITIES) {
    if (ability === "detect") continue;
    app.post<{ Querystring: Query }>(`/${ability}`, (request, reply) => {
      const { body, query } = request;
      const model = modelOf(query);
      const picture = wantsPicture(request, ability);
      const options = optionsOf(query);
      if (Buffer.isBuffer(body)) {
        if (ability === "impute" || ability === "sample") return bad(`/${ability} takes JSON, not an image`);
        const work = workOnFiles(model, ability, [body], options, limits, picture);
        return answer(request, reply, model, work);
      }
      // Rows may come alone, and nothing at all where everything has a default.
      const given = Array.isArray(body) ? { rows: body } : (body ?? {});
      if (!isRecord(given)) return bad("the body must be an object, or a list of rows");
      const work = workOf(model, ability, { ...options, ...given }, limits, picture);
      const rows = "samples" in work ? work.samples : undefined;
      const ignored = rows?.kind === "rows" ? ignoredColumns(model, rows.rows) : [];
      return answer(request, reply, model, work, ignored);
    });
  }

  app.get("/models", () => [...pool.models.values()].map(({ merged: _, ...model }) => model));
  app.get("/metrics", { logLevel: "warn" }, (_request, reply) =>
    reply.type(METRICS_TYPE).send(metrics.text()),
  );
}
