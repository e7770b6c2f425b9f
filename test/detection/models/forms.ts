import { describe, expect, it } from "vitest";
import { type Detector, pickedDetections } from "../../../src/detection/models/detector.ts";
import { exportedDetections } from "../../../src/detection/models/exported.ts";
import { ShapeError } from "../../../src/errors.ts";
import { initialState, parametersOf } from "../../../src/nn/module.ts";
import { exportOnnx, Program } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { traceTraining } from "../../../src/tensor/index.operations.ts";
import { float32, grad, input, int64, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { type Batch, detectorNamed, rectangles, symbolic } from "./support.ts";

/** The smallest networks, where nothing has to be learnt. */
export const TINY = { width: 0.25, depth: 0.5 };

export const SIDE = 64;

/** What a detector sees in an image of that side, with weights that depend on their names alone. */
async function seenAt(detector: Detector, side: number): Promise<readonly (readonly number[])[]> {
  const { x } = rectangles(1, side, 1, 1);
  const { boxes, scores } = detector.decoded(input("x", x.shape));
  const program = await Program.build(new Map(Object.entries({ boxes, scores })), await testRuntime());
  const values = await program.run({ ...Object.fromEntries(initialState(detector, 1)), x });
  await program.release();
  return [present(values.boxes), present(values.scores)].map(({ data }) => Array.from(data, Number));
}

/** Losses while training, and the gradient of each parameter where asked, of several batches of the same shape. */
async function lossesOf(
  detector: Detector,
  batches: readonly Batch[],
  { gradients }: { readonly gradients: boolean },
): Promise<readonly ReadonlyMap<string, readonly number[]>[]> {
  const [first] = batches;
  if (first === undefined) return [];
  const { result: losses } = traceTraining(() => detector.loss(symbolic(first)));
  const outputs = new Map<string, Tensor>(Object.entries(losses));
  const parameters = gradients ? parametersOf(detector) : [];
  for (const [i, gradient] of (gradients ? grad(losses.total, [...parameters]) : []).entries()) {
    outputs.set(`gradient ${parameters[i]?.name}`, gradient);
  }
  // Weights that are no constants of the program are quicker to load.
  const weights = Object.fromEntries(initialState(detector, 1));
  const program = await Program.build(outputs, await testRuntime());
  const results: ReadonlyMap<string, readonly number[]>[] = [];
  for (const batch of batches) {
    const values = await program.run({ ...weights, ...batch }, { random: new Random(4) });
    results.push(new Map(Object.entries(values).map(([name, { data }]) => [name, Array.from(data, Number)])));
  }
  await program.release();
  return results;
}

/** The same objects in another order, and other numbers where there is none. */
function rearranged({ x, boxes, labels }: Batch): Batch {
  const rows = [5, 2, 0, 4, 1, 3];
  const order = [...rows, ...rows.map((row) => row + 6)];
  const given = order.map((row) => Number(labels.data[row]));
  const edges = order.flatMap((row, i) =>
    given[i] === -1 ? [10, 20, 30, 40] : [...boxes.data.subarray(4 * row, 4 * row + 4)],
  );
  return { x, boxes: float32(edges, boxes.shape), labels: int64(given, labels.shape) };
}

/** What every detector keeps to, in each of the forms. @param usual options of all of them */
export function describeForms(
  forms: readonly (readonly [name: string, options: Readonly<Record<string, unknown>>])[],
  usual: Readonly<Record<string, unknown>> = TINY,
): void {
  describe.each(forms)("%s %j", (name, options) => {
    const detector = detectorNamed(name, { ...usual, ...options }, [3, SIDE, SIDE]);
    const batch = rectangles(2, SIDE, 6, 3);
    const { x, boxes, labels } = batch;
    const none = int64(new Array<number>(labels.data.length).fill(-1), labels.shape);
    let known: ReturnType<typeof lossesOf> | undefined;
    /** Losses of the objects, of the same ones in another order, and of none, from one program. */
    const usualLosses = () => {
      known ??= lossesOf(detector, [batch, rearranged(batch), { x, boxes, labels: none }], {
        gradients: true,
      });
      return known;
    };

    it("has losses that add up, of objects in any order or none, with gradients to all parameters", async () => {
      const results = await usualLosses();
      for (const values of results) {
        const parts = [...values].filter(([part]) => part !== "total" && !part.startsWith("gradient "));
        const sum = parts.reduce((total, [, [value = Number.NaN]]) => total + value, 0);
        expect(parts.length).toBeGreaterThan(1);
        expect(values.get("total")).toEqual([expect.closeTo(sum, 3)]);
        for (const [part, numbers] of values) expect(numbers.every(Number.isFinite), part).toBe(true);
      }
      const [usual, again, empty] = results;
      expect(again?.get("total")?.[0]).toBeCloseTo(usual?.get("total")?.[0] ?? Number.NaN, 4);
      expect(empty?.get("total")?.[0]).toBeGreaterThan(0);
      expect(empty?.get("total")?.[0]).not.toBeCloseTo(usual?.get("total")?.[0] ?? Number.NaN, 2);
      for (const { name: parameter } of parametersOf(detector)) {
        // No object here is as large as the coarser levels of FCOS want.
        if (/^head\.scales\.[1-9]/.test(parameter)) continue;
        const gradient = usual?.get(`gradient ${parameter}`) ?? [];
        expect(
          gradient.some((value) => value !== 0),
          parameter,
        ).toBe(true);
      }
    });

    it("looks at images of another size as the same detector made for that size does", async () => {
      const other = SIDE + 32;
      if (name === "yolo-v1" && "head" in options && options.head === "connected") {
        // Its layer has a weight for each cell.
        await expect(seenAt(detector, other)).rejects.toThrow(ShapeError);
        return;
      }
      const made = detectorNamed(name, { ...usual, ...options }, [3, other, other]);
      expect(await seenAt(detector, other)).toEqual(await seenAt(made, other));
    });

    it("takes nothing in an ignored region for background, and learns of the objects in it all the same", async () => {
      const regions = (...edges: readonly number[]): Batch => ({
        ...batch,
        ignored: float32([...edges, 0, 0, 0, 0, ...edges, 0, 0, 0, 0], [2, 2, 4]),
      });
      const whole = regions(-1, -1, SIDE + 1, SIDE + 1);
      const results = await lossesOf(
        detector,
        [regions(0, 0, 0, 0), regions(0, 0, SIDE / 2, SIDE), whole, { ...whole, labels: none }],
        { gradients: false },
      );
      const [unmarked, half, all, empty] = results.map((values) => present(values.get("total")?.[0]));
      const [usual] = await usualLosses();
      expect(unmarked).toBeCloseTo(present(usual?.get("total")?.[0]), 4);
      expect(half).toBeLessThan(unmarked ?? 0);
      expect(all).toBeLessThan(half ?? 0);
      expect(all).toBeGreaterThan(0);
      expect(empty).toBe(0);
    });

    it("sees the same in each image as in both, and exports what it sees", async () => {
      const weights = initialState(detector, 2);
      const runtime = await testRuntime();
      const { boxes, scores } = detector.decoded(input("x", [2, 3, SIDE, SIDE]));
      const together = await Program.build({ boxes, scores }, runtime, weights);
      const seen = await together.run({ x: batch.x });
      await together.release();
      const [n, k = 0, four] = seen.boxes?.shape ?? [];
      expect([n, four]).toEqual([2, 4]);
      expect(seen.scores?.shape).toEqual([2, k, 2]);
      const values = Array.from(seen.scores?.data ?? [], Number);
      expect(values.every((score) => score >= 0 && score <= 1)).toBe(true);

      const { outputs, description } = detector.exported();
      expect(description).toContain(`[batch, ${k}, 4]`);
      const session = await runtime.load(exportOnnx(outputs, weights));
      for (const image of [0, 1]) {
        const size = 3 * SIDE * SIDE;
        const x = float32(batch.x.data.slice(image * size, (image + 1) * size), [1, 3, SIDE, SIDE]);
        const results = await session.run({ x });
        for (const output of ["boxes", "scores"] as const) {
          const alone = Array.from((await results[output]?.read())?.data ?? [], Number);
          const expected = Array.from(seen[output]?.data ?? [], Number);
          expect(alone.length * 2).toBe(expected.length);
          for (const [i, value] of alone.entries()) {
            expect(value).toBeCloseTo(expected[image * alone.length + i] ?? Number.NaN, 3);
          }
        }
      }
      await session.release();
    });

    it("exports what is found as it finds it, duplicates taken away inside", async () => {
      // With the weights of seed 2 two detections of the smallest YOLO have the very same score, and either order is right.
      const weights = initialState(detector, 3);
      const runtime = await testRuntime();
      const valuesOf = async (outputs: Readonly<Record<string, Tensor>>) => {
        const session = await runtime.load(exportOnnx(outputs, weights));
        const results = await session.run({ x: batch.x });
        const read = await Promise.all(
          Object.entries(results).map(async ([name, value]) => [name, await value.read()] as const),
        );
        await session.release();
        return Object.fromEntries(read);
      };
      const seen = await valuesOf(detector.exported().outputs);
      const scores = Array.from(seen.scores?.data ?? [], Number).sort((a, b) => b - a);
      // As many as are needed for some to overlap, and few enough for some rows to stay empty.
      const confidence = Math.max(1e-6, ((scores[59] ?? 0) + (scores[60] ?? 0)) / 2);
      const options = { confidence, iou: 0.5, maximum: 30 };
      const picked = pickedDetections(
        detector,
        { boxes: seen.boxes as NdArray<"float32">, scores: seen.scores as NdArray<"float32"> },
        options,
      );
      const { outputs, description } = exportedDetections(detector, options);
      expect(description).toContain("[batch, 30, 4]");
      const found = await valuesOf(outputs);
      expect(found.boxes?.shape).toEqual([2, 30, 4]);
      for (const [image, expected] of picked.entries()) {
        const row = (name: string, width: number) =>
          Array.from(found[name]?.data ?? [], Number).slice(30 * width * image, 30 * width * (image + 1));
        const count = expected.scores.length;
        expect(row("classes", 1)).toEqual([...Array.from(expected.classes), ...Array(30 - count).fill(-1)]);
        expect(row("scores", 1)).toEqual([...expected.scores, ...Array(30 - count).fill(0)]);
        for (const [i, value] of Array.from(expected.boxes).entries()) {
          expect(row("boxes", 4)[i]).toBeCloseTo(value, 3);
        }
      }
      expect(picked.reduce((sum, { scores }) => sum + scores.length, 0)).toBeGreaterThan(2);
    });
  });
}
