import { describe, expect, test } from "vitest";
import type { Repetitions } from "../../bench/contender.ts";
import { type Measurable, measure } from "../../bench/measure.ts";
import { timeTable } from "../../bench/report.ts";
import type { Work } from "../../bench/works.ts";

const work: Work = { name: "toy-step", title: "a toy", batch: 8, repetitions: 3, rounds: 5 };
const atOnce = async (): Promise<boolean> => true;

/** A contender whose repetitions take 10 ms, of two threads, times a factor. */
function contender(
  name: string,
  factor: number,
  { works = ["toy-step"], parameters = 100, turns = [] as string[] } = {},
): Measurable {
  return {
    name,
    works: new Set(works),
    prepare: async () => ({ seconds: 1, parameters }),
    run: async (_work, repetitions): Promise<Repetitions> => {
      turns.push(`${name} × ${repetitions}`);
      const each = (value: number): readonly number[] => new Array<number>(repetitions).fill(value);
      return {
        milliseconds: each(10 * factor),
        processor: each(18 * factor),
        memory: { now: 1, peak: 1 },
      };
    },
    release: async () => undefined,
  };
}

describe("measuring a work", () => {
  test("goes round and round all that can do it", async () => {
    const turns: string[] = [];
    const all = [
      contender("ours", 1, { turns }),
      contender("idle", 1, { turns, works: ["another"] }),
      contender("theirs", 2, { turns }),
    ];
    const result = await measure(work, all, { rounds: 2 }, atOnce);
    expect(turns.slice(-4)).toEqual(["ours × 3", "theirs × 3", "ours × 3", "theirs × 3"]);
    expect(turns.some((turn) => turn.startsWith("idle"))).toBe(false);
    expect([result.rounds, result.repetitions]).toEqual([2, 3]);
  });

  test("ends after a round when its time is up", async () => {
    const result = await measure(work, [contender("ours", 1)], { rounds: 5, seconds: 0 }, atOnce);
    expect(result.rounds).toBe(1);
    expect((await measure(work, [contender("ours", 1)], { rounds: 5 }, atOnce)).rounds).toBe(5);
  });

  test("counts the turns for which the machine did not come to rest", async () => {
    let asked = 0;
    const every = async (): Promise<boolean> => ++asked % 2 === 0;
    const both = [contender("ours", 1), contender("theirs", 2)];
    expect((await measure(work, both, { rounds: 4 }, every)).disturbed).toBe(0.5);
  });

  test("compares no networks of other sizes", async () => {
    const both = [contender("ours", 1), contender("theirs", 2, { parameters: 150 })];
    const { results } = await measure(work, both, { rounds: 1 }, atOnce);
    expect(results.get("theirs")).toEqual({
      kind: "failed",
      reason: "its network has 150 parameters, not 100",
    });
  });

  test("is reported with the time that passed and the time of all threads", async () => {
    const result = await measure(work, [contender("ours", 1), contender("theirs", 2)], { rounds: 3 }, atOnce);
    const [head = "", , own = "", other = ""] = timeTable([result], ["ours", "theirs"], ["ours"]).split("\n");
    const cells = (line: string): string[] => line.split("|").map((cell) => cell.trim());
    const at = (name: string): number => cells(head).indexOf(name);
    expect([at("median ms"), at("processor ms")].every((column) => column > 0)).toBe(true);
    expect([cells(own)[at("median ms")], cells(own)[at("processor ms")]]).toEqual(["10.0", "18.0"]);
    expect(cells(other)[at("speed of ours")]).toBe("2.00×");
    expect(cells(other)[at("ours, by processor")]).toBe("2.00×");
    expect(cells(other)[at("rounds")]).toBe("3 × 3");
  });
});
