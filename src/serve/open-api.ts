import { z } from "zod";
import { version } from "../version.ts";
import { ABILITIES, type ServedModel } from "./abilities.ts";
import { BODIES, DETECT_OPTIONS } from "./bodies.ts";
import type { RequestLimits } from "./requests.ts";

// The OpenAPI document of a server: the routes of the Open Inference Protocol with its schemas by the names that the specification has for them,
// and the plain routes with the schemas that check their bodies.

type Json = Readonly<Record<string, unknown>>;

const text = { type: "string" } as const;
const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: Json): Json => ({ "application/json": { schema } });

function object(properties: Json, required: readonly string[]): Json {
  return { type: "object", properties, required };
}

const shape = { type: "array", items: { type: "integer" } } as const;

const tensor = { name: text, shape, datatype: text } as const;

/** Schemas of the protocol, by its own names. */
const PROTOCOL_SCHEMAS: Json = {
  metadata_server_response: object(
    { name: text, version: text, extensions: { type: "array", items: text } },
    ["name", "version", "extensions"],
  ),
  metadata_model_response: object(
    {
      name: text,
      versions: { type: "array", items: text },
      platform: text,
      inputs: { type: "array", items: ref("metadata_tensor") },
      outputs: { type: "array", items: ref("metadata_tensor") },
    },
    ["name", "platform", "inputs", "outputs"],
  ),
  metadata_tensor: object(tensor, ["name", "datatype", "shape"]),
  parameters: { type: "object", additionalProperties: true },
  tensor_data: {
    type: "array",
    items: {
      anyOf: [
        ref("tensor_data"),
        { type: "number" },
        text,
        { type: "boolean" },
        // Beyond the protocol: a missing cell, or a number that JSON has not.
        { type: "null" },
      ],
    },
  },
  request_input: object({ ...tensor, parameters: ref("parameters"), data: ref("tensor_data") }, [
    "name",
    "shape",
    "datatype",
    "data",
  ]),
  request_output: object({ name: text, parameters: ref("parameters") }, ["name"]),
  inference_request: object(
    {
      id: text,
      parameters: ref("parameters"),
      inputs: { type: "array", items: ref("request_input") },
      outputs: { type: "array", items: ref("request_output") },
    },
    ["inputs"],
  ),
  response_output: object({ ...tensor, parameters: ref("parameters"), data: ref("tensor_data") }, [
    "name",
    "shape",
    "datatype",
    "data",
  ]),
  inference_response: object(
    {
      model_name: text,
      model_version: text,
      id: text,
      parameters: ref("parameters"),
      outputs: { type: "array", items: ref("response_output") },
    },
    ["model_name", "outputs"],
  ),
  error: object({ error: text }, ["error"]),
};

const ERRORS: Json = Object.fromEntries(
  [
    ["400", "Something in the request is wrong; the message names it."],
    ["401", "The token is missing or wrong."],
    ["404", "There is no such model or route."],
    ["406", "What the client accepts is not made here."],
    ["413", "The body, the image or what is asked for is too large."],
    ["415", "The body is of a type that this route does not take."],
    ["500", "The model could not compute this."],
    ["501", "The server lacks a package that this needs."],
    ["503", "Too many requests wait, a worker died, or the server is stopping; Retry-After has the seconds."],
    ["504", "The deadline of the request has passed."],
  ].map(([status, description]) => [status, { description, content: json(ref("error")) }]),
);

const ok = (content: Json): Json => ({ "200": { description: "OK", content }, ...ERRORS });

const schemaOf = (schema: z.ZodType): Json => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest as Json;
};

const parameter = (name: string, within: "path" | "query", schema: Json = text): Json => ({
  name,
  in: within,
  required: within === "path",
  schema,
});

/** Parameters of a query from the fields of a schema. */
const queryOf = (schema: z.ZodObject): readonly Json[] =>
  Object.entries(schema.shape).map(([name, field]) => parameter(name, "query", schemaOf(field as z.ZodType)));

const MODEL = parameter("model", "query");

const IMAGES: Json = Object.fromEntries(
  ["image/jpeg", "image/png", "image/webp", "application/octet-stream"].map((type) => [
    type,
    { schema: { type: "string", format: "binary" } },
  ]),
);

const array = object({ shape, data: { type: "array", items: { type: ["number", "null"] } } }, [
  "shape",
  "data",
]);
const rows = { type: "array", items: { type: "object" } } as const;

const cell = { type: ["number", "string", "null"] } as const;

const why: Json = {
  type: "array",
  description: "the oddest rows, the oddest first, where they were asked for",
  items: object(
    {
      row: { type: "integer", description: "position among the rows that were sent" },
      reasons: {
        type: "array",
        description: "cells, the one that adds most first",
        items: object(
          {
            column: text,
            cell,
            nats: {
              type: ["number", "null"],
              description:
                "how much likelier the row would be with another cell in its place; null where it is impossible",
            },
            usual: {
              ...cell,
              description: "the cell of those that were tried with which the row is likeliest",
            },
          },
          ["column", "cell", "nats", "usual"],
        ),
      },
    },
    ["row", "reasons"],
  ),
};

const png: Json = { "image/png": { schema: { type: "string", format: "binary" } } };

/** What the plain routes answer: which model made it, and what. */
const made = (properties: Json, more: Json = {}): Json =>
  object(
    {
      model: text,
      version: { ...text, description: "step of training of the weights" },
      ignoredColumns: {
        type: "array",
        items: text,
        description: "columns that were sent and the model does not know",
      },
      ...properties,
      ...more,
    },
    ["model", ...Object.keys(properties)],
  );

const found = made({
  width: { type: "integer" },
  height: { type: "integer" },
  cut: { type: "boolean", description: "whether more was found than the maximum" },
  objects: {
    type: "array",
    items: object(
      {
        label: text,
        class: { type: "integer" },
        score: { type: "number" },
        box: {
          type: "array",
          items: { type: "number" },
          minItems: 4,
          maxItems: 4,
          description: "left, top, right, bottom in pixels of the upright image",
        },
        landmarks: { type: "array", items: { type: "array", items: { type: "number" } } },
      },
      ["label", "class", "score", "box"],
    ),
  },
});

const SERVED_MODEL: Json = object(
  {
    name: text,
    model: text,
    abilities: { type: "array", items: { enum: [...ABILITIES] } },
    sample: {
      anyOf: [
        object(
          {
            kind: { const: "rows" },
            columns: {
              type: "array",
              items: object(
                {
                  kind: { enum: ["numeric", "binary", "categorical"] },
                  name: text,
                  categories: { type: "array", items: text },
                },
                ["kind", "name"],
              ),
            },
          },
          ["kind", "columns"],
        ),
        object({ kind: { const: "picture" }, shape, binary: { type: "boolean" } }, [
          "kind",
          "shape",
          "binary",
        ]),
      ],
    },
    classes: { type: "array", items: text },
    given: { type: "array", items: text },
    sampleOptions: { type: "array", items: text },
    features: shape,
    forms: { type: "boolean", description: "whether its pictures can be shown as they form" },
    reasons: { type: "boolean", description: "whether it can be told which cells make a row odd" },
    version: text,
  },
  ["name", "model", "abilities", "sample", "classes", "given", "sampleOptions", "reasons", "forms"],
);

/** Routes of a model of the protocol, with or without a version. */
function modelRoutes(path: string, parameters: readonly Json[]): Json {
  const get = (summary: string, schema: Json): Json => ({
    parameters,
    get: { summary, responses: ok(json(schema)) },
  });
  return {
    [path]: get("Model Metadata", ref("metadata_model_response")),
    [`${path}/ready`]: get(
      "Model Ready",
      object({ name: text, ready: { type: "boolean" } }, ["name", "ready"]),
    ),
    [`${path}/infer`]: {
      parameters,
      post: {
        summary: "Inference",
        requestBody: { required: true, content: json(ref("inference_request")) },
        responses: ok(json(ref("inference_response"))),
      },
    },
  };
}

/** The document of a server that serves these models. @param needsToken whether it asks for one */
export function openApi(
  models: readonly ServedModel[],
  { maxRows, maxSamples }: RequestLimits,
  needsToken: boolean,
) {
  const get = (summary: string, content: Json): Json => ({ get: { summary, responses: ok(content) } });
  /** Probes need no token. */
  const open = (summary: string, properties: readonly string[]): Json => ({
    get: {
      summary,
      security: [],
      responses: ok(
        json(object(Object.fromEntries(properties.map((name) => [name, { type: "boolean" }])), properties)),
      ),
    },
  });
  const post = (summary: string, body: Json, answer: Json, more: readonly Json[] = []): Json => ({
    post: {
      summary,
      parameters: [MODEL, ...more],
      requestBody: { required: true, content: body },
      responses: ok(answer),
    },
  });
  const name = parameter("name", "path");
  const list = models.map((model) => `${model.name} (${model.model}): ${model.abilities.join(", ")}`);
  return {
    openapi: "3.1.0",
    info: {
      title: "eidos",
      version,
      description: `Models: ${list.join("; ")}. A model of the protocol does one thing: NAME its first ability, NAME:ABILITY each. A request has at most ${maxRows} rows or images and ${maxSamples} samples.`,
      license: { name: "MIT" },
    },
    paths: {
      "/v2/health/live": open("Server Live", ["live"]),
      "/v2/health/ready": open("Server Ready", ["live", "ready"]),
      "/v2": get("Server Metadata", json(ref("metadata_server_response"))),
      ...modelRoutes("/v2/models/{name}", [name]),
      ...modelRoutes("/v2/models/{name}/versions/{version}", [name, parameter("version", "path")]),
      "/detect": post(
        "Finds objects in an image",
        IMAGES,
        { ...json(found), "image/jpeg": { schema: { type: "string", format: "binary" } } },
        queryOf(DETECT_OPTIONS),
      ),
      "/score": post(
        "Log-likelihood of each row, or of an image, in nats",
        { ...json(schemaOf(BODIES.score)), ...IMAGES },
        json(made({ logLikelihood: { type: "array", items: { type: ["number", "null"] } } }, { why })),
      ),
      "/impute": post(
        "Fills in the missing cells of rows",
        json(schemaOf(BODIES.impute)),
        json(made({ rows })),
      ),
      "/sample": post("Draws samples", json(schemaOf(BODIES.sample)), {
        ...json({ anyOf: [made({ rows }), made({ samples: array })] }),
        ...png,
      }),
      "/embed": post(
        "Features of each row, or of an image",
        { ...json(schemaOf(BODIES.embed)), ...IMAGES },
        json(made({ features: array })),
      ),
      "/inpaint": post(
        "Draws the unknown part of pictures: [n, draws, channels, height, width]",
        { ...json(schemaOf(BODIES.inpaint)), ...IMAGES },
        { ...json(made({ samples: array })), ...png },
      ),
      "/edit": post(
        "Changes pictures by noise: [n, draws, channels, height, width]; or rows, the draws of each one after the other",
        { ...json(schemaOf(BODIES.edit)), ...IMAGES },
        { ...json({ anyOf: [made({ rows }), made({ samples: array })] }), ...png },
      ),
      "/interpolate": post(
        "Pictures along paths between pairs: [pairs, steps, channels, height, width]; or rows, path after path",
        json(schemaOf(BODIES.interpolate)),
        { ...json({ anyOf: [made({ rows }), made({ samples: array })] }), ...png },
      ),
      "/models": get("The models that are served", json({ type: "array", items: SERVED_MODEL })),
      "/openapi.json": get("This document", json({ type: "object" })),
      "/metrics": get("Numbers for Prometheus", { "text/plain": { schema: text } }),
    },
    security: needsToken ? [{ token: [] }] : [],
    components: {
      schemas: PROTOCOL_SCHEMAS,
      securitySchemes: needsToken ? { token: { type: "http", scheme: "bearer" } } : {},
    },
  };
}
