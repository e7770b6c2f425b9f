import type { FastifyInstance } from "fastify";
import { ServiceError } from "../../errors.ts";
import { version } from "../../version.ts";
import { compute, type Serving } from "../compute.node.ts";
import { openApi } from "../open-api.ts";
import { checked } from "../requests.ts";
import {
  inferenceRequest,
  modelMetadata,
  type ProtocolModel,
  protocolModel,
  tensorsOf,
  workOfTensors,
} from "../tensors.ts";

// The routes of the Open Inference Protocol, version 2.

interface ModelPath {
  readonly Params: { readonly name: string; readonly version?: string };
}

/** Paths of a model, with and without a version. */
const paths = (rest: string): readonly string[] => [
  `/v2/models/:name${rest}`,
  `/v2/models/:name/versions/:version${rest}`,
];

export function addProtocolRoutes(app: FastifyInstance, serving: Serving): void {
  const { pool, limits, needsToken, isDraining } = serving;

  /** @throws ServiceError 404 where there is no such model, or it has another version */
  const find = ({ name, version: wanted }: ModelPath["Params"]): ProtocolModel => {
    const model = protocolModel(pool.models, name);
    if (model === undefined) {
      const known = [...pool.models.keys()].join(", ");
      throw new ServiceError(`there is no model ${name}; there are ${known}, and each with :ABILITY`, {
        status: 404,
      });
    }
    const { run } = model;
    if (wanted !== undefined && wanted !== run.version) {
      const held = run.version === undefined ? "has no versions" : `has version ${run.version} alone`;
      throw new ServiceError(`${run.name} ${held}`, { status: 404 });
    }
    return model;
  };

  // Probes ask often.
  const quiet = { logLevel: "warn" } as const;
  app.get("/v2/health/live", quiet, () => ({ live: true }));
  app.get("/v2/health/ready", quiet, (_request, reply) => {
    const ready = pool.isReady && !isDraining();
    // The text of the protocol calls the field live, its servers call it ready.
    if (ready) return { live: true, ready };
    return reply.code(503).send({ live: true, ready, error: "no worker is ready" });
  });
  app.get("/v2", () => ({ name: "eidos", version, extensions: ["abilities", "plain_routes"] }));
  app.get("/openapi.json", () => openApi([...pool.models.values()], limits, needsToken));

  for (const path of paths("")) {
    app.get<ModelPath>(path, ({ params }) => modelMetadata(find(params), params.name));
  }
  for (const path of paths("/ready")) {
    app.get<ModelPath>(path, quiet, ({ params }, reply) => {
      find(params);
      const ready = pool.isReady && !isDraining();
      if (ready) return { name: params.name, ready };
      return reply.code(503).send({ name: params.name, ready, error: "no worker is ready" });
    });
  }
  for (const path of paths("/infer")) {
    app.post<ModelPath>(path, async (request, reply) => {
      const { params } = request;
      const model = find(params);
      const body = checked(inferenceRequest, request.body);
      const work = workOfTensors(model, body, limits);
      const { answer, version: made } = await compute(serving, request, reply, model.run, work);
      const wanted = body.outputs?.map(({ name }) => name) ?? [];
      return {
        model_name: params.name,
        ...(made !== undefined && { model_version: made }),
        ...(body.id !== undefined && { id: body.id }),
        outputs: tensorsOf(answer, model, wanted),
      };
    });
  }
}
