import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { EidosServer } from "../../src/serve/index.node.ts";
import { present, temporaryFolder } from "../support.ts";
import { ask, fitTable, fixture, picture, type Reply, remove, serve } from "./support.ts";

// What a server answers is what the Open Inference Protocol says, and what its own OpenAPI document says. The schemas of the protocol are written
// from its text; where the variable EIDOS_OPEN_INFERENCE names the protocol's own OpenAPI file (open_inference_rest.yaml), that counts as well.

type Json = Readonly<Record<string, unknown>>;

interface Document {
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Json>>>>;
}

const read = async (path: string): Promise<Document> => parse(await readFile(path, "utf8"));

const text = await read(new URL("../fixtures/serve/open-inference.yaml", import.meta.url).pathname);
const { EIDOS_OPEN_INFERENCE: official } = process.env;
const documents = official === undefined ? [text] : [text, await read(official)];

const checks = new Map<Json, ValidateFunction>();

/** The check of a schema inside of a document. */
function checkOf(document: Document, schema: Json): ValidateFunction {
  const known = checks.get(schema);
  if (known !== undefined) return known;
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  const check = ajv.compile({ ...schema, components: document.components });
  checks.set(schema, check);
  return check;
}

/** A value has to be what a schema of the protocol says, in each document that has a schema of that name. */
function expectSchema(name: string, value: unknown): void {
  for (const document of documents) {
    const schema = document.components.schemas[name];
    if (schema === undefined && document !== text) continue;
    const check = checkOf(document, present(schema, name));
    check(value);
    expect(check.errors ?? [], `${name}: ${JSON.stringify(value).slice(0, 300)}`).toEqual([]);
  }
}

let folder = "";
let server: EidosServer;
let own: Document;
beforeAll(async () => {
  folder = await temporaryFolder();
  await fitTable(join(folder, "table"));
  const runs = [
    fixture("nice-two-moons"),
    join(folder, "table"),
    `digits=${fixture("rectified-flow-digits")}`,
    `scenes=${fixture("fcos-digit-scenes")}`,
  ];
  server = await serve(runs, { port: 0, workers: 1, threads: 1, log: "silent", maxRows: 9, maxSamples: 9 });
  own = (await ask(server, "/openapi.json")).body;
});
afterAll(async () => {
  await server?.close();
  await remove(folder);
});

/** An answer has to be what the server's own document says of a route. */
function expectOwn(method: "get" | "post", path: string, { status, type, body }: Reply): void {
  const route = present(own.paths?.[path], path);
  // biome-ignore lint/suspicious/noExplicitAny: a document of any form
  const content = (route[method] as any)?.responses?.[status]?.content?.[type.split(";")[0] ?? ""];
  const check = checkOf(own, present(content, `${method} ${path} ${status} ${type}`).schema);
  check(body);
  expect(check.errors ?? [], `${method} ${path}: ${JSON.stringify(body).slice(0, 300)}`).toEqual([]);
}

interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

type Filled = Tensor & { readonly data: readonly (number | string)[] };

/** Whether a value is one of a data type. */
const isOf: Readonly<Record<string, (value: unknown) => boolean>> = {
  UINT8: (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 255,
  INT64: (value) => Number.isInteger(value),
  FP32: (value) => typeof value === "number",
  FP64: (value) => typeof value === "number",
  BYTES: (value) => typeof value === "string",
};

const size = (shape: readonly number[]): number => shape.reduce((product, one) => product * one, 1);

/** A tensor has to be one of those that the model has promised. */
function expectTensor({ name, datatype, shape, data }: Filled, promised: readonly Tensor[]): void {
  const wanted = present(
    promised.find((one) => one.name === name),
    name,
  );
  expect(datatype).toBe(wanted.datatype);
  expect(shape).toHaveLength(wanted.shape.length);
  for (const [i, length] of wanted.shape.entries()) if (length >= 0) expect(shape[i]).toBe(length);
  expect(data).toHaveLength(size(shape));
  expect(data.every(present(isOf[datatype], datatype))).toBe(true);
}

/** Values for an input of which nothing is known but what the metadata says, two in its first dimension. */
async function filled({ name, datatype, shape }: Tensor): Promise<Filled> {
  const full = shape.map((length) => (length < 0 ? 2 : length));
  const image = Buffer.from(await picture(64, 64)).toString("base64");
  const value = name === "kind" ? "setosa" : name === "image" ? image : 1;
  return { name, datatype, shape: full, data: Array(size(full)).fill(value) };
}

const MODELS = [
  ["nice-two-moons", "score"],
  ["nice-two-moons:score", "score"],
  ["nice-two-moons:impute", "impute"],
  ["nice-two-moons:sample", "sample"],
  ["table", "score"],
  ["table:impute", "impute"],
  ["table:sample", "sample"],
  ["table:interpolate", "interpolate"],
  ["digits:sample", "sample"],
  ["scenes", "detect"],
  ["scenes:embed", "embed"],
  ["digits:inpaint", "inpaint"],
  ["digits:edit", "edit"],
  ["digits:interpolate", "interpolate"],
] as const;

describe("a model of the protocol", () => {
  it.each(MODELS)("%s says what it takes and answers, and does so", async (name, ability) => {
    const at = `/v2/models/${encodeURIComponent(name)}`;
    const metadata = await ask(server, at);
    expect(metadata.status).toBe(200);
    expectSchema("metadata_model_response", metadata.body);
    expectOwn("get", "/v2/models/{name}", metadata);
    expect(metadata.body.name).toBe(name);
    const ready = await ask(server, `${at}/ready`);
    expect(ready.body).toEqual({ name, ready: true });
    expectSchema("ready_model_response", ready.body);
    expectOwn("get", "/v2/models/{name}/ready", ready);
    const { inputs, outputs, versions } = metadata.body;
    const parameters =
      ability === "detect"
        ? { confidence: 0.01 }
        : ability === "sample"
          ? { seed: 3 }
          : ability === "inpaint" || ability === "edit" || ability === "interpolate"
            ? { steps: 2 }
            : undefined;
    const request = {
      id: "one",
      ...(parameters && { parameters }),
      inputs: await Promise.all(inputs.map(filled)),
    };
    expectSchema("inference_request", request);
    const answer = await ask(server, `${at}/infer`, request);
    expect(answer.body.error).toBeUndefined();
    expectSchema("inference_response", answer.body);
    expectOwn("post", "/v2/models/{name}/infer", answer);
    expect(answer.body).toMatchObject({ model_name: name, model_version: versions[0], id: "one" });
    const names = answer.body.outputs.map((tensor: Tensor) => tensor.name);
    expect(names).toEqual(outputs.map((tensor: Tensor) => tensor.name));
    for (const tensor of answer.body.outputs) expectTensor(tensor, outputs);
    // One output of several, of a version that is named.
    const [first] = outputs;
    const { id: _, ...rest } = { ...request, outputs: [{ name: first.name }] };
    const part = await ask(server, `${at}/versions/${versions[0]}/infer`, rest);
    expectSchema("inference_response", part.body);
    expectOwn("post", "/v2/models/{name}/versions/{version}/infer", part);
    expect(part.body.outputs).toEqual([answer.body.outputs[0]]);
    expect(Object.hasOwn(part.body, "id")).toBe(false);
    for (const rest of ["", "/ready"]) {
      const versioned = await ask(server, `${at}/versions/${versions[0]}${rest}`);
      expect(versioned.status).toBe(200);
      expectOwn("get", `/v2/models/{name}/versions/{version}${rest}`, versioned);
    }
  });

  it("takes tensors nested as well as flat", async () => {
    const at = "/v2/models/nice-two-moons/infer";
    const of = (nested: boolean) => ({
      inputs: ["x", "y"].map((name) => ({
        name,
        shape: [3, 1],
        datatype: "FP64",
        data: nested ? [[0.5], [1], [0]] : [0.5, 1, 0],
      })),
    });
    const [flat, nested] = [await ask(server, at, of(false)), await ask(server, at, of(true))];
    expect(flat.status).toBe(200);
    expect(nested.body).toEqual(flat.body);
  });
});

describe("a server of the protocol", () => {
  it.each([
    ["/v2", "/v2", "metadata_server_response"],
    ["/v2/", "/v2", "metadata_server_response"],
    ["/v2/health/live", "/v2/health/live", "live_server_response"],
    ["/v2/health/ready", "/v2/health/ready", "ready_server_response"],
  ])("answers %s", async (asked, path, schema) => {
    const reply = await ask(server, asked);
    expect(reply.status).toBe(200);
    expectSchema(schema, reply.body);
    expectOwn("get", path, reply);
  });

  const count = { name: "count", shape: [1], datatype: "INT64", data: [1] };
  const x = { name: "x", shape: [1], datatype: "FP64", data: [0] };
  const y = { ...x, name: "y" };
  const at = "/v2/models/nice-two-moons/infer";
  const broken: readonly (readonly [string, string, unknown, number, RegExp])[] = [
    [
      "an unknown model",
      "/v2/models/none/infer",
      { inputs: [x, y] },
      404,
      /no model none; there are nice-two-moons/,
    ],
    ["an ability that it lacks", "/v2/models/nice-two-moons:detect/infer", { inputs: [] }, 404, /no model/],
    [
      "another version",
      "/v2/models/table/versions/99/infer",
      { inputs: [] },
      404,
      /table has version 4 alone/,
    ],
    ["no JSON", at, "{", 400, /JSON/],
    ["no inputs", at, {}, 400, /^inputs: /],
    ["a missing input", at, { inputs: [x] }, 400, /column "y" is missing/],
    ["an input twice", at, { inputs: [x, x] }, 400, /same name/],
    [
      "an output twice",
      at,
      { inputs: [x], outputs: [{ name: "log_likelihood" }, { name: "log_likelihood" }] },
      400,
      /two outputs have the same name/,
    ],
    [
      "a shape that is not filled",
      at,
      { inputs: [{ ...x, shape: [2] }, y] },
      400,
      /1 values cannot fill the shape \[2\]/,
    ],
    ["a negative dimension", at, { inputs: [{ ...x, shape: [-1] }, y] }, 400, /^inputs\.0\.shape\.0: /],
    ["an unknown type", at, { inputs: [{ ...x, datatype: "FP8" }, y] }, 400, /^inputs\.0\.datatype: /],
    ["texts for numbers", at, { inputs: [{ ...x, data: ["a"] }, y] }, 400, /value 0 is no number/],
    [
      "inputs of two lengths",
      at,
      { inputs: [x, { ...y, shape: [2], data: [0, 0] }] },
      400,
      /input y has 2 values, x has 1/,
    ],
    ["an output that is none", at, { inputs: [x, y], outputs: [{ name: "z" }] }, 400, /there is no output z/],
    [
      "binary tensors",
      at,
      { inputs: [{ ...x, parameters: { binary_data_size: 8 } }, y] },
      400,
      /sent and answered as JSON/,
    ],
    [
      "a parameter that is none",
      at,
      { inputs: [x, y], parameters: { seeds: 1 } },
      400,
      /no "seeds" here; did you mean seed/,
    ],
    ["reasons", at, { inputs: [x, y], parameters: { why: 1 } }, 400, /told by POST \/score alone/],
    [
      "a file that is no base64",
      "/v2/models/scenes/infer",
      { inputs: [{ name: "image", shape: [1], datatype: "BYTES", data: ["%"] }] },
      400,
      /no file in base64/,
    ],
    [
      "too many samples",
      "/v2/models/table:sample/infer",
      { inputs: [{ ...count, data: [10] }] },
      413,
      /10 samples, more than the limit of 9/,
    ],
    [
      "too many rows",
      at,
      { inputs: [x, y].map((one) => ({ ...one, shape: [10], data: Array(10).fill(0) })) },
      413,
      /10 rows, more than the limit of 9/,
    ],
  ];

  it.each(broken)("refuses %s in one line", async (_what, path, body, status, message) => {
    const reply = await ask(server, path, body);
    expect(reply.body.error).toMatch(message);
    expect(reply.body.error).not.toMatch(/\n/);
    expect(reply.status).toBe(status);
    expectSchema("inference_error_response", reply.body);
    const own = path
      .replace(/models\/[^/]+/, "models/{name}")
      .replace(/versions\/[^/]+/, "versions/{version}");
    expectOwn("post", own, reply);
  });

  it.each(["/v2/models/none", "/v2/models/none/ready", "/v2/models/table/versions/0"])(
    "refuses %s in one line",
    async (path) => {
      const reply = await ask(server, path);
      expect(reply.status).toBe(404);
      expectSchema("metadata_model_error_response", reply.body);
    },
  );
});

describe("the plain routes", () => {
  const table = [{ length: 5.1, width: 3, kind: "setosa", other: 1 }];
  const blankPair = { shape: [2, 1, 28, 28], data: Array(2 * 784).fill(0) };
  it.each([
    ["/score", "?model=table", table],
    ["/impute", "?model=table", { rows: [{ ...table[0], kind: null }] }],
    ["/sample", "?model=table", { count: 2 }],
    ["/sample", "?model=digits", { count: 1, steps: 1 }],
    ["/embed", "?model=scenes", undefined],
    ["/detect", "?model=scenes&confidence=0.01", undefined],
    ["/score", "?model=table", { rows: table, why: 1 }],
    ["/inpaint", "?model=digits&half=bottom&steps=2", undefined],
    ["/edit", "?model=digits&steps=2", undefined],
    ["/interpolate", "?model=digits", { samples: blankPair, steps: 2 }],
  ] as const)("%s%s answers what the document says", async (path, query, body) => {
    const reply = await ask(server, path + query, body ?? (await picture(64, 64)));
    expect(reply.status).toBe(200);
    expectOwn("post", path, reply);
  });

  it.each(["/models", "/metrics", "/openapi.json"])("%s answers what the document says", async (path) => {
    const reply = await ask(server, path);
    expect(reply.status).toBe(200);
    expectOwn("get", path, reply);
  });
});
