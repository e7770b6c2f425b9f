import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../../src/random.ts";
import { type CompareHooks, compare } from "../../../src/tasks/compare/compare.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { temporaryFolder } from "../../support.ts";

// Models of images compared in the features of a run of one's own.

let cwd = "";
const TINY = { batchSize: 8, threads: 1, warmupSteps: 0, samplePictures: 0 };

async function encoder(name: string, seed: number, data = "shades"): Promise<string> {
  const out = join(cwd, name);
  const { fit } = await prepareFit({
    kind: "new",
    request: {
      ...{ model: "autoencoder", data: join(cwd, data), out, seed, steps: 1, ...TINY },
      ...{ channels: 2, hidden: 4, codeSize: 3, decoderChannels: 2 },
    },
  });
  const { finish: _f, draw: _d, ...rest } = fit;
  await fitHere(rest);
  return out;
}

beforeAll(async () => {
  cwd = await temporaryFolder();
  const random = new Random(2);
  await mkdir(join(cwd, "shades"));
  for (let i = 0; i < 40; i++) {
    const bytes = Uint8Array.from({ length: 64 }, () => 40 * (i % 3) + random.integer(90));
    await sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toFile(join(cwd, "shades", `${i}.png`));
  }
  await writeFile(
    join(cwd, "rows.csv"),
    `a,b\n${Array.from({ length: 60 }, () => `${random.normal()},${random.normal()}`).join("\n")}\n`,
  );
});

const request = (features?: string) => ({
  data: join(cwd, "shades"),
  models: [{ model: "gan", latentSize: 2, channels: 2, batchSize: 8, samplePictures: 0 }],
  ...{ out: join(cwd, "board"), steps: 2, threads: 1, test: 0.4 },
  ...(features !== undefined && { features }),
});

describe("a comparison in the features of a run", () => {
  it("ranks by the Fréchet distance in them, and measures again, without training, in those of another", async () => {
    const [first, second] = [await encoder("first", 0), await encoder("second", 1)];
    const heard: string[] = [];
    const hooks: CompareHooks = {
      onModel: ({ status }) => heard.push(status),
      // A report that a busy machine has cut short is another matter.
      onWarning: (message) => void (message.includes("features") && heard.push(message)),
    };
    const board = async (features?: string) => {
      heard.length = 0;
      const { leaderboard } = await compare(request(features), hooks);
      const [row] = leaderboard.rows;
      if (row?.status !== "finished") throw new Error(JSON.stringify(row));
      const [measure] = leaderboard.measures;
      return { row, measure, control: leaderboard.controls[0]?.distances, heard: [...heard] };
    };
    const one = await board(first);
    expect(one.heard).toEqual(["finished"]);
    expect([one.measure?.key, one.measure?.basis]).toEqual([
      "frechet",
      `16 drawn, 16 held-out; in features of autoencoder (${first})`,
    ]);
    expect(one.row.distances.frechet).toBeGreaterThan(0);
    expect(one.row.distances.energy).toBeGreaterThan(0);
    expect(one.control?.frechet).toBeGreaterThan(0);
    expect(JSON.parse(await readFile(join(cwd, "board", "compare.json"), "utf8"))).toMatchObject({
      features: first,
    });
    expect((await board(first)).heard).toEqual(["earlier"]);

    const two = await board(second);
    expect(two.heard).toEqual([
      "gan: was measured in other features, whose numbers do not compare; it is measured again",
      "finished",
    ]);
    expect(two.row.distances.frechet).not.toBe(one.row.distances.frechet);
    expect(two.control?.frechet).not.toBe(one.control?.frechet);
    expect([two.row.steps, two.row.trainingSeconds]).toEqual([one.row.steps, one.row.trainingSeconds]);

    const pixels = await board();
    expect(pixels.measure?.key).toBe("energy");
    expect(pixels.row.distances).not.toHaveProperty("frechet");
    expect(pixels.row.distances.energy).toBe(one.row.distances.energy);
  });

  it("is refused before any training where they are no features of images", async () => {
    const table = await encoder("table", 0, "rows.csv");
    const models = [{ model: "gan" }];
    await expect(compare({ ...request(table), models, out: join(cwd, "none") })).rejects.toThrow(
      /option features: .*table is of table data, not of images in bytes/,
    );
    const rows = { data: join(cwd, "rows.csv"), models, out: join(cwd, "none"), steps: 1 };
    await expect(compare({ ...rows, features: join(cwd, "first") })).rejects.toThrow(
      /option features: rows is table data, whose samples are compared as they are; leave it out/,
    );
    await expect(compare({ ...rows, features: join(cwd, "nowhere") })).rejects.toThrow(/nowhere/);
  });
});
