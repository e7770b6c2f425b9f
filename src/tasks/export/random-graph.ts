import type { ScoreDraws } from "../../model/capabilities.ts";
import type { GraphValue, GraphWriter } from "../../program/graph-writer.ts";
import type { RandomKey } from "../../random.ts";
import { elementCount } from "../../tensor/index.ts";

// The generator of `random.ts` within a graph, so that a model outside draws the numbers that eidos draws for a row. Words of 32 bits are
// whole numbers of int64 from 0 to 2³² − 1: the runtimes have few operators for unsigned ones.

const WORD = 0xffff_ffff;

/** Draws of a row from which on they are made by a loop, not one after the other. */
const LOOPED = 3;

/** A key, or the state of generators: four words each, of any one shape. */
type Words = readonly [GraphValue, GraphValue, GraphValue, GraphValue];

const right = (x: GraphValue, bits: number): GraphValue => x.div(2 ** bits);
const left = (x: GraphValue, bits: number): GraphValue => x.mul(2 ** bits).mask(WORD);

/** The lower 32 bits of a product with a constant, without a product above 2⁶³. */
function times(x: GraphValue, factor: number): GraphValue {
  const upper = x.mul(factor >>> 16).mask(0xffff);
  return upper
    .mul(0x1_0000)
    .add(x.mul(factor & 0xffff))
    .mask(WORD);
}

/** `mix` of `random.ts`. */
function mix(word: GraphValue): GraphValue {
  let x = times(word.xor(right(word, 16)), 0x85ebca6b);
  x = times(x.xor(right(x, 13)), 0xc2b2ae35);
  return x.xor(right(x, 16));
}

const sum = (x: GraphValue, y: GraphValue): GraphValue => x.add(y).mask(WORD);

/** `absorb` of `random.ts`. */
function absorb([a0, b0, c0, d0]: Words, word: GraphValue | number): Words {
  const a = mix(a0.xor(word));
  const b = mix(sum(b0, a).xor(0x9e3779b9));
  const c = mix(sum(c0, b).xor(0x7f4a7c15));
  const d = mix(sum(d0, c).xor(0x94d049bb));
  return [mix(sum(a, d)), b, c, d];
}

/** The keys of the children of some numbers, as `Random.split` makes them. @param labels whole numbers below 2³² */
function children(keys: Words, labels: GraphValue | number): Words {
  return absorb(absorb(absorb(keys, 1), labels), 0);
}

/** The next 32 bits of each generator (xoroshiro128+), and the state after them. */
function next([s01, s00, s11, s10]: Words): { readonly value: GraphValue; readonly state: Words } {
  const a0 = s10.xor(s00);
  const a1 = s11.xor(s01);
  // Bits that were shifted out on one side and come in on the other never meet: xor is or.
  const state: Words = [
    left(s01, 24)
      .xor(right(s00, 8))
      .xor(a1)
      .xor(left(a1, 16).xor(right(a0, 16))),
    left(s00, 24).xor(right(s01, 8)).xor(a0).xor(left(a0, 16)),
    left(a0, 5).xor(right(a1, 27)),
    left(a1, 5).xor(right(a0, 27)),
  ];
  return { value: sum(s00, s10), state };
}

/** The first draws of generators of any shape S, each of 32 bits: [draws, …S]. */
function drawn(graph: GraphWriter, state: Words, draws: number): GraphValue {
  if (draws >= LOOPED) {
    const { gathered } = graph.loop(draws, state, (_inner, [a, b, c, d]) => {
      const step = next([a, b, c, d] as Words);
      return { state: step.state, gathered: [step.value] };
    });
    return gathered[0] as GraphValue;
  }
  const values: GraphValue[] = [];
  let now = state;
  for (let i = 0; i < draws; i++) {
    const step = next(now);
    values.push(step.value.unsqueeze(0));
    now = step.state;
  }
  return graph.concat(values, 0);
}

/** Keys that are an input of the graph, [keys, 4] of words of 32 bits: as they stand side by side, [1, keys]. */
const wordsOfInput = (keys: GraphValue): Words =>
  [0, 1, 2, 3].map((i) => keys.slice(i, i + 1, 1).transpose(1, 0)) as unknown as Words;

const wordsOf = (graph: GraphWriter, keys: readonly RandomKey[], shape: readonly number[]): Words =>
  [0, 1, 2, 3].map((i) =>
    graph.constant(
      "int64",
      keys.map((key) => (key[i] ?? 0) >>> 0),
      shape,
    ),
  ) as unknown as Words;

/**
 * What `random.split(row)` draws for each row, of several generators `random`: 32 bits each, int64.
 * @param keys of the generators; as a value, int64 [generators, 4]
 * @param rows numbers of the rows, int64 [n], below 2³²
 * @returns [draws, n, generators]
 */
export function drawsOfRows(
  graph: GraphWriter,
  keys: readonly RandomKey[] | GraphValue,
  rows: GraphValue,
  draws: number,
): GraphValue {
  const words = Array.isArray(keys)
    ? wordsOf(graph, keys, [1, keys.length])
    : wordsOfInput(keys as GraphValue);
  return drawn(graph, children(words, rows.unsqueeze(1)), draws);
}

/** Numbers on (0, 1) in float64, as `Random.uniform`, of 32 bits. */
export function uniformOf(bits: GraphValue): GraphValue {
  return bits
    .cast("float64")
    .add(0.5)
    .mul(2 ** -32);
}

/** A standard normal in float64 of two draws of 32 bits, as `Random.normal` makes its first. */
export function normalOf(first: GraphValue, second: GraphValue): GraphValue {
  const radius = uniformOf(first).log().mul(-2).sqrt();
  return radius.mul(
    uniformOf(second)
      .mul(2 * Math.PI)
      .cos(),
  );
}

/** How a random leaf of a program is filled: with uniforms on [0, 1), or with standard normals. */
export type LeafDistribution = "uniform" | "normal";

/**
 * What a random leaf of a program holds for each row, as `Random.fillRows` fills it for samples that are read in batches.
 * @param key of the generator that has a child for each batch, which has one for each leaf
 * @param rows numbers of the rows among all that are read, int64 [n]
 * @param batch how many rows a batch has
 * @param leaf the number of the leaf
 * @returns float32 [n, size]
 */
export function leafOfRows(
  graph: GraphWriter,
  key: RandomKey,
  rows: GraphValue,
  {
    batch,
    leaf,
    size,
    distribution,
  }: {
    readonly batch: number;
    readonly leaf: number;
    readonly size: number;
    readonly distribution: LeafDistribution;
  },
): GraphValue {
  const first = rows.div(batch).mul(batch);
  const ofBatch = children(wordsOf(graph, [key], [1]), first);
  const state = children(children(ofBatch, leaf), rows.sub(first));
  const bits = drawn(graph, state, distribution === "normal" ? evenOf(size) : size).transpose(1, 0);
  if (distribution === "uniform")
    return right(bits, 8)
      .cast("float64")
      .mul(2 ** -24)
      .cast("float32");
  return normalsOf(graph, bits, size);
}

/** Draws that so many normals take, which come in pairs. */
const evenOf = (size: number): number => 2 * Math.ceil(size / 2);

/** Standard normals of draws of 32 bits, int64 [n, evenOf(size)]: float32 [n, size]. */
function normalsOf(graph: GraphWriter, bits: GraphValue, size: number): GraphValue {
  const pairs = evenOf(size);
  const both = uniformOf(bits.reshape([-1, pairs / 2, 2]));
  const radius = both.slice(0, 1, 2).log().mul(-2).sqrt();
  const angle = both.slice(1, 2, 2).mul(2 * Math.PI);
  const normals = graph.concat([radius.mul(angle.cos()), radius.mul(angle.sin())], 2);
  return normals.reshape([-1, pairs]).slice(0, size, 1).cast("float32");
}

/** The key of the child of a name, as `Random.split` makes it: a loop over its characters, since written out they are hundreds of nodes. */
function named(graph: GraphWriter, keys: Words, name: string): Words {
  const characters = Array.from({ length: name.length }, (_, i) => name.charCodeAt(i));
  const codes = graph.constant("int64", characters, [name.length]);
  const { state } = graph.loop(name.length, absorb(keys, 2), (inner, words, step) => ({
    state: absorb(words as unknown as Words, inner.op("Gather", [codes, step])),
    gathered: [],
  }));
  return state as unknown as Words;
}

/** The words that `Random` begins with where it is given a number, and the characters of a label. */
const SEEDED: RandomKey = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];

/** Rows of a batch, by the number of its first row among all. */
interface BatchOfRows {
  /** Numbers of the rows among all that are read, int64 [n]. */
  readonly rows: GraphValue;
  /** How many rows a batch has. */
  readonly batch: number;
}

/**
 * The generators of batches that are scored by a seed of their own (`Model.score`), `Random(seed).split("score")`, where the seed is what the
 * generator of a batch draws first; and the numbers of the rows in their batches. Both [n].
 * @param key of the generator that has a child for each batch
 */
function scoringWords(
  graph: GraphWriter,
  key: RandomKey,
  { rows, batch }: BatchOfRows,
): { readonly words: Words; readonly own: GraphValue } {
  const first = rows.div(batch).mul(batch);
  const ofBatch = next(children(wordsOf(graph, [key], [1]), first)).value;
  // `integer(2 ** 31)`, a seed below 2³².
  const seeded = absorb(absorb(wordsOf(graph, [SEEDED], [1]), right(ofBatch, 1)), 0);
  return { words: named(graph, seeded, "score"), own: rows.sub(first) };
}

/**
 * Standard normals of passes over batches that are scored by a seed of their own: the generator of the score has a child for each pass, by its
 * path of numbers, and that fills the first leaf.
 * @param key of the generator that has a child for each batch
 * @param paths of the passes, all of one length
 * @param size normals that a pass draws for a row
 * @returns float32 [n, passes, size]
 */
export function normalsOfPasses(
  graph: GraphWriter,
  key: RandomKey,
  of: BatchOfRows,
  { paths, size }: { readonly paths: readonly (readonly number[])[]; readonly size: number },
): GraphValue {
  const { words, own } = scoringWords(graph, key, of);
  let passes = words.map((word) => word.unsqueeze(1)) as unknown as Words;
  for (const at of paths[0]?.keys() ?? []) {
    const labels = paths.map((path) => path[at] ?? 0);
    passes = children(passes, graph.constant("int64", labels, [1, labels.length]));
  }
  const state = children(children(passes, 0), own.unsqueeze(1));
  const pairs = evenOf(size);
  const bits = drawn(graph, state, pairs).transpose(1, 2, 0).reshape([-1, pairs]);
  return normalsOf(graph, bits, size).reshape([-1, paths.length, size]);
}

/**
 * The generators of rows, from which a model draws as it scores them: [n].
 * @param key of the generator that has a child for each batch
 */
export function generatorsOfRows(graph: GraphWriter, key: RandomKey, of: BatchOfRows): Words {
  const { words, own } = scoringWords(graph, key, of);
  return children(words, own);
}

/**
 * What a model draws for each row that it scores.
 * @param rows the generators of the rows
 * @returns standard normals in float32 or uniforms on (0, 1) in float64, [n, …shape], or [count, n, …shape]
 */
export function drawsOfScore(
  graph: GraphWriter,
  rows: Words,
  { name, distribution, shape, count }: ScoreDraws,
): GraphValue {
  const ofRows = named(graph, rows, name);
  const numbers = Array.from({ length: count ?? 1 }, (_, k) => k);
  const state =
    count === undefined
      ? ofRows
      : children(
          ofRows.map((word) => word.unsqueeze(0)) as unknown as Words,
          graph.constant("int64", numbers, [count, 1]),
        );
  const size = elementCount(shape);
  const draws = distribution === "normal" ? evenOf(size) : size;
  const bits = drawn(graph, state, draws).reshape([draws, -1]).transpose(1, 0);
  const values = distribution === "normal" ? normalsOf(graph, bits, size) : uniformOf(bits);
  return values.reshape(count === undefined ? [-1, ...shape] : [count, -1, ...shape]);
}
