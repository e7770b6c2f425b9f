import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onnx } from "onnx-proto";
import { afterAll, describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { load } from "../../src/use/index.node.ts";
import { refuseOtherFiles } from "../../src/use/onnx-file.ts";
import { remove } from "../serve/support.ts";
import { present, temporaryFolder } from "../support.ts";

// An ONNX file of a stranger may name other files as the place of its weights.

const folder = await temporaryFolder();
afterAll(() => remove(folder));

const fixture = (name: string) => readFile(new URL(`../fixtures/export/${name}`, import.meta.url));

const external = {
  name: "w",
  dims: [1],
  dataType: 1,
  dataLocation: 1,
  externalData: [{ key: "location", value: "/etc/passwd" }],
};

/** A model with a tensor at one of the places where tensors stand. */
function withTensor(place: (tensor: object) => object): Uint8Array {
  return onnx.ModelProto.encode(onnx.ModelProto.create(place(external))).finish();
}

const inNode = (attribute: object): object => ({
  graph: { node: [{ opType: "Constant", attribute: [attribute] }] },
});

describe("an ONNX file", () => {
  it.each(["table/score.onnx", "table/sample.onnx", "image/sample.onnx", "detector/detect.onnx"])(
    "of eidos names no other: %s",
    async (name) => {
      const bytes = await fixture(name);
      expect(() => refuseOtherFiles(bytes)).not.toThrow();
      expect(() => refuseOtherFiles(bytes.subarray(0, bytes.length - 1))).toThrow(DataError);
    },
  );

  it.each([
    ["a weight", (tensor: object) => ({ graph: { initializer: [tensor] } })],
    ["a constant", (tensor: object) => inNode({ name: "value", t: tensor })],
    ["a list of tensors", (tensor: object) => inNode({ name: "value", tensors: [tensor] })],
    ["a graph within a graph", (tensor: object) => inNode({ name: "body", g: { initializer: [tensor] } })],
    [
      "one of several graphs",
      (tensor: object) => inNode({ name: "body", graphs: [{ initializer: [tensor] }] }),
    ],
    ["a sparse weight", (tensor: object) => ({ graph: { sparseInitializer: [{ values: tensor }] } })],
    ["a training step", (tensor: object) => ({ trainingInfo: [{ algorithm: { initializer: [tensor] } }] })],
    ["a function", (tensor: object) => ({ functions: [{ node: [{ attribute: [{ t: tensor }] }] }] })],
  ])("with %s elsewhere is refused", (_what, place) => {
    expect(() => refuseOtherFiles(withTensor(place))).toThrow(/other files, which are not read/);
  });

  it("is refused by load before ONNX Runtime sees it", async () => {
    await writeFile(join(folder, "model.json"), await fixture("image/model.json"));
    await writeFile(
      join(folder, "sample.onnx"),
      withTensor((tensor) => ({ graph: { initializer: [tensor] } })),
    );
    await expect(load(folder)).rejects.toThrow(/^sample\.onnx: its weights lie in other files/);
    await writeFile(join(folder, "sample.onnx"), "no ONNX");
    await expect(load(folder)).rejects.toThrow(/^sample\.onnx: it is no ONNX file/);
  });

  it("that is damaged anywhere is refused in one line, or runs", async () => {
    const bytes = await fixture("image/sample.onnx");
    for (let i = 0; i < 2000; i++) {
      const damaged = Uint8Array.from(bytes);
      damaged[(i * 7919) % bytes.length] = present(bytes[(i * 104_729) % bytes.length]);
      try {
        refuseOtherFiles(damaged);
      } catch (error) {
        expect(error).toBeInstanceOf(DataError);
      }
    }
  });
});
