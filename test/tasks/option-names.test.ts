import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compare,
  compareSamplers,
  convertDetections,
  type FitRequest,
  findImages,
  fit,
  fitToPairs,
  images,
  importDetector,
  imputationQuality,
  judgeSyntheticTable,
  nodeRuntime,
  type OpenRunOptions,
  OptionError,
  openData,
  openDetection,
  openRun,
  type Run,
  resumeFit,
  tableInformation,
} from "../../src/index.ts";
import { type ClientOptions, connect } from "../../src/serve/client.ts";
import { type ServeOptions, type StudioOptions, serve, startStudio } from "../../src/serve/index.node.ts";
import { exportRun } from "../../src/tasks/export/export.node.ts";
import { float32 } from "../../src/tensor/array.ts";
import { type LoadOptions, load, type Model } from "../../src/use/index.node.ts";
import { temporaryFolder } from "../support.ts";

// A name that no function knows is refused by each function of the front door, with the name that was meant: nobody is to measure defaults in
// the belief that they have measured something else.

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

const moons = fixture("nice-two-moons");
const scenes = fixture("fcos-digit-scenes");

/** Options as a program has them that the compiler has not seen. */
const loose = <O>(options: Readonly<Record<string, unknown>>): O => options as O;

/** What is wrong with a call, whether it throws at once, is rejected or throws when the first value is asked for. */
async function fault(call: () => unknown): Promise<unknown> {
  try {
    const made = await call();
    if (typeof made === "object" && made !== null && "next" in made) {
      await (made as AsyncGenerator).next();
    }
    return undefined;
  } catch (error) {
    return error;
  }
}

type Call = readonly [name: string, call: () => unknown, wrong: string, meant: string];

async function checkAll(calls: readonly Call[]): Promise<void> {
  const told: Record<string, unknown> = {};
  for (const [name, call, wrong, meant] of calls) {
    const error = await fault(call);
    told[`${name}: ${wrong}`] =
      error instanceof OptionError && error.message.includes(`no option ${wrong}; did you mean ${meant}?`)
        ? "refused"
        : String(error);
  }
  expect(told).toEqual(Object.fromEntries(Object.keys(told).map((name) => [name, "refused"])));
}

let folder = "";
let flow: Run;
let detector: Run;
let digits: Run;
let model: Model<"sample" | "score">;
beforeAll(async () => {
  folder = await temporaryFolder();
  flow = await openRun(moons, { threads: 1 });
  detector = await openRun(scenes, { threads: 1 });
  digits = await openRun(fixture("rectified-flow-digits"), { threads: 1 });
  await exportRun(moons, join(folder, "moons"));
  model = await load(join(folder, "moons"), { needs: ["sample", "score"], threads: 1 });
});
afterAll(async () => {
  for (const run of [flow, detector, digits, model]) await run.release();
  await rm(folder, { recursive: true, force: true });
});

describe("an option that there is not", () => {
  const x = float32([0, 0], [1, 2]);

  it("is refused by each method of a run", () =>
    checkAll([
      ["sample", () => flow.sample({ cuont: 3 }), "cuont", "count"],
      ["sample", () => digits.sample({ count: 1, sovler: "euler" }), "sovler", "solver"],
      ["sample", () => flow.sample(loose({ shard: { indx: 0, count: 2 } })), "indx", "index"],
      ["sampleStates", () => digits.sampleStates({ states: 2, labl: 1 }), "labl", "label"],
      ["save", () => flow.save(x, join(folder, "x.csv"), loose({ csvSave: false })), "csvSave", "csvSafe"],
      ["score", () => flow.score(undefined, loose({ splitt: "train" })), "splitt", "split"],
      ["scores", () => flow.scores(undefined, loose({ sead: 1 })), "sead", "seed"],
      ["anomalies", () => flow.anomalies(undefined, loose({ neighbours: 3 })), "neighbours", "neighbors"],
      ["impute", () => flow.impute("rows.csv", loose({ drws: 3 })), "drws", "draws"],
      [
        "inpaint",
        () =>
          digits.inpaint({ index: [0] }, loose({ unknown: { kind: "half", half: "top" }, resampling: 1 })),
        "resampling",
        "resamplings",
      ],
      ["edit", () => digits.edit({ index: [0] }, loose({ strenght: 0.1 })), "strenght", "strength"],
      ["translate", () => flow.translate({ index: [0] }, loose({ stats: 2 })), "stats", "states"],
      ["interpolate", () => flow.interpolate({ index: [0, 1] }, loose({ step: 3 })), "step", "steps"],
      ["encode", () => flow.encode(x, loose({ lables: [1] })), "lables", "labels"],
      ["encode", () => flow.encode(x, loose({ codes: { slover: "heun" } })), "slover", "solver"],
      ["codes", () => flow.codes(undefined, loose({ sede: 1 })), "sede", "seed"],
      ["decode", () => flow.decode(x, loose({ givn: {} })), "givn", "given"],
      ["embed", () => detector.embed(undefined, loose({ poool: "mean" })), "poool", "pool"],
      ["embeddings", () => detector.embeddings(undefined, loose({ laier: "code" })), "laier", "layer"],
      ["featuresOf", () => detector.featuresOf(x, loose({ laier: "code" })), "laier", "layer"],
      [
        "embedInto",
        () => detector.embedInto(join(folder, "x.npy"), undefined, loose({ onProgres: () => undefined })),
        "onProgres",
        "onProgress",
      ],
      ["probe", () => detector.probe(undefined, loose({ drawss: 1 })), "drawss", "draws"],
      [
        "neighbors",
        () => detector.neighbors("a.png", folder, loose({ distanc: "cosine" })),
        "distanc",
        "distance",
      ],
      ["duplicates", () => detector.duplicates(folder, loose({ treshold: 0.1 })), "treshold", "threshold"],
      ["detect", () => detector.detect("x.png", loose({ confidenc: 0.05 })), "confidenc", "confidence"],
      ["detections", () => detector.detections([], loose({ testscale: [1] })), "testscale", "testScales"],
      ["detectVideo", () => detector.detectVideo("x.mp4", loose({ onDamaged: 1 })), "onDamaged", "onDamage"],
      ["evaluate", () => flow.evaluate(loose({ distnces: "all" })), "distnces", "distances"],
      ["evaluate", () => flow.evaluate(loose({ most: { draw: 1 } })), "draw", "drawn"],
      [
        "evaluateBoxes",
        () => detector.evaluateBoxes(undefined, loose({ testscales: [1, 2] })),
        "testscales",
        "testScales",
      ],
      [
        "evaluateBoxes",
        () => detector.evaluateBoxes("digit-scenes", { reading: { senes: 3 } }),
        "senes",
        "scenes",
      ],
      ["export", () => flow.export(join(folder, "x"), loose({ precison: "fp16" })), "precison", "precision"],
      [
        "export",
        () => detector.export(join(folder, "x"), loose({ suppression: { confidenc: 0.1 }, rawTensor: true })),
        "confidenc",
        "confidence",
      ],
    ]));

  it("is refused by each function", () =>
    checkAll([
      ["openRun", () => openRun(scenes, loose<OpenRunOptions>({ tridnet: "fast" })), "tridnet", "trident"],
      [
        "openRun",
        () => openRun(scenes, loose<OpenRunOptions>({ trust: { modul: true } })),
        "modul",
        "module",
      ],
      [
        "openRun",
        () => openRun(scenes, loose<OpenRunOptions>({ cascade: { factr: 0.7 } })),
        "factr",
        "factor",
      ],
      [
        "fit",
        () =>
          fit(loose<FitRequest>({ model: "nice", data: "two-moons", out: join(folder, "fit"), stpes: 1 })),
        "stpes",
        "steps",
      ],
      [
        "fit",
        () => fit({ model: "nice", data: "two-moons" }, loose({ onProgres: () => undefined })),
        "onProgres",
        "onProgress",
      ],
      ["resumeFit", () => resumeFit(moons, { stpes: 9 }), "stpes", "steps"],
      ["resumeFit", () => resumeFit(moons, { steps: 9 }, loose({ singal: 1 })), "singal", "signal"],
      ["fitToPairs", () => fitToPairs(loose({ kind: "reflow", run: moons, pair: {} })), "pair", "pairs"],
      [
        "fitToPairs",
        () => fitToPairs({ kind: "reflow", run: moons, pairs: loose({ cout: 3 }) }),
        "cout",
        "count",
      ],
      [
        "fitToPairs",
        () => fitToPairs({ kind: "reflow", run: moons, pairs: { open: loose({ weigths: "last" }) } }),
        "weigths",
        "weights",
      ],
      [
        "compare",
        () => compare({ data: "two-moons", models: ["nice", "made"], secnds: 1 }),
        "secnds",
        "seconds",
      ],
      [
        "compare",
        () => compare({ data: "two-moons", models: ["nice"] }, loose({ onModl: () => undefined })),
        "onModl",
        "onModel",
      ],
      [
        "compareSamplers",
        () => compareSamplers(loose({ runs: [moons], samplers: [], sed: 1 })),
        "sed",
        "seed",
      ],
      [
        "compareSamplers",
        () => compareSamplers({ runs: [moons], samplers: [loose({ solver: "heun", stps: 3 })] }),
        "stps",
        "steps",
      ],
      ["importDetector", () => importDetector(loose({ file: "x.pth", clases: [] })), "clases", "classes"],
      [
        "tableInformation",
        () => tableInformation(loose({ data: "x.csv", x: ["a"], y: ["b"], estimater: "ksg" })),
        "estimater",
        "estimator",
      ],
      ["findImages", () => findImages([folder], loose({ followLink: true })), "followLink", "followLinks"],
      ["images", () => images([new Uint8Array(3)], loose({ label: [1] })), "label", "labels"],
      ["openData", () => openData("two-moons", loose({ tst: 0.1 })), "tst", "test"],
      ["openDetection", () => openDetection("digit-scenes", loose({ scens: 3 })), "scens", "scenes"],
      [
        "convertDetections",
        () =>
          convertDetections(
            loose({ splits: {} }),
            join(folder, "x"),
            "coco",
            undefined,
            loose({ csvsafe: true }),
          ),
        "csvsafe",
        "csvSafe",
      ],
      ["nodeRuntime", () => nodeRuntime(loose({ thread: 1 })), "thread", "threads"],
      [
        "judgeSyntheticTable",
        async () => judgeSyntheticTable(await flow.data(), x, loose({ split: "test", seed: 1, traget: "x" })),
        "traget",
        "target",
      ],
      [
        "imputationQuality",
        async () => {
          const data = await flow.data();
          return imputationQuality(
            data,
            data.splits.test,
            () => {
              throw new Error("asked");
            },
            loose({ rows: 1, seed: 1, hiden: 0.1 }),
          );
        },
        "hiden",
        "hidden",
      ],
      ["serve", () => serve(moons, loose<ServeOptions>({ prot: 0 })), "prot", "port"],
      ["startStudio", () => startStudio(loose<StudioOptions>({ prot: 0 })), "prot", "port"],
    ]));

  it("is refused by an exported model", () =>
    checkAll([
      [
        "load",
        () => load(join(folder, "moons"), loose<LoadOptions<never>>({ need: "score" })),
        "need",
        "needs",
      ],
      ["sample", () => model.sample(loose({ cuont: 3 })), "cuont", "count"],
      ["score", () => model.score([{ x: 1, y: 2 }], loose({ firstrow: 3 })), "firstrow", "firstRow"],
    ]));

  it("is refused by a client before anything is sent", () => {
    const client = connect("http://localhost:1", {
      fetch: () => {
        throw new Error("asked");
      },
    });
    const remote = client.model("moons");
    const pixels = { shape: [1, 1, 1, 1], data: [0] };
    const bytes = new Uint8Array(3);
    return checkAll([
      ["connect", () => connect("http://localhost:1", loose<ClientOptions>({ tokn: "x" })), "tokn", "token"],
      ["models", () => client.models(loose({ timeOut: 1 })), "timeOut", "timeout"],
      ["isReady", () => client.isReady(loose({ timeOut: 1 })), "timeOut", "timeout"],
      ["describe", () => remote.describe(loose({ retrys: 1 })), "retrys", "retries"],
      ["detect", () => remote.detect(bytes, loose({ confidenc: 1 })), "confidenc", "confidence"],
      ["detectPicture", () => remote.detectPicture(bytes, loose({ iuo: 1 })), "iuo", "iou"],
      ["score", () => remote.score([], loose({ sed: 1 })), "sed", "seed"],
      ["sample", () => remote.sample(loose({ cuont: 1 })), "cuont", "count"],
      ["samplePicture", () => remote.samplePicture(loose({ cuont: 1 })), "cuont", "count"],
      ["impute", () => remote.impute([], loose({ drws: 1 })), "drws", "draws"],
      ["embed", () => remote.embed([], loose({ laier: "code" })), "laier", "layer"],
      ["inpaint", () => remote.inpaint(pixels, loose({ haf: "top" })), "haf", "half"],
      ["edit", () => remote.edit(pixels, loose({ strenght: 1 })), "strenght", "strength"],
      ["interpolate", () => remote.interpolate(pixels, loose({ stps: 1 })), "stps", "steps"],
    ]);
  });
});

describe("options", () => {
  it("may be there without a value", async () => {
    const samples = await flow.sample(loose({ count: 2, label: undefined, shard: undefined }));
    expect(samples.shape).toEqual([2, 2]);
  });

  it("have values of their kind", async () => {
    await expect(flow.score(undefined, loose({ split: "tset" }))).rejects.toThrow(/^score: option split: /);
    await expect(flow.evaluate(loose({ distances: "al" }))).rejects.toThrow(/^evaluate: option distances: /);
    await expect(flow.anomalies(undefined, loose({ by: "feature" }))).rejects.toThrow(/option by: /);
    await expect(detector.evaluateBoxes(undefined, loose({ split: 1 }))).rejects.toThrow(OptionError);
    await expect(flow.sample(loose({ seed: "1" }))).rejects.toThrow(/^sample: option seed: /);
    await expect(openRun(moons, loose<OpenRunOptions>({ weights: "bst" }))).rejects.toThrow(OptionError);
  });

  it("are an object", async () => {
    await expect(flow.score(undefined, 3 as never)).rejects.toThrow(/^score: options must be an object/);
    await expect(openRun(moons, null as never)).rejects.toThrow(OptionError);
  });
});
