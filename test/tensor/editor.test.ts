import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { Linear } from "../../src/nn/linear.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { Buffer, input, Parameter, Tensor } from "../../src/tensor/index.ts";

const TENSOR = fileURLToPath(new URL("../../src/tensor/index.ts", import.meta.url));

/** An editor that has one file open. */
function editorOf(file: string, text: string): ts.LanguageService {
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    strict: true,
    allowImportingTsExtensions: true,
    noEmit: true,
    types: [],
    // The methods are eidos's own: the library of JavaScript is not needed.
    noLib: true,
  };
  return ts.createLanguageService({
    getCompilationSettings: () => options,
    getScriptFileNames: () => [file],
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) => {
      const content = name === file ? text : ts.sys.readFile(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => fileURLToPath(new URL("../..", import.meta.url)),
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: ts.sys.readFile,
  });
}

describe("a tensor in an editor", () => {
  it("documents every method where it is completed and where it is hovered over", () => {
    const file = fileURLToPath(new URL("hovered.ts", import.meta.url));
    const methods = Object.getOwnPropertyNames(Tensor.prototype).filter(
      (name) => !["constructor", "rank", "toString"].includes(name),
    );
    expect(methods.length).toBeGreaterThan(50);
    const head = `import type { Tensor } from ${JSON.stringify(TENSOR)};\ndeclare const x: Tensor;\n`;
    const text = head + methods.map((name) => `x.${name};\n`).join("");
    const editor = editorOf(file, text);
    const completed = editor.getCompletionsAtPosition(file, head.length + 2, undefined);
    const names = completed?.entries.map(({ name }) => name) ?? [];
    for (const name of methods) {
      expect(names).toContain(name);
      const info = editor.getQuickInfoAtPosition(file, text.indexOf(`x.${name};`, head.length) + 2);
      expect(ts.displayPartsToString(info?.displayParts), name).toContain(`.${name}(`);
      expect(ts.displayPartsToString(info?.documentation), name).not.toBe("");
    }
    editor.dispose();
  });
});

describe("a tensor on the console", () => {
  it("is one line: name where there is one, dtype and shape", () => {
    const parameter = new Parameter([2, 3], () => {});
    parameter.name = "layers.0.weight";
    expect(inspect(parameter)).toBe("Tensor(parameter layers.0.weight: float32[2, 3])");
    expect(inspect(new Buffer([2], () => {}))).toBe("Tensor(buffer: float32[2])");
    expect(inspect(input("x", ["batch", 2]))).toBe("Tensor(input x: float32[batch, 2])");
    expect(inspect({ y: input("x", [4]).argMax(0) })).toBe("{ y: Tensor(argMax: int64[]) }");
    expect(`${input("label", ["batch"], "int64")}`).toBe("input label: int64[batch]");
  });
});

/** The message of what a function throws. */
function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    expect(error).toBeInstanceOf(ShapeError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

describe("a shape error", () => {
  it("names the file and line outside of eidos, however deep inside it is made", () => {
    const here = /\(called at .*\/test\/tensor\/editor\.test\.ts:(\d+)\)$/;
    const direct = here.exec(messageOf(() => input("x", [3]).add(input("y", [2]))));
    const layer = nameParameters(new Linear(4, 2));
    const deep = here.exec(messageOf(() => layer.forward(input("x", [3]))));
    expect(Number(deep?.[1]) - Number(direct?.[1])).toBe(2);
    expect(Error.stackTraceLimit).toBeLessThan(200);
  });
});
