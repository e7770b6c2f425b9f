import { existsSync, readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";

// The built page: `npm test` builds before it tests.

const built = new URL("../../dist/studio/", import.meta.url);
const read = (path: string): Buffer => readFileSync(new URL(path, built));

describe("the page of the studio", () => {
  const page = read("index.html").toString();
  const scripts = [
    ...page.matchAll(/<script[^>]*src="([^"]+)"/g),
    ...page.matchAll(/modulepreload[^>]*href="([^"]+)"/g),
  ];
  const styles = [...page.matchAll(/<link rel="stylesheet"[^>]*href="([^"]+)"/g)];

  it("begins with less than 150 kB of scripts, squeezed", () => {
    expect(scripts.length).toBeGreaterThan(0);
    const bytes = scripts.reduce((sum, [, path = ""]) => sum + gzipSync(read(path)).length, 0);
    expect(bytes).toBeLessThan(150_000);
  });

  it("fetches the room of detection when that is opened, not before", () => {
    const own = readdirSync(new URL("assets/", built)).filter((name) =>
      /^detection-.*\.(js|css)$/.test(name),
    );
    expect(own.length).toBe(2);
    expect(own.filter((name) => page.includes(name))).toEqual([]);
  });

  it("has no script inside, and asks for nothing but its own files", () => {
    expect(page).not.toMatch(/<script(?![^>]*src=)/);
    expect(page).not.toMatch(/<style|style=|\son\w+=/);
    for (const [, path = ""] of [...scripts, ...styles]) expect(path).toMatch(/^\.\/assets\//);
    expect(page).not.toMatch(/https?:\/\//);
  });

  it("has ONNX Runtime and the pages it links to beside it", () => {
    expect(existsSync(new URL("runtime/ort-wasm-simd-threaded.wasm", built))).toBe(true);
    expect(read("docs/flows-maf.html").toString()).toContain("<title>");
  });
});
