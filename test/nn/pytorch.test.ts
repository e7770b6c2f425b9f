import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readWeights } from "../../src/nn/weights.ts";
import { numbers } from "./support.ts";

const folder = new URL("../fixtures/pytorch/", import.meta.url);
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, folder)));
const read = (name: string) => readWeights(bytesOf(name), name);

type Expected = Record<string, { readonly shape: readonly number[]; readonly values: readonly unknown[] }>;
const expected: Record<"kinds" | "network", Expected> = JSON.parse(
  readFileSync(new URL("expected.json", folder), "utf8"),
);

/** Values as the fixture has them: true and false are 1 and 0, numbers that JSON lacks are texts. */
const asNumbers = (values: readonly unknown[]): number[] => values.map(Number);

function expectTensors(name: string, wanted: Expected): void {
  const { kind, tensors } = read(name);
  expect(kind).toBe("pytorch");
  expect([...tensors.keys()]).toEqual(Object.keys(wanted));
  for (const [key, array] of tensors) {
    expect({ key, shape: array.shape }).toEqual({ key, shape: wanted[key]?.shape });
    // Python prints float32 in float64's digits, as they are here.
    expect({ key, values: numbers(array) }).toEqual({ key, values: asNumbers(wanted[key]?.values ?? []) });
  }
}

describe("files of torch.save", () => {
  it("with a byte that is another than its checksum says are refused", () => {
    const bytes = bytesOf("network.pth");
    const value = [...read("network.pth").tensors.values()].find(({ dtype }) => dtype === "float32");
    const raw = new Uint8Array(value?.data.slice(0, 2).buffer ?? new ArrayBuffer(0));
    const at = Buffer.from(bytes).indexOf(raw);
    expect(at).toBeGreaterThan(0);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect(() => readWeights(bytes, "network.pth")).toThrow(
      /^network\.pth: its archive: the checksum of .* is another; the file is damaged/,
    );
  });

  it.each([
    "kinds.pth",
    "kinds-older.pth",
    "kinds-protocol-3.pth",
    "kinds-protocol-4.pth",
    "kinds-protocol-5.pth",
    "kinds-older-protocol-4.pth",
  ])("%s: every storage, strides, parts of a storage, scalars and empty tensors", (name) => {
    expectTensors(name, expected.kinds);
    const { tensors } = read(name);
    const dtypes = Object.fromEntries([...tensors].map(([key, { dtype }]) => [key, dtype]));
    expect(dtypes).toMatchObject({
      float16: "float32",
      bfloat16: "float32",
      float64: "float64",
      int64: "int64",
      int8: "int64",
      uint8: "int64",
      bool: "bool",
    });
    expect(tensors.get("int64")?.data).toEqual(BigInt64Array.of(2n ** 62n, -1n, 7n));
  });

  it.each(["network.pth", "network-older.pth", "newer-network.pth", "checkpoint.pt", "checkpoint-older.pt"])(
    "%s: the state dict of a network",
    (name) => {
      expectTensors(name, expected.network);
      const notes = name.startsWith("checkpoint")
        ? ["the state dict is its entry model; beside it, not used: epoch, loss, done and 2 more"]
        : [];
      expect(read(name).notes).toEqual(notes);
    },
  );

  it("copies: arrays share nothing with the file, wherever its bytes begin", () => {
    for (const name of ["network.pth", "network-older.pth"]) {
      const held = Buffer.concat([Buffer.alloc(3), bytesOf(name)]);
      const { tensors } = readWeights(held.subarray(3), name);
      const before = [...tensors.values()].map(numbers);
      held.fill(255);
      expect([...tensors.values()].map(numbers)).toEqual(before);
    }
  });

  it.each([
    ["big-endian.pth", "big-endian"],
    ["big-endian-older.pth", "big-endian"],
    ["whole-model.pt", "names torch.nn.modules.container.Sequential, which this reader does not run"],
    ["script.pt", "TorchScript"],
    ["pair.pt", "several state dicts, generator, discriminator"],
  ])("%s is refused", (name, message) => {
    expect(() => read(name)).toThrow(`${name}: `);
    expect(() => read(name)).toThrow(message);
  });
});
