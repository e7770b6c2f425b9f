import { basename, join, sep } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cacheFolder, cacheName, cachePlace } from "../../../src/data/files/cache.node.ts";
import { addressesOf, hubEndpoint } from "../../../src/data/files/hub.node.ts";
import { isRemote, remoteSource, shownSource } from "../../../src/data/files/source.ts";
import { OptionError } from "../../../src/errors.ts";
import { nastyName } from "../../support.ts";

// What may be named as weights, and what that is called in the cache.

const HUB = hubEndpoint({});
const addresses = (text: string): readonly string[] => addressesOf(remoteSource(text), HUB);

describe("a source", () => {
  test.each(["weights.pth", "./hf:x", "C:\\weights\\a.pth", "C://a.pth", "runs/hf", "hfx:a", "/a/b", "a//b"])(
    "%s is a path",
    (text) => expect(isRemote(text)).toBe(false),
  );

  test.each([
    ["hf:timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k/resolve/main/model.safetensors"],
    ["HF:a/b", "a/b/resolve/main/model.safetensors"],
    ["hf:a/b@v1.0", "a/b/resolve/v1.0/model.safetensors"],
    ["hf:a/b/deep/er/w%C3%A4.pth".replace("%C3%A4", "ä"), "a/b/resolve/main/deep/er/w%C3%A4.pth"],
    ["hf:a/b@refs/pr/12/x y.bin", "a/b/resolve/refs%2Fpr%2F12/x%20y.bin"],
    ["hf:a/b@0123abcd/x@2.bin", "a/b/resolve/0123abcd/x%402.bin"],
  ])("%s is on the hub", (text, path) => {
    expect(addresses(text)[0]).toBe(`https://huggingface.co/${path}`);
  });

  test("names the older file of a model, too, where none is given", () => {
    expect(addresses("hf:a/b")).toHaveLength(2);
    expect(addresses("hf:a/b/c")).toHaveLength(1);
  });

  test.each([
    ["hf:", /owner and its name/],
    ["hf:resnet18", /owner and its name/],
    ["hf:/b", /"" is no name of an owner/],
    ["hf://huggingface.co/a/b", /is no name of an owner/],
    ["hf:../b", /"\.\." is no name of an owner/],
    ["hf:a/..", /"\.\." is no name of a model/],
    ["hf:a/b@", /"" is no branch/],
    ["hf:a/b@../..", /is no branch/],
    ["hf:a/b/", /no path of a file below/],
    ["hf:a/b/../../c", /no path of a file below/],
    ["hf:a/b/c\\d", /no path of a file below/],
    ["hf:a/b/%2e%2e/c", /no path of a file below/],
    ["hf:a/b/c?x=1", /no path of a file below/],
    ["hf:a/b\n/c", /is no name of a model/],
    ["http://example.org/a", /over http: anybody on the way/],
    ["http://127.0.0.1.example.org/a", /over http/],
    ["http://localhost.example.org/a", /over http/],
    ["ftp://a/b", /ftp:\/\/ is not fetched; weights are a path/],
    ["file:///etc/passwd", /file:\/\/ is not fetched/],
    ["https://", /it is no address/],
    ["https://me:secret@example.org/a", /has a name or a password/],
    ["https://example.org/a#md5=1", /is no checksum/],
    [`https://example.org/a#sha256=${"0".repeat(63)}`, /is no checksum/],
    [`https://example.org/a#x#sha256=${"0".repeat(64)}`, /is no checksum/],
    [`https://example.org/${"a".repeat(2000)}`, /more than 2000 characters/],
  ])("%s is refused", (text, message) => {
    expect(isRemote(text)).toBe(true);
    const source = () => remoteSource(text);
    expect(source).toThrow(OptionError);
    expect(source).toThrow(message);
    expect(source).not.toThrow(/secret/);
  });

  test.each(["http://localhost:80/a", "http://127.9.9.9/a", "http://[::1]/a", "HTTPS://EXAMPLE.org/a"])(
    "%s is fetched",
    (text) => expect(remoteSource(text).kind).toBe("url"),
  );

  test("is shown without what may be a key", () => {
    expect(shownSource("https://a.org/b?key=1#c")).toBe("https://a.org/b?…");
    expect(shownSource("https://me:x@a.org/b")).toBe("https://…@a.org/b");
  });

  test("of any text is refused or leads to https, or to this machine", () => {
    const text = fc.tuple(
      fc.constantFrom("hf:", "hf:a/b", "hf:a/b@", "hf:a/b/", "https://", "http://", "https://a.org/", "x://"),
      nastyName,
    );
    fc.assert(
      fc.property(text, ([start, end]) => {
        let found: readonly string[];
        try {
          found = addresses(start + end);
        } catch (error) {
          expect(error).toBeInstanceOf(OptionError);
          return;
        }
        for (const address of found) {
          const url = new URL(address);
          expect(url.protocol === "https:" || /^(127\.|localhost|\[::1\])/.test(url.hostname)).toBe(true);
          if (start.startsWith("hf:")) {
            expect(url.href).toBe(address);
            expect(url.origin).toBe("https://huggingface.co");
            expect(url.pathname).toMatch(/^\/\w[\w.-]*\/\w[\w.-]*\/resolve\/[^/]+\/./);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a name in the cache", () => {
  const address = fc.oneof(
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    nastyName.map((name) => `https://example.org/${name}`),
    nastyName,
  );

  test("is its own where halves of surrogate pairs are all that differs", () => {
    expect(cacheName("https://example.org/\ud800")).not.toBe(cacheName("https://example.org/\udbff"));
    expect(cacheName("https://example.org/\ud83d\ude00")).not.toBe(cacheName("https://example.org/\ufffd"));
  });

  test("is one that every file system takes, within the folder, and its own", () => {
    fc.assert(
      fc.property(address, address, (one, other) => {
        const name = cacheName(one);
        expect(name).toMatch(/^weights-[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9a-f]{20}(\.[A-Za-z0-9]{1,12})?$/);
        expect(name.length).toBeLessThan(120);
        expect(basename(join("/cache", name))).toBe(name);
        for (const path of Object.values(cachePlace("/cache", one))) {
          expect(path.startsWith(`${sep}cache${sep}${name}`)).toBe(true);
        }
        expect(cacheName(other) === name).toBe(one === other);
        expect(cacheName(one)).toBe(name);
      }),
      { numRuns: 2000 },
    );
  });

  test("tells a person what it is", () => {
    expect(cacheName("https://a.org/x/resnet18-5c106cde.pth?y")).toMatch(
      /^weights-resnet18-5c106cde-[0-9a-f]{20}\.pth$/,
    );
    // No two differ by case alone, for systems that do not tell case apart.
    expect(cacheName("https://a.org/A").toLowerCase()).not.toBe(cacheName("https://a.org/a").toLowerCase());
    for (const device of ["CON", "nul.pth", "..", "."]) {
      expect(cacheName(`https://a.org/${device}`)).toMatch(/^weights-/);
    }
  });

  test("lies in the folder that the environment gives", () => {
    const home = cacheFolder({}, "linux");
    expect(home.endsWith(join(".cache", "eidos"))).toBe(true);
    expect(cacheFolder({ XDG_CACHE_HOME: "relative" }, "linux")).toBe(home);
    expect(cacheFolder({ XDG_CACHE_HOME: "/x" }, "linux")).toBe(join("/x", "eidos"));
    expect(cacheFolder({ EIDOS_CACHE: "/y", XDG_CACHE_HOME: "/x" }, "linux")).toBe("/y");
    expect(cacheFolder({ LOCALAPPDATA: "/local" }, "win32")).toBe(join("/local", "eidos", "cache"));
  });
});
