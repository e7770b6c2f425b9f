import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ListedRun, MetricRows, RunDetails, RunList } from "../../src/serve/index.node.ts";
import { type Studio, startStudio } from "../../src/serve/index.node.ts";
import { startFit } from "../../src/tasks/fit/fit.node.ts";
import { temporaryFolder } from "../support.ts";

// What the studio's page asks for about runs: a fitted one, a broken one, and folders of a stranger.

let folder: string;
let studio: Studio;
let cookie: string;

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${studio.url}/api/${path}`, {
    ...init,
    headers: { cookie, origin: studio.url, "content-type": "application/json" },
  });
}

const json = async <T>(path: string): Promise<T> => (await ask(path)).json() as Promise<T>;

const put = (path: string, body: unknown, method = "PUT"): Promise<Response> =>
  ask(path, { method, body: JSON.stringify(body) });

const listed = async (): Promise<readonly ListedRun[]> => (await json<RunList>("runs")).runs;

beforeAll(async () => {
  folder = await temporaryFolder();
  const fit = {
    model: "nice",
    data: "two-moons",
    count: 100,
    width: 8,
    steps: 6,
    report: "none",
    samplePictures: 0,
  } as const;
  await startFit({ ...fit, logEvery: 2, validateEvery: 4, out: join(folder, "runs", "moons") });
  await mkdir(join(folder, "runs", "broken"));
  await writeFile(join(folder, "runs", "broken", "config.json"), "{}");
  await mkdir(join(folder, "runs", "photos"));
  await writeFile(join(folder, "secret.txt"), "secret");
  const page = join(folder, "page");
  await mkdir(page);
  await writeFile(join(page, "index.html"), "<!doctype html>");
  studio = await startStudio({ port: 0, runs: join(folder, "runs") }, page);
  const { headers } = await fetch(studio.address, { redirect: "manual" });
  cookie = String(headers.get("set-cookie")).split(";")[0] ?? "";
});

afterAll(async () => {
  await studio.close();
  await rm(folder, { recursive: true, force: true });
});

describe("the runs of the studio", () => {
  it("are those of the folder; one that cannot be read says why", async () => {
    const runs = await listed();
    expect(runs.map(({ name }) => name)).toEqual(["broken", "moons"]);
    const [broken, moons] = runs;
    expect(broken).toHaveProperty("fault", expect.stringContaining("config.json"));
    expect(moons).toMatchObject({
      model: "nice",
      data: "two-moons",
      status: "finished",
      step: 6,
      best: { name: "loss" },
    });
  });

  it("have rows from any one on, whose cells are those of metrics.csv", async () => {
    const all = await json<MetricRows>("runs/moons/metrics");
    const [head = "", ...lines] = (await readFile(join(folder, "runs", "moons", "metrics.csv"), "utf8"))
      .trim()
      .split("\n");
    expect(all.columns).toEqual(head.split(","));
    expect(all.rows).toEqual(
      lines.map((line) => line.split(",").map((cell) => (cell === "" ? null : Number(cell)))),
    );
    expect(all.rows.map(([step]) => step)).toEqual([2, 4, 6]);
    const later = await json<MetricRows>("runs/moons/metrics?from=2");
    expect(later).toEqual({ ...all, from: 2, rows: all.rows.slice(2) });
    expect((await json<MetricRows>("runs/moons/metrics?from=9")).rows).toEqual([]);
    expect((await ask("runs/moons/metrics?from=-1")).status).toBe(400);
  });

  it("tell how they were made", async () => {
    const details = await json<RunDetails>("runs/moons");
    expect(details).toMatchObject({
      model: "nice",
      options: { width: 8, count: 100, steps: 6 },
      about: { kind: "points", trainCount: 100 },
      notes: { text: "", tags: [] },
      hasReport: false,
    });
  });

  it("show the pictures that stand in their samples, and no other file", async () => {
    const samples = join(folder, "runs", "moons", "samples");
    await writeFile(join(samples, "step-000004.png"), "four");
    await writeFile(join(samples, "step-000002.png"), "two");
    await writeFile(join(samples, "notes.html"), "<script>");
    const { pictures } = await json<RunDetails>("runs/moons");
    expect(pictures).toEqual([
      { file: "step-000002.png", step: 2 },
      { file: "step-000004.png", step: 4 },
    ]);
    const answer = await ask("runs/moons/pictures/step-000004.png");
    expect([answer.headers.get("content-type"), await answer.text()]).toEqual(["image/png", "four"]);
    for (const name of ["notes.html", "..%2fconfig.json", "..%2f..%2f..%2fsecret.txt", "none.png"])
      expect((await ask(`runs/moons/pictures/${name}`)).status, name).toBe(404);
  });

  it("show a report that can do nothing", async () => {
    expect((await ask("runs/moons/report")).status).toBe(404);
    await writeFile(join(folder, "runs", "moons", "report.html"), "<script>alert(1)</script>");
    const { headers } = await ask("runs/moons/report");
    const policy = headers.get("content-security-policy") ?? "";
    expect(policy).toMatch(/default-src 'none'.*sandbox$/);
    expect(policy).not.toMatch(/script|allow/);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });

  it.each(["..", "photos", "none", "..%2fruns%2fmoons", ".trash", "%00", "moons%2fsamples"])(
    "are no folders of another kind or place: %s",
    async (name) => {
      const { status } = await ask(`runs/${name}/metrics`);
      expect([400, 404]).toContain(status);
    },
  );

  it("are not read where links in them lead out", async () => {
    await mkdir(join(folder, "elsewhere"), { recursive: true });
    await writeFile(join(folder, "elsewhere", "a.png"), "secret");
    const run = join(folder, "runs", "linked");
    await mkdir(run);
    await writeFile(
      join(run, "config.json"),
      await readFile(join(folder, "runs", "moons", "config.json"), "utf8"),
    );
    await symlink(join(folder, "elsewhere"), join(run, "samples"));
    await symlink(join(folder, "secret.txt"), join(run, "notes.json"));
    await symlink(join(folder, "runs", "moons"), join(folder, "runs", "alias"));
    for (const path of ["linked", "linked/pictures/a.png", "linked/report", "alias", "alias/metrics"]) {
      const answer = await ask(`runs/${path}`);
      expect(answer.status, path).toBeGreaterThanOrEqual(400);
      expect(await answer.text()).not.toContain('"secret"');
    }
    expect((await put("runs/linked/notes", { text: "mine" })).status).toBe(422);
    expect(await readFile(join(folder, "secret.txt"), "utf8")).toBe("secret");
    for (const name of ["linked", "alias"]) await rm(join(folder, "runs", name), { recursive: true });
  });

  it("keep notes and tags; what is none is refused", async () => {
    const notes = { text: "wider next time\n下次更宽", tags: ["baseline", "双月"] };
    expect((await put("runs/moons/notes", notes)).status).toBe(200);
    expect((await json<RunDetails>("runs/moons")).notes).toEqual(notes);
    expect((await listed()).find(({ name }) => name === "moons")?.tags).toEqual(notes.tags);
    for (const wrong of [{ text: 1 }, { tags: ["a,b"] }, { tags: Array(99).fill("a") }, { other: 1 }, []]) {
      const answer = await put("runs/moons/notes", wrong);
      expect(answer.status).toBe(400);
      expect(((await answer.json()) as { error: string }).error.split("\n")).toHaveLength(1);
    }
    await writeFile(join(folder, "runs", "moons", "notes.json"), "somebody's");
    expect((await put("runs/moons/notes", notes)).status).toBe(409);
    expect(await readFile(join(folder, "runs", "moons", "notes.json"), "utf8")).toBe("somebody's");
    await rm(join(folder, "runs", "moons", "notes.json"));
  });

  it("go into a trash beside them", async () => {
    const answer = await put("runs/moons/trash", {}, "POST");
    const { place } = (await answer.json()) as { place: string };
    expect(place.startsWith(join(folder, "runs", ".trash", "moons-"))).toBe(true);
    expect(await readdir(place)).toContain("config.json");
    expect((await listed()).map(({ name }) => name)).toEqual(["broken"]);
    expect((await put("runs/moons/trash", {}, "POST")).status).toBe(404);
  });
});
