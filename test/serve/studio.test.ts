import { mkdir, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileError, OptionError } from "../../src/errors.ts";
import { type Studio, startStudio } from "../../src/serve/index.node.ts";
import { start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";

// The server of the studio: who may look at it, and what it says with each answer.

let folder: string;
let studio: Studio;
let port: number;
let cookie: string;

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Asks with exactly these headers, which `fetch` does not allow. */
function ask(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (text: string) => {
        body += text;
      });
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

beforeAll(async () => {
  folder = await temporaryFolder();
  await mkdir(join(folder, "page", "assets"), { recursive: true });
  await writeFile(
    join(folder, "page", "index.html"),
    '<!doctype html><meta name="eidos-server" content="none" /><title>page</title>',
  );
  await writeFile(join(folder, "page", "assets", "main-1.js"), "export {};\n".repeat(200));
  await writeFile(join(folder, "page", "run.wasm"), "wasm");
  await writeFile(join(folder, "secret.txt"), "secret");
  studio = await startStudio({ port: 0 }, join(folder, "page"));
  port = Number(new URL(studio.url).port);
  const { headers } = await ask(new URL(studio.address).pathname + new URL(studio.address).search);
  cookie = String(headers["set-cookie"]).split(";")[0] ?? "";
});

afterAll(async () => {
  await studio.close();
  await rm(folder, { recursive: true, force: true });
});

describe("the address of the studio", () => {
  it("leads to the page without its token, which a cookie holds for this page alone", async () => {
    const { pathname, search } = new URL(studio.address);
    const { status, headers } = await ask(pathname + search);
    expect([status, headers.location, headers["cache-control"]]).toEqual([303, "/", "no-store"]);
    expect(String(headers["set-cookie"])).toMatch(
      new RegExp(`^eidos-studio-${port}=[\\w-]{32}; Path=/; HttpOnly; SameSite=Strict$`),
    );
    expect((await ask("/", { cookie })).body).toContain("<title>page</title>");
  });

  it("has another token each time", async () => {
    const other = await startStudio({ port: 0 }, join(folder, "page"));
    expect(new URL(other.address).search).not.toBe(new URL(studio.address).search);
    await other.close();
  });
});

describe("the studio answers", () => {
  it.each([
    ["without token and cookie", {}, 401],
    ["with a wrong cookie", { cookie: "TOKEN=wrong" }, 401],
    ["by another name of this machine", { host: "evil.example:PORT" }, 403],
    ["by this name with another port", { host: "127.0.0.1:1" }, 403],
    ["to a page from elsewhere", { origin: "https://evil.example" }, 403],
    ["to a page of another port", { origin: "http://127.0.0.1:1" }, 403],
    ["to a page without an origin", { origin: "null" }, 403],
  ])("nothing %s", async (_, given, status) => {
    const headers = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [
        name,
        value.replace("PORT", String(port)).replace("TOKEN", `eidos-studio-${port}`),
      ]),
    );
    // Right cookies do not help a page from elsewhere.
    const { status: found, body } = await ask("/", { ...(status === 403 && { cookie }), ...headers });
    expect(found).toBe(status);
    expect(body).not.toContain("page</title>");
    expect(body.split("\n")).toHaveLength(2);
  });

  it("a wrong token with no page and no cookie", async () => {
    const { status, headers } = await ask("/?token=wrong");
    expect([status, headers["set-cookie"]]).toEqual([401, undefined]);
  });

  it("its own page, by both names of this machine", async () => {
    for (const name of [`127.0.0.1:${port}`, `localhost:${port}`]) {
      expect((await ask("/", { cookie, host: name, origin: `http://${name}` })).status).toBe(200);
    }
  });

  it.each([
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "//etc/passwd",
    "/assets/",
    "/assets/none.js",
    "/%00",
    "/%ff",
    "//",
  ])("no file but those of the page: %s", async (path) => {
    const { status, body } = await ask(path, { cookie });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body).not.toContain("secret\n");
    expect(body).not.toBe("secret");
  });

  it("no change but one that its own page asks for", async () => {
    const origin = `http://127.0.0.1:${port}`;
    for (const method of ["POST", "PUT", "DELETE"]) {
      expect((await ask("/", { cookie }, method)).status).toBe(403);
      expect((await ask("/", { cookie, origin }, method)).status).toBe(404);
    }
  });

  it("and tells its first page that there is a server", async () => {
    expect((await ask("/", { cookie })).body).toContain('name="eidos-server" content="here"');
  });

  it.each(["/", "/assets/main-1.js", "/none", "/?token=wrong"])(
    "with the headers of an isolated page: %s",
    async (path) => {
      const { headers } = await ask(path, { cookie });
      expect(headers).toMatchObject({
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
        "cross-origin-resource-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
      });
      const policy = String(headers["content-security-policy"]);
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'");
      expect(policy).not.toMatch(/unsafe-inline|'unsafe-eval'|https?:|\*/);
    },
  );

  it("files by their types; those named by their content may be kept", async () => {
    const script = await ask("/assets/main-1.js", { cookie, "accept-encoding": "gzip" });
    expect(script.headers).toMatchObject({
      "content-type": "text/javascript; charset=utf-8",
      "content-encoding": "gzip",
      "cache-control": "private, max-age=31536000, immutable",
    });
    const wasm = await ask("/run.wasm", { cookie, "accept-encoding": "gzip" });
    expect(wasm.headers).toMatchObject({ "content-type": "application/wasm", "cache-control": "no-cache" });
    expect(wasm.headers["content-encoding"]).toBeUndefined();
  });
});

describe("the studio does not start", () => {
  it("where its page is not built", async () => {
    await expect(startStudio({ port: 0 }, join(folder, "none"))).rejects.toThrow(FileError);
    await expect(startStudio({ port: 0 }, join(folder, "none"))).rejects.toThrow(
      /not built; run npm run build/,
    );
  });

  it("on a port that is taken, or none", async () => {
    await expect(startStudio({ port }, join(folder, "page"))).rejects.toThrow(
      /cannot listen on port .* --port/,
    );
    await expect(startStudio({ port: 70_000 })).rejects.toThrow(OptionError);
  });
});

describe("eidos studio", () => {
  it("prints its address, serves the built page, and ends in peace by Ctrl-C", async () => {
    const running = start(["studio", "--port", "0", "--no-open"], folder);
    const address = await running.printed(/open (http:\S+)/);
    const entrance = await fetch(address, { redirect: "manual" });
    const held = entrance.headers.get("set-cookie")?.split(";")[0] ?? "";
    const page = await fetch(new URL("/", address), { headers: { cookie: held } });
    expect(await page.text()).toContain('<div id="app">');
    running.kill("SIGINT");
    const { code, stderr } = await running.outcome;
    expect([code, stderr]).toEqual([0, "only this machine can reach it; Ctrl-C ends\n"]);
  });
});
