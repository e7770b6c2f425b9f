import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fileError } from "../../src/data/files/files.node.ts";
import { writeSafetensors } from "../../src/nn/safetensors.ts";
import { float32 } from "../../src/tensor/array.ts";
import { temporaryFolder } from "../support.ts";
import { BARE, filesBelow, mounted, refused, run, succeed } from "./support.ts";

let cwd: string;
const FIT = ["fit", "nice", "two-moons", ...BARE, "--quiet"];

beforeAll(async () => {
  cwd = await temporaryFolder();
  await succeed([...FIT, "--steps", "8", "--out", "run"], cwd);
});

/** Runs commands that are to be refused, at the same time, and compares what each says. */
async function refusals(
  list: readonly (readonly [args: readonly string[], message: RegExp])[],
): Promise<void> {
  const lines = await Promise.all(list.map(([args]) => refused(args, cwd)));
  list.forEach(([, message], i) => {
    expect(lines[i]).toMatch(message);
  });
}

describe("names and options", () => {
  test("unknown ones are refused with the nearest", async () => {
    await refusals([
      [["fti"], /unknown command 'fti'; did you mean fit\?/],
      [["fit", "nicee", "two-moons"], /no model called nicee; did you mean nice\?/],
      [["fit", "nice", "two-mons"], /"two-mons"; did you mean "two-moons"\?/],
      [
        ["fit", "nice", "two-moons", "--step", "3"],
        /unknown option '--step'; did you mean --steps\? \(see eidos fit --help\)/,
      ],
      [["fit", "nice", "two-moons", "--fourier-features", "8"], /nice: there is no option fourierFeatures/],
      [["fit", "./nowhere.mjs", "two-moons"], /nowhere\.mjs: there is no such file/],
    ]);
  });

  test("what is missing or malformed is said", async () => {
    await writeFile(join(cwd, "broken.json"), '{ "model": "nice", ');
    await writeFile(
      join(cwd, "misspelt.json"),
      '{ "model": "nice", "data": "two-moons", "learningrate": 1 }',
    );
    await writeFile(join(cwd, "text.json"), '{ "model": "nice", "data": "two-moons", "steps": "many" }');
    await refusals([
      [["fit"], /fit wants a model and data, as in: eidos fit rectified-flow digits/],
      [["fit", "nice"], /fit wants data for nice, as in/],
      [["sample"], /missing required argument 'run'/],
      [["fit", "nice", "two-moons", "--steps", "few"], /option steps: "few" is not a number/],
      [["fit", "--config", "broken.json"], /broken\.json is not valid JSON/],
      [["fit", "--config", "misspelt.json"], /there is no option learningrate; did you mean learningRate\?/],
      [["fit", "--config", "text.json"], /option steps:.*expected number/],
      [["fit", "--config", "none.json"], /cannot read the configuration none\.json: there is no such file/],
    ]);
  });
});

test("an unknown provider is refused with a list of those of this machine", async () => {
  for (const args of [
    ["fit", "nice", "two-moons", "--steps", "2"],
    ["sample", "run"],
  ]) {
    const { code, stderr } = await run([...args, "--provider", "quantum"], cwd);
    expect(code).toBe(1);
    // Libraries of providers that are tried may have written lines of their own before.
    expect(stderr.trim().split("\n").at(-1)).toMatch(/^eidos: provider quantum .*this machine has: cpu/);
  }
});

describe("data", () => {
  test("a table with text in a numeric column is refused with column and rows", async () => {
    await writeFile(join(cwd, "text.csv"), `a,b\n${"1,2\n".repeat(20)}3,four\n`);
    await writeFile(join(cwd, "same.csv"), `a,b\n${"1,2\n".repeat(6)}NaN,2\n,2\n`);
    await mkdir(join(cwd, "empty"));
    await refusals([
      [["fit", "nice", "text.csv"], /text\.csv: no number in column "b": row 21 \("four"\)/],
      [["fit", "nice", "same.csv"], /same\.csv: no columns are left to learn from; left out: 2 columns, "a"/],
      [["fit", "nice", "none.csv"], /none\.csv: there is no such file/],
      [["fit", "nice", "empty"], /empty: no images in this folder/],
      [["fit", "nice", "two-moons", "--validation", "0.6", "--test", "0.5"], /leave nothing to train on/],
    ]);
    expect((await filesBelow(cwd)).filter((file) => file.startsWith("runs/"))).toEqual([]);
  });
});

describe("run folders", () => {
  test("one that is taken, missing or no run is refused and left alone", async () => {
    const before = await filesBelow(join(cwd, "run"));
    await mkdir(join(cwd, "mine"));
    await writeFile(join(cwd, "mine", "metrics.csv"), "precious");
    await writeFile(join(cwd, "file"), "precious");
    await refusals([
      [[...FIT, "--out", "run"], /run holds a run already; continue it with eidos fit --resume run/],
      [[...FIT, "--out", "mine"], /mine is not empty and holds no run/],
      [[...FIT, "--out", "file"], /file: .*in the way|file.* is a file, not a folder/],
      [[...FIT, "--out", "file/below"], /file\/below: a part of the path is a file/],
      [["sample", "nowhere"], /nowhere holds no run .*give the folder that eidos fit has written/],
      [["runs", "nowhere"], /cannot list nowhere/],
      [
        ["export", "run", "--raw-tensor", "--out", "file/model.onnx"],
        /cannot write file\/model\.onnx: a file of that name is in the way/,
      ],
      [
        ["export", "run", "--out", "file/model"],
        /cannot write file\/model\/score\.onnx: a part of the path is a file/,
      ],
      [["export", "run", "--raw-tensor", "--out", "/dev/full"], /cannot write \/dev\/full: it is a device/],
    ]);
    expect(await readFile(join(cwd, "mine", "metrics.csv"), "utf8")).toBe("precious");
    expect(await readFile(join(cwd, "file"), "utf8")).toBe("precious");
    expect(await filesBelow(join(cwd, "run"))).toEqual(before);
  });

  test("weights to begin with are told by what they hold, and nothing of them is run", async () => {
    const from = (name: string) =>
      [...FIT, "--weights", fileURLToPath(new URL(`../fixtures/pytorch/${name}`, import.meta.url))] as const;
    await writeFile(join(cwd, "page.pth"), "<!doctype html><html><body>404</body></html>");
    await refusals([
      [
        from("whole-model.pt"),
        /whole-model\.pt: names torch\.nn\.modules\.container\.Sequential, which this/,
      ],
      [
        from("network.pth"),
        /network\.pth: nothing in it fits this model .* it holds 0\.weight \[3, 2, 2, 2\], /,
      ],
      [[...FIT, "--weights", "page.pth"], /page\.pth: it is a page of HTML, .*download the file itself/],
    ]);
  });

  test("damaged weights and checkpoints are refused, and nothing is written", async () => {
    const weights = await readFile(join(cwd, "run", "weights", "best.safetensors"));
    const state = await readFile(join(cwd, "run", "state.safetensors"));
    const shapes = writeSafetensors(new Map([["transforms.1.network.layers.0.weight", float32([1], [1])]]));
    const huge = Buffer.alloc(64, 0x20);
    huge.writeBigUInt64LE(2n ** 60n);
    const damages = {
      truncated: weights.subarray(0, weights.length - 40),
      garbage: Buffer.alloc(500, 0xa5),
      empty: Buffer.alloc(0),
      huge,
      shapes,
    };
    for (const [name, bytes] of Object.entries(damages)) {
      await cp(join(cwd, "run"), join(cwd, name), { recursive: true });
      await writeFile(join(cwd, name, "weights", "best.safetensors"), bytes);
    }
    for (const [name, bytes] of [
      ["cut", state.subarray(0, 3000)],
      ["foreign", shapes],
    ] as const) {
      await cp(join(cwd, "run"), join(cwd, name), { recursive: true });
      await writeFile(join(cwd, name, "state.safetensors"), bytes);
    }
    await cp(join(cwd, "run"), join(cwd, "config"), { recursive: true });
    await writeFile(join(cwd, "config", "config.json"), '{ "model": "nice" }');
    await refusals([
      [["sample", "truncated"], /truncated\/weights\/best\.safetensors: .*truncated/],
      [["export", "garbage"], /garbage\/weights\/best\.safetensors: .*truncated or no safetensors/],
      [["eval", "empty"], /empty\/weights\/best\.safetensors: 0 bytes are too few/],
      [
        ["score", "huge"],
        /huge\/weights\/best\.safetensors: the header should have 1152921504606846976 bytes/,
      ],
      [["sample", "shapes"], /shapes\/weights\/best\.safetensors: does not fit this model; missing: /],
      [["fit", "--resume", "cut", "--steps", "20"], /cut\/state\.safetensors: .*truncated/],
      [["fit", "--resume", "foreign", "--steps", "20"], /foreign\/state\.safetensors/],
      [["eval", "config"], /config\/config\.json: .*expected/],
    ]);
    expect(await readFile(join(cwd, "cut", "state.safetensors"))).toEqual(state.subarray(0, 3000));
    expect(JSON.parse(await readFile(join(cwd, "cut", "config.json"), "utf8")).fit.steps).toBe(8);
  });
});

describe("a disk that does not take files", () => {
  const mounts: string[] = [];
  afterAll(() => {
    for (const folder of mounts) execFileSync("umount", ["-l", folder], { stdio: "ignore" });
  });

  test("files that may not grow, and no space left", () => {
    const told = (code: string) =>
      fileError(Object.assign(new Error(code), { code }), "write", "run/a").message;
    expect(told("EFBIG")).toMatch(/^cannot write run\/a: the file would be larger than is allowed here/);
    expect(told("ENOSPC")).toMatch(/^cannot write run\/a: there is no space left on the disk/);
  });

  test("a read-only file system", async (context) => {
    const disk = join(cwd, "read-only");
    await mkdir(disk);
    if (!mounted(disk, "ro")) return context.skip("this machine does not let us mount a file system");
    mounts.push(disk);
    await refusals([
      [
        [...FIT, "--out", "read-only/run"],
        /read-only\/run: the file system is read-only; choose another folder/,
      ],
      [
        ["export", "run", "--raw-tensor", "--out", "read-only/a.onnx"],
        /read-only\/a\.onnx: the file system is read-only/,
      ],
      [
        ["score", "run", "--out", "read-only/a.parquet"],
        /read-only\/a\.parquet: the file system is read-only/,
      ],
    ]);
  });
});
