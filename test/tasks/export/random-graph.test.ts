import * as ort from "onnxruntime-node";
import { expect, it } from "vitest";
import { GraphWriter } from "../../../src/program/graph-writer.ts";
import { Random } from "../../../src/random.ts";
import {
  drawsOfRows,
  drawsOfScore,
  generatorsOfRows,
  leafOfRows,
  normalOf,
  normalsOfPasses,
  uniformOf,
} from "../../../src/tasks/export/random-graph.ts";

import { largestDifference } from "../../support.ts";

const ROWS = [0, 1, 7, 255, 256, 300, 70_000, 4_000_000_000];

async function run(graph: GraphWriter): Promise<Float64Array> {
  const session = await ort.InferenceSession.create(graph.bytes());
  const rows = new ort.Tensor("int64", BigInt64Array.from(ROWS, BigInt), [ROWS.length]);
  const { y } = await session.run({ rows });
  await session.release();
  return Float64Array.from(y?.data as Float64Array);
}

it.each([1, 3, 12])("a graph draws what the generator draws for a row: %i numbers", async (draws) => {
  const random = new Random(3).split("table");
  const names = ["age", "Größe"];
  const graph = new GraphWriter();
  const rows = graph.input("rows", "int64", ["n"]);
  const keys = names.map((name) => random.split(name).key);
  graph.output("y", uniformOf(drawsOfRows(graph, keys, rows, draws)), [draws, "n", 2]);
  const found = await run(graph);
  const expected: number[] = [];
  for (let draw = 0; draw < draws; draw++) {
    for (const row of ROWS) {
      for (const name of names) {
        const source = random.split(name).split(row);
        for (let k = 0; k < draw; k++) source.uniform();
        expected.push(source.uniform());
      }
    }
  }
  expect([...found]).toEqual(expected);
});

it("a graph makes the generator's normals", async () => {
  const random = new Random(1);
  const graph = new GraphWriter();
  const rows = graph.input("rows", "int64", ["n"]);
  const draws = drawsOfRows(graph, [random.key], rows, 2);
  graph.output("y", normalOf(draws.slice(0, 1, 0), draws.slice(1, 2, 0)), [1, "n", 1]);
  const found = await run(graph);
  ROWS.forEach((row, i) => {
    expect(found[i]).toBeCloseTo(random.split(row).normal(), 12);
  });
});

it.each(["uniform", "normal"] as const)(
  "a graph fills a random leaf as a program's runs do: %s",
  async (distribution) => {
    const [size, batch, leaf] = [5, 256, 1];
    const random = new Random(0).split("score");
    const graph = new GraphWriter();
    const rows = graph.input("rows", "int64", ["n"]);
    const values = leafOfRows(graph, random.key, rows, { batch, leaf, size, distribution });
    graph.output("y", values.cast("float64"), ["n", size]);
    const found = await run(graph);
    ROWS.forEach((row, i) => {
      const first = batch * Math.floor(row / batch);
      const target = new Float32Array(size);
      random
        .split(first)
        .split(leaf)
        .fillRows(target, 1, row - first, distribution);
      for (let k = 0; k < size; k++) expect(found[i * size + k]).toBeCloseTo(target[k] ?? 0, 6);
    });
  },
);

it("a graph draws what the passes of a score draw that is given a seed", async () => {
  const [size, batch] = [5, 256];
  const paths = [
    [0, 0],
    [0, 8],
    [2, 8],
  ];
  const random = new Random(4).split("score");
  const graph = new GraphWriter();
  const rows = graph.input("rows", "int64", ["n"]);
  const values = normalsOfPasses(graph, random.key, { rows, batch }, { paths, size });
  graph.output("y", values.cast("float64"), ["n", paths.length, size]);
  const found = await run(graph);
  const expected = ROWS.flatMap((row) => {
    const first = batch * Math.floor(row / batch);
    const seed = random.split(first).integer(2 ** 31);
    return paths.flatMap(([k = 0, pass = 0]) => {
      const target = new Float32Array(size);
      const leaf = new Random(seed).split("score").split(k).split(pass).split(0);
      leaf.fillRows(target, 1, row - first, "normal");
      return [...target];
    });
  });
  expect(found.length).toBe(expected.length);
  expect(Math.max(...expected.map((value, i) => Math.abs(value - (found[i] ?? Number.NaN))))).toBeLessThan(
    1e-6,
  );
});

it.each([
  ["normal", undefined],
  ["normal", 3],
  ["uniform", undefined],
  ["uniform", 3],
] as const)(
  "a graph draws what a model draws for each row that it scores: %s, %s",
  async (distribution, count) => {
    const [shape, batch] = [[3, 1], 256] as const;
    const random = new Random(4).split("score");
    const graph = new GraphWriter();
    const rows = graph.input("rows", "int64", ["n"]);
    const values = drawsOfScore(graph, generatorsOfRows(graph, random.key, { rows, batch }), {
      name: "probe",
      distribution,
      shape,
      ...(count !== undefined && { count }),
    });
    graph.output("y", values.cast("float64"), count === undefined ? ["n", ...shape] : [count, "n", ...shape]);
    const found = await run(graph);
    const expected = Array.from({ length: count ?? 1 }, (_, k) =>
      ROWS.flatMap((row) => {
        const first = batch * Math.floor(row / batch);
        const seed = random.split(first).integer(2 ** 31);
        const named = new Random(seed)
          .split("score")
          .split(row - first)
          .split("probe");
        const own = count === undefined ? named : named.split(k);
        return Array.from({ length: 3 }, () => (distribution === "normal" ? own.normal() : own.uniform()));
      }),
    ).flat();
    expect(found.length).toBe(expected.length);
    expect(largestDifference(found, expected)).toBeLessThan(1e-6);
  },
);
