import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { readWeights } from "../../src/nn/weights.ts";
import { fixtureBytes, fixtureTensors } from "./support.ts";
import { writtenByEidos } from "./written.ts";

const folder = new URL("../fixtures/pytorch/", import.meta.url);
const fixtures = readdirSync(folder)
  .filter((name) => /\.pth?$/.test(name))
  .map((name) => new Uint8Array(readFileSync(new URL(name, folder))));

const latin = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

describe("readWeights", () => {
  it("reads safetensors, whatever the file is called", () => {
    const { kind, tensors, notes } = readWeights(fixtureBytes("formats.safetensors"), "weights.pth");
    expect({ kind, notes }).toEqual({ kind: "safetensors", notes: [] });
    expect(tensors).toEqual(fixtureTensors("formats.safetensors").tensors);
    // A header of 640 bytes begins as a pickle does.
    const name = "n".repeat(640 - 55);
    const header = `{"${name}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`.padEnd(640, " ");
    expect([...readWeights(latin(`\x80\x02\0\0\0\0\0\0${header}`), "w").tensors.keys()]).toEqual([name]);
    const cut = writtenByEidos().subarray(0, 40);
    expect(() => readWeights(cut, "cut.safetensors")).toThrow("truncated or no safetensors");
  });

  it.each([
    ["nothing", "", "empty"],
    ["HTML", "\n<!DOCTYPE html>\n<html><head>", "a page of HTML"],
    ["HTML after a mark and a comment", "\xef\xbb\xbf<!-- a -->\n<html>", "a page of HTML"],
    ["XML", '<?xml version="1.0"?><Error><Code>AccessDenied', "XML, as a server"],
    ["Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"],
    ["gzip", "\x1f\x8b\x08\0", "gzip, not weights; decompress it first"],
    ["tar", `${"a".padEnd(257, "\0")}ustar\x0000`, "tar"],
    ["NumPy", "\x93NUMPY\x01\0", "NumPy"],
    ["HDF5", "\x89HDF\r\n\x1a\n", "HDF5"],
    ["GGUF", "GGUF\x03\0\0\0", "GGUF"],
    ["TensorFlow Lite", "\x1c\0\0\0TFL3", "TensorFlow Lite"],
    ["ONNX", "\x08\x07\x12\x07pytorch", "an ONNX model"],
    ["PNG", "\x89PNG\r\n\x1a\n", "a picture"],
    ["JSON", '{"weights": []}', "JSON"],
    ["text", "hello", 'a text that begins with "hello"'],
    ["noise", "\x01\x02\x03\x04\x05\x06\x07", "no kind that is known"],
    ["a pickle of others", "\x80\x02K\x01.", "not one that torch.save wrote"],
    ["an old protocol", "\x80\x01K\x01.", "no kind that is known"],
    ["an empty zip archive", `PK\x05\x06${"\0".repeat(18)}`, "no data.pkl"],
  ])("says what a file is: %s", (_, start, message) => {
    const read = () => readWeights(latin(start), "file.pth");
    expect(read).toThrow(WeightsError);
    expect(read).toThrow("file.pth: ");
    expect(read).toThrow(message);
  });

  /** Reads, or finds a WeightsError; arrays take no more than eight times the file. */
  function tryBytes(bytes: Uint8Array): void {
    try {
      let taken = 0;
      for (const { data } of readWeights(bytes, "bad.pth").tensors.values()) taken += data.byteLength;
      expect(taken).toBeLessThanOrEqual(8 * bytes.length + 4096);
    } catch (error) {
      expect(error).toBeInstanceOf(WeightsError);
      expect(String(error)).toContain("bad.pth");
      expect(String(error).length).toBeLessThan(3000);
    }
  }

  const some = fc.constantFrom(...fixtures);
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const place = (bytes: Uint8Array, at: number) => Math.floor(at * bytes.length);

  it("a truncated file is a WeightsError at every length", () => {
    for (const bytes of fixtures) {
      for (
        let length = 0;
        length < bytes.length;
        length += length < 200 || length > bytes.length - 100 ? 1 : 11
      ) {
        expect(() => readWeights(bytes.subarray(0, length), "short.pth")).toThrow(WeightsError);
      }
    }
  });

  it("any change of bytes is read or is a WeightsError", () => {
    fc.assert(
      fc.property(
        some,
        fc.array(fc.tuple(share, fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 }),
        (good, changes) => {
          const bytes = good.slice();
          for (const [at, value] of changes) bytes[place(bytes, at)] = value;
          tryBytes(bytes);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("so are parts of files put together, put in twice, left out and filled", () => {
    fc.assert(
      fc.property(some, some, share, share, share, share, fc.nat(3), (good, other, a, b, c, d, fill) => {
        const [begin = 0, end = 0] = [place(good, a), place(good, b)].sort((x, y) => x - y);
        const [from = 0, to = 0] = [place(other, c), place(other, d)].sort((x, y) => x - y);
        tryBytes(
          Uint8Array.from([...good.subarray(0, begin), ...other.subarray(from, to), ...good.subarray(end)]),
        );
        tryBytes(Uint8Array.from([...good.subarray(0, end), ...good.subarray(begin)]));
        tryBytes(good.slice().fill([0, 0xff, 0x28, 0x5d][fill] ?? 0, begin, Math.min(end, begin + 9)));
      }),
      { numRuns: 1000 },
    );
  });

  it("so is noise that begins as weights do", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(
          "PK\x03\x04",
          "\x80\x02",
          "\x80\x04\x95",
          "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
          "",
        ),
        fc.uint8Array({ maxLength: 200 }),
        (start, noise) => tryBytes(Uint8Array.from([...latin(start), ...noise])),
      ),
      { numRuns: 1000 },
    );
  });
});
