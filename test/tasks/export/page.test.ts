import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { handoutPage } from "../../../src/tasks/export/page.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { temporaryFolder } from "../../support.ts";

// `npm test` builds the page's script before it tests; what the page does in a browser is test/browser/handout.test.ts.

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Files that a page holds, by their names. */
const filesOf = (html: string): ReadonlyMap<string, Buffer> =>
  new Map(
    [...html.matchAll(/<script type="text\/plain" data-file="([^"]*)">([^<]*)<\/script>/g)].map(
      ([, name = "", letters = ""]) => [name, gunzipSync(Buffer.from(letters, "base64"))],
    ),
  );

describe("a page to hand out", () => {
  it("holds the files of an export, and is told of with them", async () => {
    const run = join(folder, "run");
    const request = {
      model: "real-nvp",
      data: "two-moons",
      count: 200,
      steps: 1,
      threads: 1,
      report: "none",
      out: run,
    };
    const { fit } = await prepareFit({ kind: "new", request });
    const { draw: _d, finish: _f, ...rest } = fit;
    await fitHere(rest);
    const out = join(folder, "out");
    const { files = [], bytes, description } = await exportRun(run, out, { page: true });
    expect(files).toContain("page.html");
    const sizes = await Promise.all(files.map(async (name) => (await stat(join(out, name))).size));
    expect(bytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
    expect(description).toMatch(/^page\.html: a page to hand out/m);
    const inside = filesOf(await readFile(join(out, "page.html"), "utf8"));
    for (const name of files.filter((file) => file !== "page.html"))
      expect(inside.get(name)?.equals(await readFile(join(out, name))), name).toBe(true);
    expect([...inside.keys()].filter((name) => !files.includes(name))).toEqual([
      "ort-wasm-simd-threaded.wasm",
      "worker.js",
    ]);
  });

  it("lets no name act, no script end early, and nothing be fetched", async () => {
    const html = await handoutPage('</title><script>alert("1")</script>', {});
    expect(html).toContain("<title>&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;</title>");
    const [, policy] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
    expect(policy).toMatch(/^default-src 'none';/);
    expect(policy).not.toMatch(/connect-src|https?:|\*/);
    // Licences, two files, the page's script.
    expect(html.match(/<script/gi)).toHaveLength(4);
    expect(html.match(/<\/script/gi)).toHaveLength(4);
    expect(html).not.toMatch(/\s(src|href)="(?!data:)/);
  });

  it("is refused where files need more than themselves", async () => {
    await expect(exportRun("nowhere", join(folder, "raw"), { page: true, rawTensor: true })).rejects.toThrow(
      /option page: .* leave rawTensor out/,
    );
  });
});
