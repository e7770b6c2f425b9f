import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openData } from "../../src/data/open.node.ts";
import { MemoryError, OptionError } from "../../src/errors.ts";
import { isRecord } from "../../src/options.ts";
import { prepareFit } from "../../src/tasks/fit/prepare.node.ts";
import { openRun, type Run } from "../../src/tasks/open-run.node.ts";
import { temporaryFolder } from "../support.ts";

// Run folders and requests that ask for more than there is: a typed error, and nothing taken.

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

let root = "";
let digits: Run;
let flow: Run;
beforeAll(async () => {
  // So that the outcome does not depend on the machine.
  process.env.EIDOS_MEMORY = "4GB";
  root = await temporaryFolder();
  digits = await openRun(fixture("rectified-flow-digits"), { threads: 1 });
  flow = await openRun(fixture("nice-two-moons"), { threads: 1 });
});
afterAll(async () => {
  delete process.env.EIDOS_MEMORY;
  for (const run of [digits, flow]) await run.release();
  await rm(root, { recursive: true, force: true });
});

let copies = 0;

/** A copy of a run whose config.json is changed: values by path, modelOptions.width. */
async function changed(name: string, changes: Readonly<Record<string, unknown>>): Promise<string> {
  const folder = join(root, `${name}-${copies++}`);
  await cp(fixture(name), folder, { recursive: true });
  const path = join(folder, "config.json");
  const config: unknown = JSON.parse(await readFile(path, "utf8"));
  for (const [key, value] of Object.entries(changes)) {
    const [group = "", option = ""] = key.split(".");
    const target = isRecord(config) ? config[group] : undefined;
    if (isRecord(target)) Object.assign(target, { [option]: value });
  }
  await writeFile(path, JSON.stringify(config));
  return folder;
}

describe("a configuration that asks for too much", () => {
  const cases = [
    ["couplings: 1e8", { "modelOptions.couplings": 1e8 }, OptionError, /nice: option couplings: .*<=1000/],
    ["a width of 1e12", { "modelOptions.width": 1e12 }, OptionError, /option width: .*<=65536/],
    [
      "a thousand couplings of 65,536 units",
      { "modelOptions.couplings": 1000, "modelOptions.width": 65_536, "modelOptions.hiddenLayers": 2 },
      MemoryError,
      /nice: its [\d,]+ weights: needs at least .* of memory, and EIDOS_MEMORY allows 4 GB; take fewer or narrower layers/,
    ],
    [
      "a thousand couplings of a thousand layers",
      { "modelOptions.couplings": 1000, "modelOptions.hiddenLayers": 1000 },
      OptionError,
      /more than 100,000 parameters/,
    ],
    [
      "samples of 10¹⁵ numbers",
      { "dataInfo.kind": "image", "dataInfo.sampleShape": [1e5, 1e5, 1e5] },
      OptionError,
      /a sample has at most 67108864 numbers/,
    ],
    ["a list of shapes", { "dataInfo.sampleShape": new Array(1e5).fill(1) }, OptionError, /sampleShape/],
    ["10¹² classes", { "dataInfo.classes": 1e12 }, OptionError, /classes/],
    ["a training split of 10¹⁵", { "dataInfo.trainCount": 1e15 }, OptionError, /trainCount/],
    ["batches of 10¹²", { "fit.batchSize": 1e12 }, OptionError, /batchSize/],
    ["10⁹ replicas", { "fit.replicas": 1e9 }, OptionError, /replicas/],
  ] as const;

  it.each(cases)("is refused: %s", async (_name, changes, kind, message) => {
    const folder = await changed("nice-two-moons", changes);
    await expect(openRun(folder)).rejects.toThrow(kind);
    await expect(openRun(folder)).rejects.toThrow(message);
  });

  it("is refused where its data is opened: count: 1e12, and columns that are none", async () => {
    const counted = await openRun(await changed("nice-two-moons", { "dataOptions.count": 1e12 }));
    await expect(counted.data()).rejects.toThrow(/data: option count: .*<=100000000/);
    await counted.release();
    const columns = await changed("nice-two-moons", { "dataInfo.columns": [{ kind: "numeric", name: 3 }] });
    await expect(openRun(columns)).rejects.toThrow(OptionError);
  });

  it("is refused where it is resumed", async () => {
    const folder = await changed("nice-two-moons", { "fit.batchSize": 1e8, "dataInfo.sampleShape": [2] });
    const memory = process.env.EIDOS_MEMORY;
    process.env.EIDOS_MEMORY = "500MB";
    try {
      await expect(prepareFit({ kind: "resume", folder, overrides: { steps: 8 } })).rejects.toThrow(
        /fit: 52 parameters .* batches of 100,000,000 samples \(800 MB each\)/,
      );
    } finally {
      process.env.EIDOS_MEMORY = memory;
    }
  });
});

describe("a request that asks for too much", () => {
  it("is refused with the estimate before anything is drawn", async () => {
    await expect(digits.sample({ count: 1e8 })).rejects.toThrow(MemoryError);
    await expect(digits.sample({ count: 1e8 })).rejects.toThrow(
      /^sample: 100,000,000 samples of [\d,]+ numbers: needs at least .* GB of memory, and EIDOS_MEMORY allows 4 GB; take a smaller count$/,
    );
    await expect(digits.sample({ count: 1e12 })).rejects.toThrow(OptionError);
    await expect(digits.sample({ count: Number.NaN })).rejects.toThrow(OptionError);
    await expect(digits.sampleStates({ count: 1e6, states: 1e4 })).rejects.toThrow(MemoryError);
    await expect(digits.edit({ index: [0, 1] }, { draws: 1e8 })).rejects.toThrow(MemoryError);
    const half = { kind: "half", half: "bottom" } as const;
    await expect(digits.inpaint({ index: [0] }, { unknown: half, draws: 1e8 })).rejects.toThrow(MemoryError);
    await expect(digits.interpolate({ index: [0, 1] }, { steps: 1e8 })).rejects.toThrow(MemoryError);
    await expect(flow.sample({ count: 1e9 })).rejects.toThrow(OptionError);
  });

  it("is answered where it is usual", async () => {
    expect((await flow.sample({ count: 5000 })).shape).toEqual([5000, 2]);
  });
});

describe("data that would not fit", () => {
  it("is refused before it is drawn", async () => {
    const memory = process.env.EIDOS_MEMORY;
    process.env.EIDOS_MEMORY = "1GB";
    try {
      await expect(openData("two-moons", { count: 1e8 })).rejects.toThrow(
        /two-moons: 100,000,000 points: needs at least 2\.24 GB/,
      );
    } finally {
      process.env.EIDOS_MEMORY = memory;
    }
  });
});
