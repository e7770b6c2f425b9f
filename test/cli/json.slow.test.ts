import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { present, temporaryFolder } from "../support.ts";
import { importedCases, stateOf, writeState } from "../tasks/import/support.ts";
import { run, start, succeed } from "./support.ts";

// `--json` of every command: standard output is one JSON document and nothing else, or nothing where the command fails.

const FIT = ["--steps", "3", "--batch-size", "4", "--sample-pictures", "0", "--report", "none"];
const TINY = [...FIT, "--quiet"];
const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

let cwd = "";
beforeAll(async () => {
  cwd = await temporaryFolder();
  for (const [name, to] of [
    ["nice-two-moons", "points"],
    ["rectified-flow-digits", "digits"],
    ["fcos-digit-scenes", "finder"],
  ] as const) {
    await cp(fixture(name), join(cwd, to), { recursive: true });
  }
  for (let i = 0; i < 12; i++) {
    const folder = join(cwd, "shades", i % 2 === 0 ? "dark" : "light");
    await mkdir(folder, { recursive: true });
    const data = Uint8Array.from({ length: 64 }, (_, pixel) => 100 * (i % 2) + ((7 * i + 3 * pixel) % 90));
    const file = encode({ width: 8, height: 8, channels: 1, depth: 8, data });
    await writeFile(join(folder, `${i}.png`), file);
  }
  const photo = {
    width: 64,
    height: 64,
    channels: 3,
    depth: 8,
    data: new Uint8Array(3 * 64 * 64).fill(90),
  } as const;
  await mkdir(join(cwd, "cells"));
  for (const name of ["a", "b", "c"]) await writeFile(join(cwd, "cells", `${name}.png`), encode(photo));
  const boxes = ["a", "b", "c"].map((name) => `${name}.png,red,10,10,30,30\n`).join("");
  await writeFile(join(cwd, "cells/boxes.csv"), `filename,class,xmin,ymin,xmax,ymax\n${boxes}`);
  const rows = Array.from(
    { length: 60 },
    (_, i) => `${i % 11},${i % 5 === 0 ? "" : (i * i) % 7},${(3 * i) % 13}`,
  );
  await writeFile(join(cwd, "table.csv"), `a,b,c\n${rows.join("\n")}\n`);
  const { fcos } = await importedCases("small.json");
  await writeState(cwd, "weights", stateOf(present(fcos)));
  await succeed(["fit", "autoencoder", "shades", "--channels", "4", ...TINY, "--out", "pictures"], cwd);
  await succeed(["fit", "vae", "table.csv", "--width", "8", ...TINY, "--out", "rows"], cwd);
  const ends = ["two-moons", "--source", "rings", "--count", "200", "--width", "8"];
  await succeed(["fit", "rectified-transport", ...ends, ...TINY, "--out", "way"], cwd);
  await succeed(
    ["fit", "rectified-flow", "two-moons", "--count", "200", "--width", "8", ...TINY, "--out", "flow"],
    cwd,
  );
  await succeed(["encode", "points", "--out", "codes.csv", "--quiet"], cwd);
  for (const shard of ["0/2", "1/2"]) {
    await succeed(
      ["sample", "points", "--count", "4", "--shard", shard, "--out", "parts.parquet", "--quiet"],
      cwd,
    );
  }
});
afterAll(() => rm(cwd, { recursive: true }));

/** Commands that end by themselves, and how each is called to succeed. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  fit: ["fit", "nice", "two-moons", "--count", "200", "--width", "8", ...FIT, "--out", "new"],
  sample: ["sample", "points", "--count", "4", "--out", "drawn.csv"],
  score: ["score", "points", "--out", "scores.csv"],
  encode: ["encode", "points", "--out", "more.csv"],
  embed: ["embed", "pictures", "--out", "features.npy"],
  neighbours: ["neighbours", "pictures", "shades/dark/0.png", "--among", "shades"],
  probe: ["probe", "pictures"],
  decode: ["decode", "points", "codes.csv", "--out", "decoded.csv"],
  interpolate: ["interpolate", "points", "--index", "0,1", "--steps", "3", "--out", "path.csv"],
  inpaint: [
    "inpaint",
    "digits",
    "--index",
    "0",
    "--half",
    "top",
    "--draws",
    "1",
    "--steps",
    "2",
    "--resamplings",
    "1",
    "--out",
    "filled.png",
  ],
  edit: ["edit", "digits", "--index", "0", "--steps", "2", "--draws", "1", "--out", "edited.png"],
  impute: ["impute", "rows", "table.csv", "--out", "whole.csv"],
  detect: ["detect", "finder", "cells/a.png", "--out", "found"],
  merge: ["merge", "parts.parquet", "--out", "merged.parquet"],
  translate: ["translate", "way", "--count", "3", "--out", "translated.csv"],
  reflow: ["reflow", "flow", "--count", "40", ...FIT, "--out", "straight"],
  distill: ["distill", "flow", "--count", "40", ...FIT, "--out", "quick"],
  import: ["import", "weights.safetensors", "--as", "fcos", "--size", "64", "--classes", "red,white,blue"],
  eval: ["eval", "points"],
  compare: [
    "compare",
    "two-moons",
    "--models",
    "nice,planar",
    "--count",
    "200",
    "--steps",
    "2",
    "--out",
    "ranked",
  ],
  export: ["export", "points"],
  models: ["models"],
  data: ["data", "two-moons", "--count", "100"],
  inspect: ["inspect", "cells", "--images", "0"],
  convert: ["convert", "cells", "converted", "--to", "coco"],
  "mutual-information": [
    "mutual-information",
    "table.csv",
    "--x",
    "a",
    "--y",
    "c",
    "--steps",
    "5",
    "--batch-size",
    "16",
  ],
  runs: ["runs", "."],
  completion: ["completion", "bash"],
};

/** How each is called to fail: by what it is given, not by its options. */
const FAILURES: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    [
      "sample",
      "score",
      "encode",
      "embed",
      "probe",
      "interpolate",
      "edit",
      "translate",
      "eval",
      "export",
      "serve",
    ].map((name) => [name, [name, "missing"]]),
  ),
  fit: ["fit", "nice", "missing.csv"],
  neighbours: ["neighbours", "missing", "shades/dark/0.png", "--among", "shades"],
  decode: ["decode", "points", "missing.csv"],
  inpaint: ["inpaint", "missing", "--index", "0", "--half", "top"],
  impute: ["impute", "rows", "missing.csv"],
  detect: ["detect", "missing", "cells/a.png"],
  merge: ["merge", "missing"],
  reflow: ["reflow", "missing"],
  distill: ["distill", "missing"],
  import: ["import", "missing.pth", "--as", "fcos"],
  compare: ["compare", "missing.csv", "--models", "nice,planar"],
  models: ["models", "missing"],
  studio: ["studio", "--port", "-1"],
  data: ["data", "missing.csv"],
  inspect: ["inspect", "missing"],
  convert: ["convert", "missing", "out", "--to", "coco"],
  "mutual-information": ["mutual-information", "missing.csv", "--x", "a", "--y", "c"],
  runs: ["runs", "missing"],
  completion: ["completion", "tcsh"],
};

/** Commands that go on until they are ended. */
const GO_ON = ["serve", "studio"];

test("every command is called here", async () => {
  const words = JSON.parse((await succeed(["completion", "bash", "--json"], cwd)).stdout) as {
    name: string;
  }[];
  const names = words.map(({ name }) => name).sort();
  expect([...Object.keys(CALLS), ...GO_ON].sort()).toEqual(names);
  expect(Object.keys(FAILURES).sort()).toEqual(names);
});

describe("standard output is one JSON document", () => {
  test.each(Object.entries(CALLS))("%s", async (_, args) => {
    const { code, stdout, stderr } = await run([...args, "--json"], cwd);
    expect(code, stderr).toBe(0);
    expect(typeof JSON.parse(stdout)).toBe("object");
    expect(stdout.endsWith("\n")).toBe(true);
  });

  test("studio, while it goes on", async () => {
    const running = start(["studio", "--port", "0", "--no-open", "--json"], cwd);
    await running.printed(/(\})\s*$/);
    running.kill("SIGTERM");
    const { stdout } = await running.outcome;
    expect(typeof JSON.parse(stdout)).toBe("object");
  });

  test("serve, whose log is one a line: one of them says what is served", async () => {
    const running = start(["serve", "points", "--port", "0", "--json"], cwd);
    const url = await running.printed(/^\{"url":"([^"]+)".*\}\n/m);
    expect((await fetch(`${url}/v2`)).status).toBe(200);
    running.kill("SIGTERM");
    const { stdout } = await running.outcome;
    const lines = stdout.trimEnd().split("\n");
    const documents = lines.map((line) => JSON.parse(line) as unknown);
    expect(documents.length).toBeGreaterThan(1);
    const served = {
      url,
      models: [{ name: "points", model: "nice", abilities: ["score", "impute", "sample", "interpolate"] }],
    };
    expect(documents).toContainEqual(served);
  });
});

describe("standard output is empty and an error has a line of its own where it fails", () => {
  test.each(Object.entries(FAILURES))("%s", async (_, args) => {
    const { code, stdout, stderr } = await run([...args, "--json"], cwd);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^eidos: [^\n]+\n$/);
  });
});
