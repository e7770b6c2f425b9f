import { spawn } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { main } from "../cli/support.ts";
import { present, until } from "../support.ts";
import { ask, fixture } from "./support.ts";

// `eidos serve` as a process: what it prints, what it logs, how it ends.

interface Started {
  readonly url: string;
  /** Lines of the log so far. */
  log(): readonly Readonly<Record<string, unknown>>[];
  readonly stderr: string;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<number | null>;
}

const started: Started[] = [];
afterEach(async () => {
  for (const { kill, ended } of started.splice(0)) {
    kill("SIGKILL");
    await ended;
  }
});

async function start(args: readonly string[], env: Record<string, string> = {}): Promise<Started> {
  const all = [main, "serve", fixture("nice-two-moons"), "--port", "0", "--workers", "1", ...args];
  const child = spawn(process.execPath, all, { env: { ...process.env, ...env } });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (part: Buffer) => {
      texts[name] += part;
    });
  }
  let over = false;
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      over = true;
      resolve(code);
    });
  });
  ended.catch(() => undefined);
  const address = (): string | undefined => /^listening on (\S+)$/m.exec(texts.stderr)?.[1];
  await until(() => over || address() !== undefined);
  const one: Started = {
    url: present(address(), `address in ${texts.stderr}`),
    log: () =>
      texts.stdout
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    get stderr() {
      return texts.stderr;
    },
    kill: (signal) => child.kill(signal),
    ended,
  };
  started.push(one);
  return one;
}

describe("the log", () => {
  it("is an object a line, names the model of each request, and holds no token", async () => {
    const server = await start([], { EIDOS_TOKEN: "very-secret" });
    const headers = { authorization: "Bearer very-secret", cookie: "very-secret" };
    expect((await ask(server, "/score", [{ x: 0, y: 0 }], headers)).status).toBe(200);
    expect((await ask(server, "/score", [{ x: 0 }], headers)).status).toBe(400);
    expect((await ask(server, "/score", [{ x: 0 }])).status).toBe(401);
    expect((await ask(server, "/v2/health/live")).status).toBe(200);
    const completed = () => server.log().filter(({ msg }) => msg === "request completed");
    await until(() => completed().length === 3);
    expect(completed()[0]).toMatchObject({
      level: 30,
      model: "nice-two-moons",
      ability: "score",
      reqId: expect.any(String),
      res: { statusCode: 200 },
      responseTime: expect.any(Number),
    });
    const logged = JSON.stringify(server.log());
    expect(logged).not.toContain("very-secret");
    // Probes ask often: they are not in the log.
    expect(logged).not.toContain("/v2/health");
    for (const { level, time, pid } of server.log()) {
      expect([level, time, pid].every(Number.isFinite)).toBe(true);
    }
  });

  it("is silent where asked, and says only what is wrong at a higher level", async () => {
    const server = await start(["--log", "warn"]);
    expect((await ask(server, "/score", [{ x: 0, y: 0 }])).status).toBe(200);
    server.kill("SIGTERM");
    await server.ended;
    expect(server.log()).toEqual([]);
  });
});

describe("a signal", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("%s ends it in good order", async (signal) => {
    const server = await start(["--log", "silent"]);
    server.kill(signal);
    expect(await server.ended).toBe(0);
    expect(server.stderr).toMatch(/^nice-two-moons \(nice\): score, impute, sample, interpolate$/m);
    expect(server.stderr).toMatch(/stopping: requests that are here are answered/);
    await expect(ask(server, "/v2/health/live")).rejects.toThrow();
  });
});
