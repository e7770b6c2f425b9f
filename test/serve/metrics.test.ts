import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Counter, Gauge, Histogram, ServerMetrics } from "../../src/serve/metrics.node.ts";
import { present } from "../support.ts";

// The text of the metrics is read by a reader of the format of Prometheus, written from its description alone:
// https://prometheus.io/docs/instrumenting/exposition_formats/

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,?)/;

const unescaped = (text: string): string =>
  text.replaceAll(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));

function sampleOf(line: string): Sample {
  const [name = ""] = NAME.exec(line) ?? [];
  expect(name, line).not.toBe("");
  let rest = line.slice(name.length);
  const labels: [string, string][] = [];
  if (rest.startsWith("{")) {
    rest = rest.slice(1);
    while (!rest.startsWith("}")) {
      const [whole = "", label = "", value = "", comma] = present(LABEL.exec(rest) ?? undefined, line);
      labels.push([label, unescaped(value)]);
      rest = rest.slice(whole.length);
      expect(comma === "," || rest.startsWith("}"), line).toBe(true);
    }
    rest = rest.slice(1);
  }
  const [, number = ""] = present(/^ (\S+)$/.exec(rest) ?? undefined, line);
  expect(number).toMatch(/^(NaN|[+-]Inf|-?\d+(\.\d+)?(e[+-]?\d+)?)$/);
  return { name, labels: Object.fromEntries(labels), value: Number(number.replace("Inf", "Infinity")) };
}

function read(text: string): readonly Family[] {
  expect(text.endsWith("\n")).toBe(true);
  const families: Family[] = [];
  let help: { readonly name: string; readonly text: string } | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === "HELP") help = { name, text: rest };
    else if (kind === "TYPE") {
      expect(help?.name).toBe(name);
      expect(["counter", "gauge", "histogram"]).toContain(rest);
      expect(families.some((family) => family.name === name)).toBe(false);
      families.push({ name, type: rest, help: help?.text ?? "", samples: [] });
    } else {
      const sample = sampleOf(line);
      const { name: owner, type, samples } = present(families.at(-1));
      const endings = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
      expect(endings.map((ending) => owner + ending)).toContain(sample.name);
      samples.push(sample);
    }
  }
  return families;
}

const lines = (metric: Counter | Gauge | Histogram): string => `${metric.lines().join("\n")}\n`;

describe("metrics", () => {
  it("are read back as they were counted, whatever is in their labels", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: "binary" }), fc.nat())), (counts) => {
        const counter = new Counter("requests_total", 'a \\ and\na "line"');
        const expected = new Map<string, number>();
        for (const [label, amount] of counts) {
          counter.add({ label }, amount);
          expected.set(label, (expected.get(label) ?? 0) + amount);
        }
        const [family] = read(lines(counter));
        expect(family?.help).toBe('a \\\\ and\\na "line"');
        const found = new Map(family?.samples.map(({ labels: { label = "" }, value }) => [label, value]));
        expect(found).toEqual(expected);
      }),
    );
  });

  it("of values that are no numbers are written as the format has them", () => {
    const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-7, 1e21];
    const gauge = new Gauge("gauge", "help", () => values.map((value, i) => [{ i: String(i) }, value]));
    expect(read(lines(gauge))[0]?.samples.map(({ value }) => value)).toEqual(values);
  });

  it("of distributions have cumulative buckets, of which the last has all", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 20, noNaN: true }), { minLength: 1 }), (values) => {
        const bounds = [0.5, 1, 10];
        const histogram = new Histogram("seconds", "help", bounds);
        for (const value of values) histogram.observe({ model: "a" }, value);
        const samples = present(read(lines(histogram))[0]).samples;
        const of = (ending: string) => samples.filter(({ name }) => name === `seconds${ending}`);
        const buckets = of("_bucket").map(({ labels: { le = "" }, value }) => [le, value]);
        expect(buckets).toEqual([
          ...bounds.map((bound) => [String(bound), values.filter((value) => value <= bound).length]),
          ["+Inf", values.length],
        ]);
        expect(of("_count")[0]?.value).toBe(values.length);
        expect(of("_sum")[0]?.value).toBeCloseTo(
          values.reduce((sum, value) => sum + value, 0),
          6,
        );
      }),
    );
  });

  it("of a server have a name and a help each, and what it has at the moment", () => {
    const metrics = new ServerMetrics(() => ({ waiting: 3, running: 2, workers: { idle: 1, busy: 2 } }));
    metrics.requests.add({ model: "a", ability: "score", status: "200" });
    const families = read(metrics.text());
    const value = (name: string, labels: object = {}): number | undefined =>
      families
        .flatMap(({ samples }) => samples)
        .find((sample) => sample.name === name && JSON.stringify(sample.labels) === JSON.stringify(labels))
        ?.value;
    expect(value("eidos_queue_length")).toBe(3);
    expect(value("eidos_running")).toBe(2);
    expect(value("eidos_workers", { state: "busy" })).toBe(2);
    expect(value("eidos_requests_total", { model: "a", ability: "score", status: "200" })).toBe(1);
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(1e6);
    for (const { name, help, type } of families) {
      expect(help, name).toMatch(/^[A-Z].*\.$/);
      if (type === "counter") expect(name).toMatch(/_total$/);
      expect(name).toMatch(/^(eidos|process)_[a-z_]+$/);
    }
  });
});
