import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GradientError, ShapeError } from "../../../src/errors.ts";
import { add, broadcastTo, cast, multiply, reshape, sum } from "../../../src/tensor/core.ts";
import { grad, jacobian, jvp } from "../../../src/tensor/grad.ts";
import { constant, input, Parameter } from "../../../src/tensor/leaves.ts";
import * as ops from "../../../src/tensor/operations/elementwise.ts";
import {
  broadcastableShapes,
  build,
  cases,
  checkOperation,
  expectClose,
  few,
  generator,
  mapValues,
  randomValues,
  reduceValues,
  runAll,
  runOnce,
  type Sampling,
  type Subject,
  shapes,
  toArray,
  type Values,
} from "../support.ts";

// erf by numerical integration (Simpson's rule), independent of any series or polynomial.
function erf(x: number): number {
  const n = 400;
  const h = x / n;
  let total = 1 + Math.exp(-x * x);
  for (let i = 1; i < n; i++) total += (i % 2 === 1 ? 4 : 2) * Math.exp(-((i * h) ** 2));
  return (2 / Math.sqrt(Math.PI)) * total * (h / 3);
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

type Case<F> = Omit<Subject, "apply" | "reference"> & {
  readonly apply: Subject["apply"];
  readonly f: F;
  readonly sampling?: Sampling;
};

const unary: readonly Case<(x: number) => number>[] = [
  { name: "neg", apply: ops.neg, f: (x) => -x },
  { name: "exp", apply: ops.exp, f: Math.exp },
  { name: "log", apply: ops.log, f: Math.log, sampling: { low: 0.1, high: 4 } },
  { name: "log1p", apply: ops.log1p, f: Math.log1p, sampling: { low: -0.8, high: 4 } },
  { name: "expm1", apply: ops.expm1, f: Math.expm1 },
  { name: "sqrt", apply: ops.sqrt, f: Math.sqrt, sampling: { low: 0.2, high: 4 } },
  { name: "square", apply: ops.square, f: (x) => x ** 2 },
  { name: "reciprocal", apply: ops.reciprocal, f: (x) => 1 / x, sampling: { low: 0.4, high: 3 } },
  { name: "abs", apply: ops.abs, f: Math.abs, sampling: { kinks: [0] } },
  { name: "sin", apply: ops.sin, f: Math.sin },
  { name: "cos", apply: ops.cos, f: Math.cos },
  { name: "atan", apply: ops.atan, f: Math.atan, float32Only: true },
  { name: "tanh", apply: ops.tanh, f: Math.tanh },
  { name: "sigmoid", apply: ops.sigmoid, f: sigmoid },
  { name: "softplus", apply: ops.softplus, f: (x) => Math.log(1 + Math.exp(x)), float32Only: true },
  {
    name: "logSigmoid",
    apply: ops.logSigmoid,
    f: (x) => -Math.log(1 + Math.exp(-x)),
    sampling: { kinks: [0] },
  },
  { name: "silu", apply: ops.silu, f: (x) => x * sigmoid(x) },
  { name: "gelu", apply: ops.gelu, f: (x) => (x * (1 + erf(x / Math.SQRT2))) / 2, float32Only: true },
  { name: "erf", apply: ops.erf, f: erf, float32Only: true },
  { name: "relu", apply: ops.relu, f: (x) => Math.max(x, 0), sampling: { kinks: [0] } },
  {
    name: "relu6",
    apply: ops.relu6,
    f: (x) => Math.min(Math.max(x, 0), 6),
    sampling: { low: -4, high: 10, kinks: [0, 6] },
  },
  {
    name: "leakyRelu",
    apply: (x) => ops.leakyRelu(x, 0.2),
    f: (x) => (x > 0 ? x : 0.2 * x),
    sampling: { kinks: [0] },
  },
  {
    name: "leakyRelu with a slope below 0",
    apply: (x) => ops.leakyRelu(x, -0.5),
    f: (x) => (x > 0 ? x : -0.5 * x),
    sampling: { kinks: [0] },
  },
  {
    name: "leakyRelu with a slope above 1",
    apply: (x) => ops.leakyRelu(x, 1.5),
    f: (x) => (x > 0 ? x : 1.5 * x),
    sampling: { kinks: [0] },
  },
  {
    name: "clamp",
    apply: (x) => ops.clamp(x, -0.7, 1.1),
    f: (x) => Math.min(Math.max(x, -0.7), 1.1),
    sampling: { kinks: [-0.7, 1.1] },
  },
  { name: "sign", apply: ops.sign, f: Math.sign, sampling: { kinks: [0] } },
  { name: "floor", apply: ops.floor, f: Math.floor, sampling: { kinks: [-2, -1, 0, 1, 2] } },
  { name: "ceil", apply: ops.ceil, f: Math.ceil, sampling: { kinks: [-2, -1, 0, 1, 2] } },
  { name: "round", apply: ops.round, f: Math.round, sampling: { kinks: [-1.5, -0.5, 0.5, 1.5] } },
  { name: "pow by 3", apply: (x) => ops.pow(x, 3), f: (x) => x ** 3 },
  { name: "pow by 2", apply: (x) => ops.pow(x, 2), f: (x) => x ** 2 },
  { name: "5 − x", apply: (x) => ops.sub(5, x), f: (x) => 5 - x },
  { name: "2 / x", apply: (x) => ops.div(2, x), f: (x) => 2 / x, sampling: { low: 0.4, high: 3 } },
  { name: "cast to itself", apply: (x) => cast(x, x.dtype), f: (x) => x },
  { name: "stopGradient", apply: ops.stopGradient, f: (x) => x, valueOnly: true },
  { name: "isNan", apply: ops.isNan, f: () => 0, valueOnly: true },
  {
    name: "logicalNot",
    apply: (x) => ops.logicalNot(ops.less(x, 0)),
    f: (x) => Number(!(x < 0)),
    valueOnly: true,
  },
];

const truth =
  (f: (a: number, b: number) => boolean) =>
  (a: number, b: number): number =>
    Number(f(a, b));

const binary: readonly Case<(a: number, b: number) => number>[] = [
  { name: "add", apply: add, f: (a, b) => a + b },
  { name: "mul", apply: multiply, f: (a, b) => a * b },
  { name: "sub", apply: ops.sub, f: (a, b) => a - b },
  { name: "div", apply: ops.div, f: (a, b) => a / b, sampling: { low: 0.4, high: 3 } },
  { name: "pow", apply: ops.pow, f: (a, b) => a ** b, sampling: { low: 0.3, high: 2 } },
  { name: "maximum", apply: ops.maximum, f: Math.max },
  { name: "minimum", apply: ops.minimum, f: Math.min },
  { name: "less", apply: ops.less, f: truth((a, b) => a < b), valueOnly: true },
  { name: "lessEqual", apply: ops.lessEqual, f: truth((a, b) => a <= b), valueOnly: true },
  { name: "greater", apply: ops.greater, f: truth((a, b) => a > b), valueOnly: true },
  { name: "greaterEqual", apply: ops.greaterEqual, f: truth((a, b) => a >= b), valueOnly: true },
  {
    name: "equal",
    apply: (a, b) => ops.equal(ops.round(a), ops.round(b)),
    f: truth((a, b) => Math.round(a) === Math.round(b)),
    valueOnly: true,
  },
  {
    name: "logicalAnd",
    apply: (a, b) => ops.logicalAnd(ops.less(a, 0), ops.less(b, 0)),
    f: truth((a, b) => a < 0 && b < 0),
    valueOnly: true,
  },
  {
    name: "logicalOr",
    apply: (a, b) => ops.logicalOr(ops.less(a, 0), ops.less(b, 0)),
    f: truth((a, b) => a < 0 || b < 0),
    valueOnly: true,
  },
];

describe("functions of one number", () => {
  for (const { f, sampling, ...subject } of unary) {
    it(subject.name, async () => {
      await fc.assert(
        fc.asyncProperty(shapes(), cases, async (shape, { seed, dtype }) => {
          const x = randomValues(shape, generator(seed), sampling);
          await checkOperation({ ...subject, reference: (v) => mapValues(f, v) }, [x], { dtype, seed });
        }),
        few(7),
      );
    });
  }
});

describe("functions of two numbers, with broadcasting", () => {
  for (const { f, sampling, ...subject } of binary) {
    it(subject.name, async () => {
      await fc.assert(
        fc.asyncProperty(broadcastableShapes(2), cases, async ([left = [], right = []], { seed, dtype }) => {
          const random = generator(seed);
          const a = randomValues(left, random, sampling);
          // An element may meet any of the other operand: keep all of them apart, for maxima that are no ties.
          const b = mapValues((value) => value + 0.0137, randomValues(right, random, sampling));
          const apart = a.data.every((p) => b.data.every((q) => Math.abs(p - q) > 1e-3));
          fc.pre(apart || subject.valueOnly === true || !subject.name.endsWith("imum"));
          await checkOperation({ ...subject, reference: (v, w) => mapValues(f, v, w) }, [a, b], {
            dtype,
            seed,
          });
        }),
        few(6),
      );
    });
  }
});

describe("where", () => {
  it("chooses, and sends the gradient to what was chosen", async () => {
    await fc.assert(
      fc.asyncProperty(broadcastableShapes(3), cases, async (three, { seed, dtype }) => {
        const random = generator(seed);
        const inputs = three.map((shape) => randomValues(shape, random, { kinks: [0] }));
        const subject: Subject = {
          name: "where",
          apply: (c, a, b) => ops.where(ops.greater(c, 0), a, b),
          reference: (...v) => mapValues((c, a, b) => (c > 0 ? a : b), ...v),
        };
        await checkOperation(subject, inputs, { dtype, seed });
      }),
      few(6),
    );
  });

  it("hides a NaN of the other branch from the gradient when the argument is guarded", async () => {
    const x = input("x", [2], "float64");
    const positive = ops.greater(x, 0);
    const y = ops.where(positive, ops.log(ops.where(positive, x, 1)), 0);
    const [gradient] = grad(sum(y), [x]);
    if (gradient === undefined) throw new Error("no gradient");
    const [result] = await runAll({ gradient }, [{ x: toArray({ shape: [2], data: [-1, 4] }, "float64") }]);
    expect(result?.gradient?.data).toEqual([0, 0.25]);
  });
});

describe("reshape, broadcastTo, sum and cast", () => {
  it("reshape keeps the order", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1), cases, async (shape, { seed, dtype }) => {
        const subject: Subject = {
          name: "reshape",
          apply: (x) => reshape(x, shape.includes(0) ? [...shape, 1] : [1, -1]),
          reference: (x) => ({
            shape: shape.includes(0) ? [...shape, 1] : [1, x.data.length],
            data: x.data,
          }),
        };
        await checkOperation(subject, [randomValues(shape, generator(seed))], { dtype, seed });
      }),
      few(),
    );
  });

  it("broadcastTo repeats", async () => {
    await fc.assert(
      fc.asyncProperty(broadcastableShapes(1), shapes(1, 1), cases, async ([shape = []], [n = 2], rest) => {
        const target = [n, ...shape.map((size) => (size === 1 ? 3 : size))];
        const ones = build(target, () => 1);
        const subject: Subject = {
          name: `broadcastTo [${target}]`,
          apply: (x) => broadcastTo(x, target),
          reference: (x) =>
            mapValues((a) => a, x, ones).shape.length === target.length
              ? mapValues((a, b) => a * b, x, ones)
              : x,
        };
        await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
      }),
      few(),
    );
  });

  it("sum over any axes", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes(1),
        fc.array(fc.boolean()),
        fc.boolean(),
        cases,
        async (shape, chosen, keep, rest) => {
          const axes = shape.flatMap((_, axis) => (chosen[axis] ? [axis] : []));
          const subject: Subject = {
            name: `sum over [${axes}]`,
            apply: (x) =>
              sum(
                x,
                axes.map((axis) => axis - shape.length),
                keep,
              ),
            reference: (x) => reduceValues(x, axes, keep, (items) => items.reduce((a, b) => a + b, 0)),
          };
          await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
        },
      ),
      few(7),
    );
  });

  it("casts between dtypes", async () => {
    const x: Values = { shape: [5], data: [-1.7, -0.2, 0, 0.9, 3.5] };
    expect((await runOnce((v) => cast(v, "int64"), [x])).data.map((v) => v + 0)).toEqual([-1, 0, 0, 0, 3]);
    expect((await runOnce((v) => cast(v, "bool"), [x])).data).toEqual([1, 1, 0, 1, 1]);
    expect((await runOnce((v) => cast(cast(v, "float64"), "float32"), [x])).data).toEqual(
      x.data.map(Math.fround),
    );
    expect((await runOnce((v) => cast(v, "float32"), [{ shape: [2], data: [0, 1] }], "bool")).data).toEqual([
      0, 1,
    ]);
  });
});

describe("extreme arguments", () => {
  const check = async (apply: Subject["apply"], xs: readonly number[], expected: readonly number[]) => {
    const result = await runOnce(apply, [{ shape: [xs.length], data: xs }]);
    expectClose(result, { shape: [xs.length], data: expected }, 1e-6, "values");
    return result.data;
  };
  /** Agreement in relative terms, also where the values are tiny. */
  const checkRelative = async (...args: Parameters<typeof check>) => {
    const data = await check(...args);
    args[2].forEach((value, i) => {
      if (value !== 0 && Number.isFinite(value)) expect((data[i] ?? 0) / value).toBeCloseTo(1, 4);
    });
  };

  it("log1p and expm1 are exact near 0 and saturate", async () => {
    const xs = [1e-20, -3e-8, 1e-4, 2, Number.POSITIVE_INFINITY, 0];
    await checkRelative(ops.log1p, xs, xs.map(Math.log1p));
    await check(ops.log1p, [-1], [Number.NEGATIVE_INFINITY]);
    const ys = [1e-20, -3e-8, 1e-4, 2, 200, Number.NEGATIVE_INFINITY, -30, 0];
    await checkRelative(ops.expm1, ys, [
      1e-20,
      -3e-8,
      Math.expm1(1e-4),
      Math.expm1(2),
      Number.POSITIVE_INFINITY,
      -1,
      -1,
      0,
    ]);
  });

  it("softplus, sigmoid, silu and tanh do not overflow", async () => {
    const xs = [-200, -60, 0, 60, 200];
    await checkRelative(ops.softplus, xs, [0, Math.exp(-60), Math.log(2), 60, 200]);
    // ONNX Runtime's logistic kernel is exact in absolute terms only: 0 from about −18 down.
    await check(ops.sigmoid, xs, [0, Math.exp(-60), 0.5, 1, 1]);
    await check(ops.logSigmoid, xs, [-200, -60, -Math.log(2), 0, 0]);
    await check(ops.silu, xs, [0, -60 * Math.exp(-60), 0, 60, 200]);
    await check(ops.tanh, xs, [-1, -1, 0, 1, 1]);
  });

  it("gradients of softplus and log-sigmoid stay finite far out", async () => {
    const x = input("x", [4]);
    const outputs = Object.fromEntries(
      [ops.softplus(x), ops.logSigmoid(x), ops.silu(x), ops.gelu(x)].map((y, i) => [
        `g${i}`,
        grad(sum(y), [x])[0] ?? x,
      ]),
    );
    const feed = { x: toArray({ shape: [4], data: [-300, -90, 90, 300] }, "float32") };
    const [result] = await runAll(outputs, [feed]);
    const close = (name: string, data: number[]): void =>
      expectClose(result?.[name], { shape: [4], data }, 1e-5, name);
    close("g0", [0, 0, 1, 1]);
    close("g1", [1, 1, 0, 0]);
    close("g2", [0, 0, 1, 1]);
    close("g3", [0, 0, 1, 1]);
  });

  it("pow has a gradient at 0 and of negative bases with integer exponents", async () => {
    const x = input("x", [3], "float64");
    const y = ops.pow(x, 3);
    const [gradient] = grad(sum(y), [x]);
    if (gradient === undefined) throw new Error("no gradient");
    const feed = { x: toArray({ shape: [3], data: [-2, 0, 1.5] }, "float64") };
    const [result] = await runAll({ y, gradient }, [feed]);
    expectClose(result?.y, { shape: [3], data: [-8, 0, 3.375] }, 1e-12, "x³");
    expectClose(result?.gradient, { shape: [3], data: [12, 0, 6.75] }, 1e-12, "3x²");
  });

  it("relu, abs and clamp have the documented derivative at their kinks", async () => {
    const x = input("x", [1]);
    const outputs = Object.fromEntries(
      [ops.relu(x), ops.abs(x), ops.maximum(x, 0), ops.clamp(x, 0, 1)].map((y, i) => [
        `g${i}`,
        grad(sum(y), [x])[0] ?? x,
      ]),
    );
    const [result] = await runAll(outputs, [{ x: toArray({ shape: [1], data: [0] }, "float32") }]);
    expect([0, 1, 2, 3].map((i) => result?.[`g${i}`]?.data[0])).toEqual([0, 0, 1, 1]);
  });

  it("isNaN finds NaN, comparisons with NaN are false", async () => {
    const x: Values = { shape: [3], data: [Number.NaN, 1, Number.POSITIVE_INFINITY] };
    expect((await runOnce(ops.isNan, [x])).data).toEqual([1, 0, 0]);
    expect((await runOnce((v) => ops.greaterEqual(v, v), [x])).data).toEqual([0, 1, 1]);
  });

  it("round takes halves to even, as the runtime does and as folding does", async () => {
    const x: Values = { shape: [6], data: [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5] };
    const subject: Subject = {
      name: "round",
      apply: ops.round,
      reference: () => ({ shape: [6], data: [-2, -2, 0, 0, 2, 2] }),
      valueOnly: true,
    };
    await checkOperation(subject, [x], { dtype: "float32" });
    await checkOperation(subject, [x], { dtype: "float64" });
  });
});

describe("derivatives beyond the first gradient", () => {
  it("the third derivative of x⁴ is 24x", async () => {
    const x = input("x", [3], "float64");
    let y = ops.square(ops.square(x));
    for (let order = 0; order < 3; order++) y = grad(sum(y), [x])[0] ?? y;
    const [result] = await runAll({ y }, [{ x: toArray({ shape: [3], data: [-1, 0.5, 2] }, "float64") }]);
    expectClose(result?.y, { shape: [3], data: [-24, 12, 48] }, 1e-12, "24x");
  });

  it("jacobian of an element-wise product has the partial derivatives in its rows", async () => {
    const [a, b] = [input("a", [2], "float64"), input("b", [2], "float64")];
    const rows = jacobian(multiply(a, ops.sin(b)), b);
    const feed = {
      a: toArray({ shape: [2], data: [3, -2] }, "float64"),
      b: toArray({ shape: [2], data: [0.4, 1.3] }, "float64"),
    };
    const [result] = await runAll(Object.fromEntries(rows.map((row, i) => [`row${i}`, row])), [feed]);
    expectClose(result?.row0, { shape: [2], data: [3 * Math.cos(0.4), 0] }, 1e-12, "row 0");
    expectClose(result?.row1, { shape: [2], data: [0, -2 * Math.cos(1.3)] }, 1e-12, "row 1");
  });

  it("jvp pushes tangents through several outputs at once", async () => {
    const [a, b] = [input("a", [], "float64"), input("b", [], "float64")];
    const one = (value: number) => constant(value, "float64");
    // d(ab, sin a / b) along (1, 2) is (b + 2a, cos a / b − 2 sin a / b²).
    const [first, second] = jvp([multiply(a, b), ops.div(ops.sin(a), b)], [a, b], [one(1), one(2)]);
    if (first === undefined || second === undefined) throw new Error("no tangent");
    const feed = {
      a: toArray({ shape: [], data: [0.7] }, "float64"),
      b: toArray({ shape: [], data: [3] }, "float64"),
    };
    const [result] = await runAll({ first, second }, [feed]);
    expectClose(result?.first, { shape: [], data: [3 + 1.4] }, 1e-12, "product");
    const expected = Math.cos(0.7) / 3 - (2 * Math.sin(0.7)) / 9;
    expectClose(result?.second, { shape: [], data: [expected] }, 1e-12, "quotient");
  });

  it("stopGradient stops it, and an unused input has zeros", async () => {
    const [x, z] = [input("x", [2]), input("z", [3])];
    const [gx, gz] = grad(sum(multiply(ops.stopGradient(x), x)), [x, z]);
    if (gx === undefined || gz === undefined) throw new Error("no gradient");
    const [result] = await runAll({ gx, gz }, [{ x: toArray({ shape: [2], data: [5, 7] }, "float32") }]);
    expect(result?.gx?.data).toEqual([5, 7]);
    expect(result?.gz).toEqual({ shape: [3], data: [0, 0, 0] });
  });
});

describe("errors", () => {
  const a = input("a", [2, 3]);
  const b = input("b", [4, 3]);

  it("name the operation and both shapes", () => {
    for (const [name, call] of [
      ["add", add],
      ["mul", multiply],
      ["sub", ops.sub],
      ["div", ops.div],
      ["pow", ops.pow],
      ["maximum", ops.maximum],
      ["less", ops.less],
    ] as const) {
      expect(() => call(a, b)).toThrow(ShapeError);
      expect(() => call(a, b)).toThrow(new RegExp(`^${name}: \\[2, 3\\] and \\[4, 3\\]`));
    }
    expect(() => ops.where(ops.less(a, 0), a, b)).toThrow(/where: \[2, 3\] and \[4, 3\]/);
    expect(() => reshape(a, [4, 2])).toThrow(/reshape: \[2, 3\]: cannot become \[4, 2\]/);
    expect(() => reshape(a, [4, -1])).toThrow(/reshape: \[2, 3\]/);
    expect(() => broadcastTo(a, [2, 4])).toThrow(/broadcastTo: \[2, 3\]: does not broadcast to \[2, 4\]/);
    expect(() => sum(a, 2)).toThrow(/sum: \[2, 3\]: there is no axis 2/);
    expect(() => sum(a, [1, -1])).toThrow(/sum: .*twice/);
  });

  it("name the nearest parameter", () => {
    const weight = new Parameter([4, 3], () => {});
    weight.name = "blocks.0.conv.weight";
    expect(() => add(a, ops.exp(weight))).toThrow(
      /^add: \[2, 3\] and \[4, 3\]: .* \(near parameter blocks\.0\.conv\.weight\)/,
    );
  });

  it("dtypes that do not fit", () => {
    expect(() => add(a, cast(a, "float64"))).toThrow(/add: \[2, 3\] and float64 \[2, 3\]: dtypes differ/);
    expect(() => ops.exp(ops.less(a, 0))).toThrow(ShapeError);
    expect(() => ops.where(a, a, a)).toThrow(/condition must be boolean/);
    expect(() => ops.logicalNot(a)).toThrow(/logicalNot/);
  });

  it("gradients that do not exist", () => {
    expect(() => grad(a, [a])).toThrow(GradientError);
    expect(() => grad(sum(a), [cast(a, "int64")])).toThrow(GradientError);
  });
});
