import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { sum } from "../../../src/tensor/core.ts";
import { grad } from "../../../src/tensor/grad.ts";
import { outputAt } from "../../../src/tensor/graph.ts";
import { input } from "../../../src/tensor/leaves.ts";
import { einsum } from "../../../src/tensor/operations/einsum.ts";
import { square } from "../../../src/tensor/operations/elementwise.ts";
import { linear, matmul } from "../../../src/tensor/operations/matmul.ts";
import {
  at,
  broadcastAt,
  build,
  cases,
  checkOperation,
  commonShape,
  expectClose,
  few,
  generator,
  positions,
  randomValues,
  runAll,
  runOnce,
  toArray,
  type Values,
} from "../support.ts";

/** Matrix product by its definition. */
function product(a: Values, b: Values, transposeA = false, transposeB = false): Values {
  const [m, k] = a.shape.slice(-2);
  const [rows, inner] = transposeA ? [k, m] : [m, k];
  const columns = b.shape.at(transposeB ? -2 : -1);
  if (rows === undefined || inner === undefined || columns === undefined) throw new Error("not matrices");
  const batch = commonShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return build([...batch, rows, columns], (position) => {
    const lead = position.slice(0, -2);
    const [i = 0, j = 0] = position.slice(-2);
    let total = 0;
    for (let p = 0; p < inner; p++) {
      const left = transposeA ? [p, i] : [i, p];
      const right = transposeB ? [j, p] : [p, j];
      total += broadcastAt(a, [...lead, ...left]) * broadcastAt(b, [...lead, ...right]);
    }
    return total;
  });
}

const swapIf = (swap: boolean, rows: number, columns: number): number[] =>
  swap ? [columns, rows] : [rows, columns];

describe("matmul", () => {
  const sizes = fc.integer({ min: 1, max: 4 });
  const batches = fc.constantFrom<readonly [number[], number[]]>(
    [[], []],
    [[2], []],
    [[], [3]],
    [[2, 1], [3]],
    [
      [2, 3],
      [1, 3],
    ],
    [[2], [2]],
  );

  it("computes products, gradients and second derivatives with broadcast batches and transposed operands", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(sizes, sizes, sizes, batches, fc.boolean(), fc.boolean()),
        cases,
        async ([m, k, n, [batchA, batchB], transposeA, transposeB], { seed, dtype }) => {
          const random = generator(seed);
          const a = randomValues([...batchA, ...swapIf(transposeA, m, k)], random);
          const b = randomValues([...batchB, ...swapIf(transposeB, k, n)], random);
          await checkOperation(
            {
              name: `matmul ${transposeA} ${transposeB}`,
              apply: (x, y) => matmul(x, y, { transposeA, transposeB }),
              reference: (x, y) => product(x, y, transposeA, transposeB),
            },
            [a, b],
            { seed, dtype },
          );
        },
      ),
      few(6),
    );
  });

  it("gives the same without the runtime's own operators", async () => {
    const runtime = await nodeRuntime({ threads: 1, target: { contrib: false, block: 0 } });
    const random = generator(3);
    const [a, b] = [randomValues([2, 4, 3], random), randomValues([2, 5, 4], random)];
    const [x, y] = [input("x0", a.shape), input("x1", b.shape)];
    const feed = { x0: toArray(a, "float32"), x1: toArray(b, "float32") };
    const z = matmul(x, y, { transposeA: true, transposeB: true });
    const [plain] = await runAll({ z }, [feed], runtime);
    expectClose(plain?.z, product(a, b, true, true), 1e-5, "plain lowering");
    const [fused] = await runAll({ z }, [feed]);
    expectClose(fused?.z, product(a, b, true, true), 1e-5, "fused lowering");
  });

  it("takes a symbolic batch", async () => {
    const random = generator(4);
    const [a, b] = [randomValues([3, 4, 2], random), randomValues([2, 5], random)];
    const y = matmul(input("a", ["batch", 4, 2]), input("b", [2, 5]));
    expect(y.shape).toEqual(["batch", 4, 5]);
    const [result] = await runAll({ y }, [{ a: toArray(a, "float32"), b: toArray(b, "float32") }]);
    expectClose(result?.y, product(a, b), 1e-5, "symbolic batch");
  });

  it("names both shapes where they do not fit", () => {
    const bad = () => matmul(input("a", [2, 3]), input("b", [4, 5]));
    expect(bad).toThrow(ShapeError);
    expect(bad).toThrow(/matmul: \[2, 3\] and \[4, 5\].*3 and 4/);
    expect(() => matmul(input("a", [2, 2, 3]), input("b", [3, 3, 5]))).toThrow(/leading axes/);
    expect(() => matmul(input("a", [3]), input("b", [3, 5]))).toThrow(/two axes/);
  });
});

describe("linear", () => {
  it("is x · weightᵀ + bias over the last axis", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom([3, 2], [2, 2, 3], [4], [2, 1, 2, 2]),
        fc.boolean(),
        cases,
        async (shape, withBias, { seed, dtype }) => {
          const random = generator(seed);
          const inner = shape.at(-1) ?? 1;
          const weight = randomValues([4, inner], random);
          const bias = randomValues([4], random);
          await checkOperation(
            {
              name: "linear",
              apply: (x, w, b) => linear(x, w, b),
              reference: (x, w, b) =>
                build([...shape.slice(0, -1), 4], (position) => {
                  const lead = position.slice(0, -1);
                  const j = position.at(-1) ?? 0;
                  let total = b === undefined ? 0 : at(b, [j]);
                  for (let p = 0; p < inner; p++) total += at(x, [...lead, p]) * at(w, [j, p]);
                  return total;
                }),
            },
            [randomValues(shape, random), weight, ...(withBias ? [bias] : [])],
            { seed, dtype },
          );
        },
      ),
      few(6),
    );
  });

  it("names the shapes where they do not fit", () => {
    expect(() => linear(input("x", [2, 3]), input("w", [4, 5]))).toThrow(/linear: \[2, 3\] and \[4, 5\]/);
    expect(() => linear(input("x", [2, 3]), input("w", [4, 3]), input("b", [3]))).toThrow(
      /bias must be \[4\]/,
    );
  });
});

describe("einsum", () => {
  /** Sums over every assignment of the letters. */
  function reference(expression: string, operands: readonly Values[]): Values {
    const [left = "", output = ""] = expression.split("->");
    const terms = left.split(",");
    const letters = [...new Set(left.replaceAll(",", ""))];
    const size = new Map<string, number>();
    terms.forEach((term, i) => {
      [...term].forEach((letter, axis) => {
        size.set(letter, operands[i]?.shape[axis] ?? 1);
      });
    });
    const totals = new Map<string, number>();
    for (const values of positions(letters.map((letter) => size.get(letter) ?? 1))) {
      const value = (letter: string): number => values[letters.indexOf(letter)] ?? 0;
      const factor = operands.reduce(
        (all, operand, i) => all * at(operand, [...(terms[i] ?? "")].map(value)),
        1,
      );
      const key = [...output].map(value).join();
      totals.set(key, (totals.get(key) ?? 0) + factor);
    }
    return build(
      [...output].map((letter) => size.get(letter) ?? 1),
      (position) => totals.get(position.join()) ?? 0,
    );
  }

  const shapes: Readonly<Record<string, readonly (readonly number[])[]>> = {
    "ij,jk->ik": [
      [2, 3],
      [3, 4],
    ],
    "bij,bkj->bik": [
      [2, 3, 2],
      [2, 4, 2],
    ],
    "bhld,bhsd->bhls": [
      [2, 2, 3, 2],
      [2, 2, 4, 2],
    ],
    "ij->ji": [[2, 3]],
    "ij->": [[2, 3]],
    "ii->i": [[3, 3]],
    "iji,j->i": [[2, 3, 2], [3]],
    "i,j->ij": [[2], [3]],
    "i,i->": [[3], [3]],
    "ijk,k->j": [[2, 3, 2], [2]],
    "ab,bc,cd->ad": [
      [2, 3],
      [3, 2],
      [2, 4],
    ],
    "ba,ca,da->bcd": [
      [2, 2],
      [3, 2],
      [2, 2],
    ],
  };

  it("agrees with the sum over all letters, and so do its derivatives", async () => {
    let seed = 1;
    for (const [expression, list] of Object.entries(shapes)) {
      const random = generator(seed++);
      await checkOperation(
        {
          name: `einsum ${expression}`,
          apply: (...xs) => einsum(expression, ...xs),
          reference: (...xs) => reference(expression, xs),
        },
        list.map((shape) => randomValues(shape, random)),
        { seed },
      );
    }
  });

  it("infers the output where there is no arrow", async () => {
    const random = generator(2);
    const [a, b] = [randomValues([2, 3], random), randomValues([3, 4], random)];
    const y = await runOnce((p, q) => einsum("ij, jk", p as never, q), [a, b]);
    expectClose(y, product(a, b), 1e-5, "implicit output");
  });

  it("says what is wrong with an expression", () => {
    const [a, b] = [input("a", [2, 3]), input("b", [4, 5])];
    expect(() => einsum("ij,jk->ik", a, b)).toThrow(/einsum: \[2, 3\] and \[4, 5\].*"j" is 3 .* 4/);
    expect(() => einsum("ij->ik", a)).toThrow(/repeats or invents/);
    expect(() => einsum("ij,jk->ik", a)).toThrow(/names 2 operands/);
    expect(() => einsum("ijk->i", a)).toThrow(/operand 1/);
    expect(() => einsum("i1->i", a)).toThrow(/form/);
  });
});

it("differentiates a product twice by matrices", async () => {
  // f = Σ (A·x)²: the Hessian is 2·AᵀA.
  const random = generator(9);
  const a = randomValues([3, 2], random);
  const [m, x] = [input("m", [3, 2], "float64"), input("x", [2, 1], "float64")];
  const first = outputAt(grad(sum(square(matmul(m, x))), [x]), 0);
  const second = outputAt(grad(sum(first), [x]), 0);
  const [result] = await runAll({ second }, [
    { m: toArray(a, "float64"), x: toArray(randomValues([2, 1], random), "float64") },
  ]);
  const hessian = product(a, a, true);
  const rows = build([2, 1], ([i = 0]) => 2 * (at(hessian, [i, 0]) + at(hessian, [i, 1])));
  expectClose(result?.second, rows, 1e-9, "Hessian row sums");
});
