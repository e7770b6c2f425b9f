import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExportedRun, UsableModel } from "../../src/serve/index.node.ts";
import { type Studio, startStudio } from "../../src/serve/index.node.ts";
import { startFit } from "../../src/tasks/fit/fit.node.ts";
import { openRun } from "../../src/tasks/index.node.ts";
import { temporaryFolder } from "../support.ts";

// The studio's page uses runs: what it asks is passed on to servers of these runs.

let folder: string;
let studio: Studio;
let cookie: string;

const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${studio.url}/api/runs/${path}`, {
    ...init,
    headers: { cookie, origin: studio.url, "content-type": "application/json", ...init.headers },
  });

const sample = (name: string, body: unknown): Promise<Response> =>
  ask(`${encodeURIComponent(name)}/use/sample`, { method: "POST", body: JSON.stringify(body) });

beforeAll(async () => {
  folder = await temporaryFolder();
  const common = {
    model: "nice",
    data: "two-moons",
    count: 100,
    width: 8,
    steps: 4,
    report: "none",
  } as const;
  for (const [seed, name] of ["a run", "second", "third"].entries())
    await startFit({ ...common, seed, samplePictures: 0, out: join(folder, "runs", name) });
  await mkdir(join(folder, "page"));
  await writeFile(join(folder, "page", "index.html"), "<!doctype html>");
  studio = await startStudio({ port: 0, runs: join(folder, "runs") }, join(folder, "page"));
  const { headers } = await fetch(studio.address, { redirect: "manual" });
  cookie = String(headers.get("set-cookie")).split(";")[0] ?? "";
});

afterAll(async () => {
  await studio.close();
  await rm(folder, { recursive: true, force: true });
});

describe("a run that the page uses", () => {
  it("tells what it can do", async () => {
    const model = (await (await ask("a%20run/use")).json()) as UsableModel;
    expect(model).toMatchObject({ model: "nice", classes: [], version: "4" });
    expect(model.abilities).toEqual(expect.arrayContaining(["sample", "score"]));
  });

  it("draws the samples that the run draws, whichever runs were used before", async () => {
    for (const name of ["a run", "second", "third", "a run"]) {
      const answer = await sample(name, { count: 3, seed: 5 });
      expect(answer.status).toBe(200);
      const { rows } = (await answer.json()) as { rows: readonly Record<string, number>[] };
      await using run = await openRun(join(folder, "runs", name));
      const { data } = await run.sample({ count: 3, seed: 5 });
      const expected = Array.from(data);
      expect(rows.flatMap((row) => Object.values(row)).map((value) => value.toFixed(4))).toEqual(
        expected.map((value) => value.toFixed(4)),
      );
    }
  });

  it("says what is wrong with a request, as eidos serve does", async () => {
    for (const [body, said] of [
      [{ count: 0 }, /count/],
      [{ label: 1 }, /no classes/],
      [{ steps: 3 }, /no option/],
    ] as const) {
      const answer = await sample("a run", body);
      expect(answer.status).toBe(400);
      expect(((await answer.json()) as { error: string }).error).toMatch(said);
    }
    const wrong = await ask("a%20run/use/detect", {
      method: "POST",
      body: new Uint8Array([1, 2, 3]),
      headers: { "content-type": "application/octet-stream" },
    });
    expect(wrong.status).toBe(400);
    expect(((await wrong.json()) as { error: string }).error).toMatch(/cannot detect/);
  });

  it("tells why a row is odd, as far as it has a table; passes pictures on to a model that takes some", async () => {
    const score = (body: unknown) => ask("a%20run/use/score", { method: "POST", body: JSON.stringify(body) });
    const scored = (await (await score({ rows: [{ x: 0, y: 1 }] })).json()) as { logLikelihood: number[] };
    expect(scored.logLikelihood).toEqual([expect.any(Number)]);
    const why = await score({ rows: [{ x: 0, y: 1 }], why: 1 });
    expect(why.status).toBe(400);
    const fill = await ask("a%20run/use/inpaint", { method: "POST", body: "{}" });
    expect(fill.status).toBe(400);
    expect(((await fill.json()) as { error: string }).error).toMatch(/cannot inpaint; it can score/);
  });

  it("is exported into its folder, as the command does it", async () => {
    const exported = async (name: string, body: unknown) => {
      const answer = await ask(`${name}/export`, { method: "POST", body: JSON.stringify(body) });
      return { status: answer.status, body: (await answer.json()) as ExportedRun & { error?: string } };
    };
    const { status, body } = await exported("second", {});
    expect(body.error).toBeUndefined();
    expect(status).toBe(200);
    const path = join(folder, "runs", "second", "model");
    expect(body.path).toBe(path);
    expect(body.files.map(({ name }) => name).sort()).toEqual((await readdir(path)).sort());
    for (const { name, bytes } of body.files) expect((await stat(join(path, name))).size).toBe(bytes);
    await using run = await openRun(join(folder, "runs", "second"));
    await run.export(join(folder, "other"));
    for (const { name } of body.files)
      expect(await readFile(join(path, name))).toEqual(await readFile(join(folder, "other", name)));
    expect((await exported("second", { precision: "int1" })).status).toBe(400);
    expect((await exported("none", {})).status).toBe(404);
  });

  it.each(["none/use", "..%2fpage/use"])("is one of the folder: %s", async (path) => {
    expect((await ask(path)).status).toBe(404);
  });

  it("has no other ability than those that are served", async () => {
    for (const ability of ["models", "metrics", "..%2fmodels"])
      expect((await ask(`a%20run/use/${ability}`, { method: "POST", body: "{}" })).status).toBe(404);
  });
});
