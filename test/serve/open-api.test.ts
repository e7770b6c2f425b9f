import { Validator } from "@seriousme/openapi-schema-validator";
import fastify from "fastify";
import { describe, expect, it } from "vitest";
import type { ServedModel } from "../../src/serve/abilities.ts";
import type { Serving } from "../../src/serve/compute.node.ts";
import { openApi } from "../../src/serve/open-api.ts";
import { addPlainRoutes } from "../../src/serve/routes/plain.node.ts";
import { addProtocolRoutes } from "../../src/serve/routes/protocol.node.ts";

// The document of a server is valid, and describes the routes that there are, no more and no less.

const model: ServedModel = {
  name: "table",
  model: "nice",
  abilities: ["score", "impute", "sample"],
  sample: { kind: "rows", columns: [{ kind: "numeric", name: "length" }] },
  classes: [],
  given: [],
  sampleOptions: [],
  reasons: true,
  forms: false,
  version: "4",
  merged: ["score"],
};

const limits = { maxRows: 10, maxSamples: 5 };

/** Methods and paths of the routes that are registered, as OpenAPI writes them. */
async function registered(): Promise<readonly string[]> {
  const app = fastify();
  const found: string[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    const path = url.replaceAll(/:(\w+)/g, "{$1}");
    for (const one of [method].flat()) if (one !== "HEAD" && one !== "OPTIONS") found.push(`${one} ${path}`);
  });
  // What they answer from is not looked at before there is a request.
  const serving = { pool: { models: new Map() }, limits } as unknown as Serving;
  addProtocolRoutes(app, serving);
  addPlainRoutes(app, serving);
  await app.ready();
  await app.close();
  return found.sort();
}

const methods = ({ paths }: ReturnType<typeof openApi>): readonly string[] =>
  Object.entries(paths as Readonly<Record<string, object>>)
    .flatMap(([path, item]) =>
      Object.keys(item)
        .filter((key) => key !== "parameters")
        .map((method) => `${method.toUpperCase()} ${path}`),
    )
    .sort();

describe("the OpenAPI document", () => {
  it.each([false, true])("is valid by the schema of OpenAPI 3.1 (token: %s)", async (needsToken) => {
    const { valid, errors } = await new Validator().validate(
      structuredClone(openApi([model], limits, needsToken)),
    );
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
  });

  it("is told from one that is not", async () => {
    const broken = { ...openApi([model], limits, false), paths: { models: {} } };
    expect((await new Validator().validate(structuredClone(broken))).valid).toBe(false);
  });

  it("describes every route that there is", async () => {
    const routes = await registered();
    expect(routes.length).toBeGreaterThan(15);
    expect(methods(openApi([model], limits, false))).toEqual(routes);
  });

  it("names parameters of the path as it uses them", () => {
    for (const [path, item] of Object.entries(openApi([model], limits, false).paths)) {
      const used = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const { parameters = [] } = item as { readonly parameters?: readonly { readonly name: string }[] };
      expect(
        parameters.map(({ name }) => name),
        path,
      ).toEqual(used);
    }
  });

  it("says what it serves, its limits, and whether it needs a token", () => {
    const { info, security, components } = openApi([model], limits, true);
    expect(info.description).toMatch(
      /table \(nice\): score, impute, sample.* at most 10 rows or images and 5 samples/,
    );
    expect(security).toEqual([{ token: [] }]);
    expect(components.securitySchemes).toEqual({ token: { type: "http", scheme: "bearer" } });
    expect(openApi([model], limits, false).security).toEqual([]);
  });
});
