import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { models } from "../../src/catalog.ts";
import type { FitForm, OfferedData, OfferedModel, StudioFit } from "../../src/serve/index.node.ts";
import { type Studio, startStudio } from "../../src/serve/index.node.ts";
import { optionGroups } from "../../src/tasks/fit/option-groups.node.ts";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder, until } from "../support.ts";

// Fits that the studio's page begins: what it offers, what it may not, and how they run one after the other.

let folder: string;
let studio: Studio;
let cookie: string;

async function ask(
  path: string,
  body?: unknown,
): Promise<{ readonly status: number; readonly said: unknown }> {
  const answer = await fetch(`${studio.url}/api/${path}`, {
    headers: { cookie, origin: studio.url, "content-type": "application/json" },
    ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
  });
  return { status: answer.status, said: await answer.json() };
}

const fits = async (): Promise<readonly StudioFit[]> =>
  ((await ask("fits")).said as { fits: readonly StudioFit[] }).fits;

const fitOf = async (name: string): Promise<StudioFit | undefined> =>
  (await fits()).find((fit) => fit.name === name);

const settled = (name: string): Promise<void> =>
  until(async () => ["done", "failed"].includes((await fitOf(name))?.state ?? ""));

const SMALL = { count: 100, width: 8, report: "none", samplePictures: 0 } as const;

beforeAll(async () => {
  folder = await temporaryFolder();
  await mkdir(join(folder, "data", "photos"), { recursive: true });
  await writeFile(join(folder, "data", "rows.csv"), "a,b\n1,2\n");
  await writeFile(join(folder, "data", "notes.txt"), "no data");
  await writeFile(join(folder, "secret.csv"), "a,b\n1,2\n");
  await symlink(join(folder, "secret.csv"), join(folder, "data", "link.csv"));
  await mkdir(join(folder, "page"));
  await writeFile(join(folder, "page", "index.html"), "<!doctype html>");
  studio = await startStudio(
    { port: 0, runs: join(folder, "runs"), data: join(folder, "data") },
    join(folder, "page"),
  );
  const { headers } = await fetch(studio.address, { redirect: "manual" });
  cookie = String(headers.get("set-cookie")).split(";")[0] ?? "";
});

afterAll(async () => {
  await studio.close();
  await rm(folder, { recursive: true, force: true });
});

describe("what the page offers", () => {
  it("is data by name, and what lies in the folder of data", async () => {
    const { said } = await ask("data");
    const { data } = said as { data: readonly OfferedData[] };
    expect(data).toContainEqual(expect.objectContaining({ name: "digits", kind: "image" }));
    expect(data.filter(({ name }) => name.startsWith("./"))).toEqual([
      { name: "./photos", kind: "folder" },
      { name: "./rows.csv", kind: "table" },
    ]);
  });

  it("is each model that needs data alone, with the options that its schemas have and no path", async () => {
    const { said } = await ask("models");
    const { models: offered } = said as { models: readonly OfferedModel[] };
    const names = offered.map(({ name }) => name);
    expect(names).toEqual(
      [...models.keys()].filter((name) => !["distilled-flow", "rectified-transport"].includes(name)),
    );
    for (const name of ["nice", "yolo", "made"]) {
      const form = (await ask(`models/${name}`)).said as FitForm;
      const definition = models.get(name);
      if (definition === undefined) throw new Error(name);
      for (const { of, fields } of form.groups) {
        const known = optionGroups(definition).find((group) => group.of === of);
        expect(Object.keys(known?.schema.shape ?? {})).toEqual(
          expect.arrayContaining(fields.map((field) => field.name)),
        );
      }
      const all = form.groups.flatMap(({ fields }) => fields);
      expect(all.find((field) => field.name === "steps")).toMatchObject({ kind: "integer", isUsual: true });
      const paths = ["weights", "from", "source", "pairs", "schema", "sql", "out"];
      expect(all.filter((field) => paths.includes(field.name))).toEqual([]);
    }
    expect((await ask("models/none")).status).toBe(404);
  });
});

describe("a fit", () => {
  it("runs in a process of its own, is told of, and can be gone on with", async () => {
    const begun = await ask("fits", {
      model: "nice",
      data: "two-moons",
      options: { ...SMALL, steps: 30 },
    });
    expect(begun).toEqual({ status: 200, said: { name: "nice-two-moons" } });
    await settled("nice-two-moons");
    expect(await fitOf("nice-two-moons")).toMatchObject({ state: "done", progress: { step: 30 } });
    const run = new RunFolder(join(folder, "runs", "nice-two-moons"));
    expect((await run.readProgress())?.step).toBe(30);
    // The next one of that kind has another name.
    const next = await ask("fits", { model: "nice", data: "two-moons", options: { ...SMALL, steps: 2 } });
    expect(next.said).toEqual({ name: "nice-two-moons-2" });
    await settled("nice-two-moons-2");
  });

  it("waits for the one before, is taken out of the queue, or stopped with its checkpoint", async () => {
    const long = { model: "nice", data: "two-moons", options: { ...SMALL, steps: 1_000_000 } };
    expect((await ask("fits", { ...long, name: "long one" })).status).toBe(200);
    expect((await ask("fits", { ...long, name: "waits" })).status).toBe(200);
    expect((await ask("fits", { ...long, name: "waits" })).status).toBe(409);
    await until(async () => ((await fitOf("long one"))?.progress?.step ?? 0) > 0);
    expect((await fitOf("waits"))?.state).toBe("waiting");
    expect((await ask("runs/waits/stop", {})).status).toBe(200);
    expect(await fitOf("waits")).toBeUndefined();
    expect((await ask("runs/long%20one/stop", {})).status).toBe(200);
    await settled("long one");
    const run = new RunFolder(join(folder, "runs", "long one"));
    const stopped = (await run.readProgress())?.step ?? 0;
    expect(stopped).toBeGreaterThan(0);
    expect((await ask("runs/long%20one/stop", {})).status).toBe(409);

    // It goes on from there, and a studio that ends stops it again.
    expect((await ask("runs/long%20one/resume", {})).status).toBe(200);
    expect((await ask("runs/long%20one/resume", {})).status).toBe(409);
    await until(async () => ((await fitOf("long one"))?.progress?.step ?? 0) > stopped);
    await studio.close();
    expect((await run.readProgress())?.step).toBeGreaterThan(stopped);
    expect(await run.fitter()).toBeUndefined();
    studio = await startStudio(
      { port: 0, runs: join(folder, "runs"), data: join(folder, "data") },
      join(folder, "page"),
    );
    const { headers } = await fetch(studio.address, { redirect: "manual" });
    cookie = String(headers.get("set-cookie")).split(";")[0] ?? "";
  });

  it("that fails says why", async () => {
    const { said } = await ask("fits", { model: "nice", data: "./rows.csv", options: { steps: 5 } });
    const { name } = said as { name: string };
    await settled(name);
    const fit = await fitOf(name);
    expect(fit?.state).toBe("failed");
    expect(fit?.error).toMatch(/rows\.csv/);
  });

  it.each([
    ["a path outside of the folder of data", { data: "../secret.csv" }, 403],
    ["a link that leads out", { data: "./link.csv" }, 403],
    ["an absolute path outside", { data: "/etc/passwd" }, 403],
    ["a query", { data: "select * from 'secret.csv'" }, 404],
    ["an address", { data: "https://example.org/a.csv" }, 404],
    ["a model of one's own", { model: "./mine.ts" }, 404],
    ["a model that needs pairs", { model: "distilled-flow" }, 404],
    ["an option that is a path", { options: { weights: "/etc/passwd" } }, 400],
    ["an option that names where it goes", { options: { out: "/tmp/x" } }, 400],
    ["an option that it has not", { options: { nonsense: 1 } }, 400],
    ["a name that leads out", { name: "../run" }, 400],
    ["a hidden name", { name: ".run" }, 400],
    ["nothing", { model: undefined }, 400],
  ])("is not begun with %s", async (_, wrong, status) => {
    const before = (await fits()).length;
    const answer = await ask("fits", { model: "nice", data: "two-moons", ...wrong });
    expect(answer.status).toBe(status);
    expect((answer.said as { error: string }).error.split("\n")).toHaveLength(1);
    expect(await fits()).toHaveLength(before);
    expect(await readFile(join(folder, "secret.csv"), "utf8")).toBe("a,b\n1,2\n");
  });
});
