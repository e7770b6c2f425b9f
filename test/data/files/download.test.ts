import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { cachePlace, sizeOf } from "../../../src/data/files/cache.node.ts";
import {
  type DownloadOptions,
  type DownloadProgress,
  offlineReason,
  type RemoteFile,
  remoteFile,
} from "../../../src/data/files/download.node.ts";
import { remoteSource } from "../../../src/data/files/source.ts";
import { type FileBehavior, type Handler, sendFile, serve, type TestServer } from "../../server.ts";
import { present, temporaryFolder, until } from "../../support.ts";

// Everything is fetched from a server on this machine, which drops, lies and loops.

const KIND = { what: "a file of the test", limit: 1_000_000 };
const PACE = { stall: 5, wait: 0.005, tries: 3 };
/** For tests that end a download themselves: a slow machine must not end it before. */
const PATIENT = { ...PACE, stall: 600 };
const BYTES = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let folder: string;
const servers: TestServer[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
  for (const name of ["HF_ENDPOINT", "HF_TOKEN"]) vi.stubEnv(name, undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(servers.splice(0).map((server) => server.close()));
  await rm(folder, { recursive: true });
});

async function started(handler: Handler): Promise<TestServer> {
  const server = await serve(handler);
  servers.push(server);
  return server;
}

/** A server of one file. */
const fileServer = (behavior: (count: number) => FileBehavior = () => ({}), bytes = BYTES) =>
  started((request, response, count) =>
    sendFile(request, response, bytes, { cache: folder, ...behavior(count) }),
  );

const get = (text: string, options: Partial<DownloadOptions> = {}): Promise<RemoteFile> =>
  remoteFile(remoteSource(text), { kind: KIND, pace: PACE, folder, ...options });

async function expectFile({ path }: RemoteFile, bytes: Uint8Array = BYTES): Promise<void> {
  expect(sha256(await readFile(path))).toBe(sha256(bytes));
}

/** What is in the cache, without the records. */
const inCache = async (): Promise<readonly string[]> =>
  (await readdir(folder)).filter((name) => !name.endsWith(".json"));

/** A host that names large files by their checksum and has them elsewhere, as the hub does. */
async function hub(elsewhere: string): Promise<TestServer> {
  const server = await started((_, response) => {
    response
      .writeHead(302, {
        location: elsewhere,
        "x-linked-etag": `"${sha256(BYTES)}"`,
        "x-linked-size": String(BYTES.length),
        "x-repo-commit": "a".repeat(40),
      })
      .end("Found. Redirecting");
  });
  vi.stubEnv("HF_ENDPOINT", server.origin);
  return server;
}

describe("a file behind an address", () => {
  test("is fetched once; later uses make no request, also where requests are forbidden", async () => {
    const server = await fileServer(() => ({ etag: '"one"' }));
    const url = `${server.origin}/models/net.safetensors?key=secret`;
    const seen: DownloadProgress[] = [];
    const first = await get(url, { onProgress: (progress) => seen.push(progress) });
    await expectFile(first);
    expect(first).toMatchObject({ cached: false, bytes: BYTES.length, sha256: sha256(BYTES), etag: '"one"' });
    expect(present(seen.at(-1))).toMatchObject({
      received: BYTES.length,
      total: BYTES.length,
      secondsLeft: 0,
    });
    expect(JSON.stringify(seen)).not.toContain("secret");
    expect(await readFile(`${first.path}.json`, "utf8")).not.toContain("secret");
    for (const forbidden of [undefined, "--offline forbids to fetch it"]) {
      expect(await get(url, { forbidden })).toMatchObject({ cached: true, path: first.path });
    }
    expect(server.requests).toHaveLength(1);
    expect(await inCache()).toHaveLength(1);
  });

  test("is not asked for where requests are forbidden", async () => {
    const server = await fileServer();
    const forbidden = "--offline forbids to fetch it";
    await expect(get(`${server.origin}/net.pth`, { forbidden })).rejects.toThrow(
      /127\.0\.0\.1:\d+\/net\.pth is not in the cache \(.*\), and --offline forbids .*by hand and give its path/,
    );
    expect(server.requests).toHaveLength(0);
  });

  test("goes on where the connection dropped, if it is still the same", async () => {
    const drops = [100_000, 70_000];
    const server = await fileServer((count) => ({ etag: '"one"', drop: drops[count] }));
    const warnings: string[] = [];
    await expectFile(await get(`${server.origin}/a`, { onWarning: (message) => warnings.push(message) }));
    expect(server.requests.map(({ range, ifRange }) => [range, ifRange])).toEqual([
      [undefined, undefined],
      ["bytes=100000-", '"one"'],
      ["bytes=170000-", '"one"'],
    ]);
    expect(warnings[0]).toMatch(/connection was dropped; going on from 0\.1 MB \(try 2 of 3\)/);
  });

  test("goes on in a later call, and begins anew where nothing says that it is the same", async () => {
    for (const etag of ['"one"', 'W/"one"', undefined]) {
      const behavior = { ...(etag !== undefined && { etag }) };
      const server = await fileServer((count) => ({ ...behavior, drop: count < 3 ? 50_000 : undefined }));
      const url = `${server.origin}/a`;
      await expect(get(url)).rejects.toThrow(/connection was dropped, 3 times in a row; 0\.\d+ MB are kept/);
      await expectFile(await get(url));
      const last = present(server.requests.at(-1));
      expect(last.range).toBe(etag === '"one"' ? "bytes=150000-" : undefined);
    }
  });

  test("begins anew where the file changes between two tries", async () => {
    const other = BYTES.map((byte) => byte ^ 255);
    const server = await started((request, response, count) =>
      count === 0
        ? sendFile(request, response, BYTES, { etag: '"one"', drop: 100_000, cache: folder })
        : sendFile(request, response, other, { etag: '"two"' }),
    );
    await expectFile(await get(`${server.origin}/a`), other);
  });

  test("begins anew where the server sends the rest of another file in spite of If-Range", async () => {
    const other = BYTES.map((byte) => byte ^ 255);
    const server = await started((request, response, count) => {
      if (count === 0) sendFile(request, response, BYTES, { etag: '"one"', drop: 100_000, cache: folder });
      else {
        request.headers["if-range"] = undefined;
        sendFile(request, response, other, { etag: '"two"' });
      }
    });
    await expectFile(await get(`${server.origin}/a`), other);
    expect(server.requests).toHaveLength(3);
  });

  test("begins anew where the server ignores ranges, sends others or has none", async () => {
    const answers: readonly Handler[] = [
      (request, response) => sendFile(request, response, BYTES, { etag: '"one"', ignoreRange: true }),
      (_, response) =>
        response
          .writeHead(206, { "content-range": "bytes 5-299999/300000", "content-length": 3, etag: '"one"' })
          .end("abc"),
      (_, response) => response.writeHead(206, { etag: '"one"' }).end("abc"),
      (_, response) => response.writeHead(416).end(),
    ];
    for (const answer of answers) {
      const server = await started((request, response, count) => {
        if (count === 1) answer(request, response, count);
        else
          sendFile(request, response, BYTES, {
            etag: '"one"',
            drop: count === 0 ? 9 : undefined,
            cache: folder,
          });
      });
      await expectFile(await get(`${server.origin}/a`));
    }
  });

  test("is complete where the process was ended before it was checked: no request", async () => {
    const server = await fileServer();
    const url = `${server.origin}/a`;
    const { part, partRecord } = cachePlace(folder, url);
    await writeFile(part, BYTES);
    await writeFile(partRecord, JSON.stringify({ url, etag: '"one"', bytes: BYTES.length }));
    await expectFile(await get(url));
    expect(server.requests).toHaveLength(0);
  });

  test("with wrong bytes is removed, and told in one line", async () => {
    const server = await fileServer();
    const wanted = "0".repeat(64);
    await expect(get(`${server.origin}/a#sha256=${wanted}`)).rejects.toThrow(
      new RegExp(
        `not those of the checksum you gave: their SHA-256 is ${sha256(BYTES)}, not ${wanted}; they are removed`,
      ),
    );
    expect(await inCache()).toEqual([]);
    const right = `${server.origin}/a#sha256=${sha256(BYTES).toUpperCase()}`;
    await expectFile(await get(right));
    // The same address with another checksum does not take it.
    await expect(get(`${server.origin}/a#sha256=${wanted}`, { forbidden: "no" })).rejects.toThrow(
      /not in the/,
    );
    expect(await get(right)).toMatchObject({ cached: true });
  });

  test("that was changed in the cache is not used, and fetched again", async () => {
    const server = await fileServer();
    const { path } = await get(`${server.origin}/a`);
    const warnings: string[] = [];
    const onWarning = (message: string): number => warnings.push(message);
    for (const damage of [BYTES.subarray(1), BYTES.map((byte, i) => (i === 9 ? byte ^ 1 : byte))]) {
      await writeFile(path, damage);
      await expect(get(`${server.origin}/a`, { forbidden: "no" })).rejects.toThrow(/not in the cache/);
      await expectFile(await get(`${server.origin}/a`, { onWarning }));
    }
    await writeFile(`${path}.json`, "{");
    await expectFile(await get(`${server.origin}/a`, { onWarning }));
    expect(warnings).toHaveLength(3);
    expect(warnings[0]).toMatch(/is not as it was fetched/);
  });

  test("is looked at before it is kept", async () => {
    const page = new TextEncoder().encode("<!doctype html>");
    const server = await fileServer(() => ({}), page);
    const check = (path: string, name: string): Promise<void> => Promise.reject(new Error(`${name} ${path}`));
    await expect(get(`${server.origin}/a`, { check })).rejects.toThrow(/127.*\/a .*\.part/);
    expect(await inCache()).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("a server", () => {
  test.each([
    [
      "announces more than is read",
      { "content-length": "1000001" },
      /has 1 MB or more, where a file of the test has 1 MB at most/,
    ],
    ["compresses", { "content-encoding": "gzip" }, /sends it compressed \(gzip\)/],
  ])("that %s is refused before anything is written", async (_, headers, message) => {
    const server = await started((_request, response) => {
      response.writeHead(200, headers);
      response.write("abc");
    });
    await expect(get(`${server.origin}/a`)).rejects.toThrow(message);
    expect(await inCache()).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });

  test("that goes on beyond the limit is refused there", async () => {
    let sent = 0;
    const server = await started((_, response) => {
      response.writeHead(200);
      const more = (): void => {
        if (response.destroyed) return;
        // A fault in the limit must not fill the disk of whoever tests it.
        if (sent >= 20e6) return void response.end();
        sent += 65_536;
        response.write(new Uint8Array(65_536), more);
      };
      more();
    });
    await expect(get(`${server.origin}/a`)).rejects.toThrow(/or more, where a file of the test has 1 MB/);
    expect(await inCache()).toEqual([]);
  });

  test("that drops a connection before the first byte is asked again", async () => {
    const server = await started((request, response, count) => {
      if (count === 0) sendFile(request, response, BYTES, { etag: '"one"', drop: 0 });
      else sendFile(request, response, BYTES, { etag: '"one"' });
    });
    await expectFile(await get(`${server.origin}/a`));
    expect(server.requests).toHaveLength(2);
  });

  test("that sends nothing more counts as dropped", async () => {
    const server = await started((request, response, count) => {
      if (count > 0) sendFile(request, response, BYTES, { etag: '"one"' });
      else {
        response.writeHead(200, { "content-length": BYTES.length, etag: '"one"' });
        response.write(BYTES.subarray(0, 1000));
      }
    });
    const pace = { ...PACE, stall: 0.2 };
    const warnings: string[] = [];
    await expectFile(await get(`${server.origin}/a`, { pace, onWarning: (text) => warnings.push(text) }));
    expect(warnings[0]).toMatch(/sent nothing for 0\.2 seconds/);
    expect(server.requests[1]?.range).toBe("bytes=1000-");
  });

  test("that drops every connection is given up", async () => {
    const server = await fileServer(() => ({ drop: 100 }));
    await expect(get(`${server.origin}/a`)).rejects.toThrow(/dropped, 3 times in a row/);
    expect(server.requests).toHaveLength(3);
  });

  test("with a fault of its own is asked again, three times in all", async () => {
    const mends = await started((request, response, count) =>
      count < 2
        ? response.writeHead(503, { "retry-after": "0" }).end("no")
        : sendFile(request, response, BYTES),
    );
    await expectFile(await get(`${mends.origin}/a`));
    const stays = await started((_, response) => response.writeHead(500).end());
    await expect(get(`${stays.origin}/a`)).rejects.toThrow(
      /answers 500, a fault of its own, 3 times in a row/,
    );
    expect(stays.requests).toHaveLength(3);
  });

  test.each([
    [404, /is not there; tried http:\/\/127.*\/a: the server answers 404: there is no such file/],
    [403, /answers 403: it does not give it to everybody/],
    [418, /answers 418/],
    [204, /answers 204/],
  ])("that answers %d is asked once", async (status, message) => {
    const server = await started((_, response) => response.writeHead(status).end());
    await expect(get(`${server.origin}/a`)).rejects.toThrow(message);
    expect(server.requests).toHaveLength(1);
    expect(await readdir(folder)).toEqual([]);
  });

  test.each([
    ["in a circle", "/a", /redirects more than 8 times/],
    [
      "to an open line",
      "http://example.org/a?key=secret",
      /redirects to http:\/\/example\.org\/a\?…: over http/,
    ],
    ["to a file", "file:///etc/passwd", /redirects to file:\/\/\/etc\/passwd: file:\/\/ is not fetched/],
    [
      "with a password",
      "https://me:secret@example.org/",
      /redirects to https:\/\/…@example\.org\/: it has a name/,
    ],
    ["nowhere", "https://", /names no address/],
  ])("that redirects %s is refused", async (_, location, message) => {
    const server = await started((_request, response) => response.writeHead(302, { location }).end());
    const failure: unknown = await get(`${server.origin}/a`).catch((error: unknown) => error);
    expect(String(failure)).toMatch(message);
    expect(String(failure)).not.toContain("secret");
    expect(String(failure)).toMatch(
      /http:\/\/127.*\/a cannot be fetched: .*fetch it by hand and give its path/,
    );
  });

  test("that is not there is told at once, with what to do", async () => {
    const server = await fileServer();
    await server.close();
    await expect(get(`${server.origin}/a`)).rejects.toThrow(
      /cannot be fetched from http:\/\/127.*\/a: the connection is refused\. You may fetch the file by hand/,
    );
    await expect(get("https://no-such-host.invalid/a.pth")).rejects.toThrow(/is there a network\?/);
  });

  test("is left alone when the user ends it; what has come is kept", async () => {
    const controller = new AbortController();
    const server = await started((request, response, count) => {
      if (count > 0) return sendFile(request, response, BYTES, { etag: '"one"' });
      response.writeHead(200, { "content-length": BYTES.length, etag: '"one"' });
      response.write(BYTES.subarray(0, 150_000), () => undefined);
    });
    const url = `${server.origin}/a`;
    const stopped = expect(get(url, { signal: controller.signal, pace: PATIENT })).rejects.toThrow(
      /was stopped; 0\.2 MB are kept, and the next try goes on/,
    );
    await until(async () => (await sizeOf(cachePlace(folder, url).part)) === 150_000);
    controller.abort();
    await stopped;
    await expectFile(await get(url));
    expect(server.requests[1]?.range).toBe("bytes=150000-");
  });
});

test("promises of a file are those of the host that was asked, not of one that it redirects to", async () => {
  const tag = {
    "x-linked-etag": `"${"0".repeat(64)}"`,
    "x-linked-size": "7",
    "x-repo-commit": "b".repeat(40),
  };
  const storage = await fileServer(() => ({ headers: tag }));
  const server = await started((_, response) =>
    response.writeHead(302, { location: `${storage.origin}/blob` }).end(),
  );
  const got = await get(`${server.origin}/a`);
  await expectFile(got);
  expect(got.revision).toBeUndefined();
});

describe("the hub", () => {
  test("promises a checksum, and gets the token that no other host gets", async () => {
    vi.stubEnv("HF_TOKEN", "hf_secret");
    const storage = await fileServer(() => ({ etag: '"other"' }));
    const server = await hub(`${storage.origin}/blob?signature=1`);
    const got = await get("hf:timm/resnet18.a1_in1k");
    await expectFile(got);
    expect(got).toMatchObject({
      url: `${server.origin}/timm/resnet18.a1_in1k/resolve/main/model.safetensors`,
      revision: "a".repeat(40),
    });
    expect(server.requests[0]).toMatchObject({ authorization: "Bearer hf_secret" });
    expect(storage.requests).toMatchObject([{ authorization: undefined }]);
    expect(await get("hf:timm/resnet18.a1_in1k")).toMatchObject({ cached: true });
    expect(await readFile(`${got.path}.json`, "utf8")).not.toMatch(/secret|signature/);
  });

  test("gets no token back from where it redirects to", async () => {
    vi.stubEnv("HF_TOKEN", "hf_secret");
    const storage = await started((_, response) =>
      response.writeHead(302, { location: `${process.env.HF_ENDPOINT}/back` }).end(),
    );
    const server = await started((request, response) => {
      if (request.url === "/back") sendFile(request, response, BYTES);
      else if (request.url === "/renamed") response.writeHead(307, { location: `${storage.origin}/x` }).end();
      else response.writeHead(307, { location: "/renamed" }).end();
    });
    vi.stubEnv("HF_ENDPOINT", server.origin);
    await expectFile(await get("hf:a/b/c.pth"));
    expect(server.requests.map(({ authorization }) => authorization)).toEqual([
      "Bearer hf_secret",
      "Bearer hf_secret",
      undefined,
    ]);
    expect(storage.requests).toMatchObject([{ authorization: undefined }]);
  });

  test("whose storage sends other bytes than it promised is not believed", async () => {
    const wrong = await fileServer(
      () => ({}),
      BYTES.map((byte) => byte ^ 1),
    );
    await hub(`${wrong.origin}/blob`);
    await expect(get("hf:a/b")).rejects.toThrow(/not those that the server promised: .*they are removed/);
    const short = await fileServer(() => ({}), BYTES.subarray(1));
    await hub(`${short.origin}/blob`);
    await expect(get("hf:a/b")).rejects.toThrow(/should have 300000 bytes, and the server sends 299999/);
    expect(await inCache()).toEqual([]);
  });

  test("is asked for the rest where its checksum is the same, and for all where it is another", async () => {
    const later = BYTES.map((byte) => byte ^ 255);
    for (const next of [BYTES, later]) {
      let promised = BYTES;
      const storage = await started((request, response, count) =>
        count < 3
          ? sendFile(request, response, BYTES, { drop: 50_000, cache: folder })
          : sendFile(request, response, next),
      );
      const server = await started((_, response) => {
        const tag = { "x-linked-etag": `"${sha256(promised)}"` };
        response.writeHead(302, { location: `${storage.origin}/blob`, ...tag }).end();
      });
      vi.stubEnv("HF_ENDPOINT", server.origin);
      await expect(get("hf:a/b")).rejects.toThrow(/3 times in a row; 0\.2 MB are kept/);
      promised = next;
      await expectFile(await get("hf:a/b"), next);
      expect(storage.requests[3]?.range).toBe("bytes=150000-");
      expect(storage.requests).toHaveLength(next === BYTES ? 4 : 5);
    }
  });

  test("has the older file where it has not the newer one; others are not tried where the model is missing", async () => {
    const server = await started((request, response) => {
      if (request.url?.endsWith("/pytorch_model.bin")) sendFile(request, response, BYTES);
      else response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    });
    vi.stubEnv("HF_ENDPOINT", `${server.origin}/mirror/`);
    await expectFile(await get("hf:a/b@v1.0"));
    expect(server.requests.map(({ path }) => path)).toEqual([
      "/mirror/a/b/resolve/v1.0/model.safetensors",
      "/mirror/a/b/resolve/v1.0/pytorch_model.bin",
    ]);
    expect(await get("hf:a/b@v1.0")).toMatchObject({ cached: true });
    expect(server.requests).toHaveLength(2);
    await expect(get("hf:a/b@v1.0/weights.pth")).rejects.toThrow(
      /is not there; tried http.*v1\.0\/weights\.pth: the server answers 404: the model has no such file/,
    );
  });

  test.each([
    [
      404,
      "RepoNotFound",
      /there is no model a\/b, or it is private or gated and needs a token of yours in HF_TOKEN/,
    ],
    [401, "", /there is no model a\/b, or it is private/],
    [401, "GatedRepo", /the model is gated; ask for access at http:.*\/a\/b, and set HF_TOKEN/],
    [403, "", /where the model is gated, ask for access at/],
    [404, "RevisionNotFound", /has no branch, tag or commit main/],
  ])("that answers %d %s explains itself", async (status, code, message) => {
    const server = await started((_, response) =>
      response.writeHead(status, { "x-error-code": code, "x-error-message": "<script>" }).end(),
    );
    vi.stubEnv("HF_ENDPOINT", server.origin);
    await expect(get("hf:a/b")).rejects.toThrow(message);
    expect(server.requests).toHaveLength(1);
    vi.stubEnv("HF_TOKEN", "hf_secret");
    const withToken: unknown = await get("hf:a/b").catch((error: unknown) => error);
    expect(String(withToken)).not.toContain("hf_secret");
  });

  test("is not asked with settings that are none", async () => {
    for (const [name, value, message] of [
      ["HF_ENDPOINT", "http://example.org", /HF_ENDPOINT: over http/],
      ["HF_ENDPOINT", "hub", /HF_ENDPOINT: "hub" is no address/],
      ["HF_TOKEN", "secret\nx: y", /HF_TOKEN has characters/],
    ] as const) {
      vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:1");
      vi.stubEnv(name, value);
      const failure: unknown = await get("hf:a/b").catch((error: unknown) => error);
      expect(String(failure)).toMatch(message);
      expect(String(failure)).not.toContain("secret");
    }
  });
});

describe("several at once", () => {
  test("fetch a file once", async () => {
    const server = await fileServer(() => ({ etag: '"one"' }));
    const got = await Promise.all(Array.from({ length: 5 }, () => get(`${server.origin}/a`)));
    for (const file of got) await expectFile(file);
    expect(server.requests).toHaveLength(1);
    expect(got.filter(({ cached }) => !cached)).toHaveLength(1);
    expect(await inCache()).toHaveLength(1);
  });

  test("wait for one that is stopped, and go on with what it has left", async () => {
    const controller = new AbortController();
    const server = await started((request, response, count) => {
      if (count > 0) return sendFile(request, response, BYTES, { etag: '"one"' });
      response.writeHead(200, { "content-length": BYTES.length, etag: '"one"' });
      response.write(BYTES.subarray(0, 1000));
    });
    const url = `${server.origin}/a`;
    const one = get(url, { signal: controller.signal, onProgress: () => undefined, pace: PATIENT });
    const stopped = expect(one).rejects.toThrow(/was stopped/);
    await until(async () => (await sizeOf(cachePlace(folder, url).part)) === 1000);
    const [, two] = await Promise.all([stopped, get(url, { onWarning: () => controller.abort() })]);
    await expectFile(two);
    expect(server.requests[1]?.range).toBe("bytes=1000-");
  });

  test("a folder in place of the file is refused by name", async () => {
    const { file } = cachePlace(folder, "https://example.org/a");
    await mkdir(join(file), { recursive: true });
    await expect(get("https://example.org/a")).rejects.toThrow(/it is a folder, not a regular file/);
  });
});

test("requests are forbidden by option and environment", () => {
  expect(offlineReason(undefined, {})).toBeUndefined();
  expect(offlineReason(false, { EIDOS_OFFLINE: "0", HF_HUB_OFFLINE: "" })).toBeUndefined();
  expect(offlineReason(true, {})).toMatch(/--offline/);
  expect(offlineReason(undefined, { EIDOS_OFFLINE: "1" })).toMatch(/EIDOS_OFFLINE/);
  expect(offlineReason(undefined, { HF_HUB_OFFLINE: "true" })).toMatch(/HF_HUB_OFFLINE/);
});
