import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { exportedModelSchema } from "../../src/model/exported.ts";
import { modelRecord, readRecord } from "../../src/use/record.ts";
import { NASTY_NAMES } from "../support.ts";

// model.json is read without zod; what is accepted, refused and made of it is what `exportedModelSchema` says.

const FOLDERS = ["detector", "image", "table"] as const;
const sound: readonly unknown[] = FOLDERS.map((name) =>
  JSON.parse(readFileSync(new URL(`../fixtures/export/${name}/model.json`, import.meta.url), "utf8")),
);

/** The rest of what eidos writes: fewer bits, steps one by one, gaps that are filled in. */
function furtherRecord(): unknown {
  const [detector] = sound as readonly [{ readonly abilities: { readonly detect: Record<string, unknown> } }];
  const { detect } = detector.abilities;
  const port = { name: "x", type: "float32", shape: ["rows", 3], what: "x" };
  const part = { file: "impute-x.onnx", inputs: [port], outputs: [port] };
  const measures = [
    { kind: "compared", name: "AP", unit: "of 1", before: 0.5, after: 0.25 },
    { kind: "difference", name: "mean", value: 0.125 },
  ];
  return {
    ...detector,
    abilities: {
      detect: {
        ...detect,
        precision: {
          type: "int8",
          what: "layers",
          bytes: { before: 4, after: 1 },
          layers: { computing: 1, stored: 0, floats: 2 },
          calibration: { on: "train", samples: 8, method: "ends" },
          overflow: { count: 1, example: -1e6, weights: ["w"] },
          loss: { on: "validation", samples: 9, measures },
        },
      },
      impute: {
        ...part,
        what: "gaps",
        completion: {
          cells: part,
          draw: part,
          drawKnown: part,
          density: part,
          mixture: part,
          columns: [{ gap: 2, size: 1 }],
          modeled: [0, 1, 2],
          order: [2, 1, 0],
          noise: { kind: "normal", size: 3 },
          course: { iterations: 80, leapfrogs: 8, startPower: 0.25 },
          keys: { input: "keys", columns: ["x"] },
          firstRow: "firstRow",
          block: 256,
          classColumn: "kind",
          shares: [0.5, 0.5],
        },
      },
    },
  };
}

const further = furtherRecord();
const all = [...sound, further];

/** What both make of a value: the same record, or undefined where both refuse. @throws Error where they differ */
function bothRead(value: unknown): unknown {
  const schema = exportedModelSchema.safeParse(value);
  let own: unknown;
  try {
    own = modelRecord(value);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
  }
  if (schema.success !== (own !== undefined)) {
    throw new Error(`zod ${schema.success ? "accepts" : "refuses"} ${JSON.stringify(value).slice(0, 500)}`);
  }
  if (schema.success) expect(own).toEqual(schema.data);
  return own;
}

type Path = readonly (string | number)[];

/** Paths of all values within a value. */
function pathsOf(value: unknown, at: Path = []): readonly Path[] {
  if (typeof value !== "object" || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...at, key]))];
}

/** A copy with another value at a path, or without one. */
function changed(value: unknown, [key, ...rest]: Path, to: unknown): unknown {
  if (key === undefined) return to;
  const copy: Record<string, unknown> = Array.isArray(value)
    ? ([...value] as unknown as Record<string, unknown>)
    : { ...(value as object) };
  const next = changed(copy[key], rest, to);
  if (next === undefined) delete copy[key];
  else copy[key] = next;
  return copy;
}

const OTHERS = [
  undefined,
  null,
  "",
  "x",
  "NaN",
  "normal",
  "../score.onnx",
  "/etc/passwd.onnx",
  "a/b.onnx",
  "a\\b.onnx",
  "..onnx",
  ".onnx",
  "c:score.onnx",
  "score.onnx\n",
  "score 2.onnx",
  "é.onnx",
  "http://host/score.onnx",
  0,
  -1,
  1.5,
  2 ** 60,
  true,
  false,
  [],
  {},
  [1],
  ["a", 1],
  [["a"]],
  "x".repeat(100_001),
  Array.from({ length: 9 }, () => 1),
];

describe("a record", () => {
  it("that eidos has written is read", () => {
    for (const record of all) expect(bothRead(record)).toEqual(record);
  });

  it("with any value in any place is read or refused as the schema does", () => {
    let refused = 0;
    // Ports are those of the others.
    const own = pathsOf(further).filter((path) => !path.includes("inputs") && !path.includes("outputs"));
    const places = [
      ...sound.slice(0, 2).map((record) => [record, pathsOf(record)] as const),
      [further, own] as const,
    ];
    for (const [record, paths] of places) {
      for (const path of paths) {
        for (const other of OTHERS) refused += bothRead(changed(record, path, other)) === undefined ? 1 : 0;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  it("with keys that nobody knows is refused", () => {
    for (const record of all) {
      for (const path of pathsOf(record)) {
        for (const key of ["other", "constructor", "toString"]) {
          bothRead(changed(record, [...path, key], 1));
        }
      }
    }
    expect(() => modelRecord({ ...(sound[0] as object), "\u001b[31m": 1 })).toThrow(/the key "\\u001b/);
  });

  it("with names of strangers, further keys of ports and stages is read as the schema does", () => {
    const [detector] = sound as readonly [Record<string, unknown>];
    expect(bothRead({ ...detector, classes: NASTY_NAMES })).toBeDefined();
    expect(
      bothRead({ ...detector, stages: [{ file: "p-net.onnx", what: "x" }], outside: ["y"] }),
    ).toBeDefined();
    const port = ["abilities", "detect", "inputs", 0];
    const keysOfPorts = fc.record(
      {
        stream: fc.array(fc.string(), { maxLength: 10 }),
        noise: fc.constantFrom("normal", "uniform", "other"),
        step: fc.double(),
        missing: fc.constantFrom("NaN", "", -1, 0),
        pooled: fc.string(),
        hashed: fc.string(),
        unit: fc.string(),
        date: fc.record({ precision: fc.string(), form: fc.string(), formula: fc.string() }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(keysOfPorts, (keys) => {
        const value = Object.entries(keys).reduce<unknown>(
          (record, [key, own]) => changed(record, [...port, key], own),
          detector,
        );
        bothRead(value);
      }),
    );
  });

  it("of a stranger ends in one line", () => {
    const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
    const refused: readonly (readonly [Uint8Array, RegExp])[] = [
      [encode("{"), /not valid JSON/],
      [Uint8Array.of(0xff, 0xfe), /not valid JSON/],
      [encode("[]"), /the record is not a record|not a record/],
      [encode('{"format":"eidos-model","version":2}'), /version 2.*update eidos/],
      [encode('{"format":"other"}'), /format is not one of/],
      [encode(`${"[".repeat(100_000)}${"]".repeat(100_000)}`), /model\.json/],
      [new Uint8Array(64e6 + 1), /64000001 bytes/],
    ];
    for (const [bytes, message] of refused) expect(() => readRecord(bytes)).toThrow(message);
  });
});
