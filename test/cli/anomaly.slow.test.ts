import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Random } from "../../src/random.ts";
import { temporaryFolder } from "../support.ts";
import { readCsv, refused, succeed } from "./support.ts";

let cwd: string;
const NORMAL = "select * exclude anomaly from data where anomaly = 0";
const SMALL = [
  "--width",
  "16",
  "--batch-size",
  "64",
  "--sample-pictures",
  "0",
  "--report",
  "none",
  "--quiet",
];

/** 600 rows near a line; every twentieth lies off it. */
function rowsNearLine(): readonly (readonly number[])[] {
  const random = new Random(3);
  return Array.from({ length: 600 }, (_, i) => {
    const anomaly = i % 20 === 7 ? 1 : 0;
    const x = 10 * random.normal();
    return [x, 2 * x + random.normal() + 12 * anomaly * (random.uniform() < 0.5 ? -1 : 1), anomaly];
  });
}

async function writeRows(name: string, head: string, rows: readonly (readonly (string | number)[])[]) {
  await writeFile(join(cwd, name), `${head}\n${rows.map((row) => row.join()).join("\n")}\n`);
}

/** AUROC by counting every pair. */
function countedArea(scores: readonly number[], labels: readonly number[]): number {
  let [right, pairs] = [0, 0];
  for (const [i, a] of scores.entries()) {
    for (const [j, b] of scores.entries()) {
      if (labels[i] !== 1 || labels[j] !== 0) continue;
      pairs++;
      right += a > b ? 1 : a === b ? 0.5 : 0;
    }
  }
  return right / pairs;
}

const rows = rowsNearLine();
const labels = rows.map(([, , anomaly]) => anomaly ?? 0);

beforeAll(async () => {
  cwd = await temporaryFolder();
  await writeRows("sensor.csv", "x,y,anomaly", rows);
  await writeRows(
    "kinds.csv",
    "x,kind",
    rows.map(([x = 0], i) => [i % 3 === 0 ? x : x / 10 + 30, i % 3 === 0 ? "a" : "b"]),
  );
  await Promise.all([
    succeed(["fit", "nice", "sensor.csv", "--sql", NORMAL, ...SMALL, "--steps", "150", "--out", "n"], cwd),
    succeed(
      [
        ...["fit", "real-nvp", "kinds.csv", "--label", "kind", "--conditional", ...SMALL],
        ...["--sql", "select x, x * 0.5 + x % 3 as copy, kind from data"],
        ...["--steps", "20", "--out", "c"],
      ],
      cwd,
    ),
  ]);
});

describe("score --anomaly", () => {
  test("ranks rows, most unusual first, and evaluates the ranking by a column the run has not seen", async () => {
    const { stdout } = await succeed(
      ["score", "n", "sensor.csv", "--anomaly", "--top", "3", "--out", "r.csv"],
      cwd,
    );
    const { names, rows: ranked } = await readCsv(join(cwd, "r.csv"));
    expect(names).toEqual(["row", "anomalyScore", "rank", "why"]);
    const why = ranked.map((cells) => cells[3]);
    expect(why[0]).toMatch(/^"?[xy] -?[\d.e-]+ \(\+[\d.]+ nats; -?[\d.e-]+ would be usual\)/);
    expect(why.slice(3).every((text) => text === "" || text === null)).toBe(true);
    expect(ranked.map(([, , rank]) => Number(rank))).toEqual(rows.map((_, i) => i + 1));
    expect(ranked.map(([row]) => Number(row)).sort((a, b) => a - b)).toEqual(rows.map((_, i) => i));
    const scores = ranked.map(([, score]) => Number(score));
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    const places = ranked.map(([row]) => Number(row));
    const area = countedArea(
      scores,
      places.map((place) => labels[place] ?? 0),
    );
    expect(area).toBeGreaterThan(0.95);
    const printed = /AUROC\) ([\d.]+), average precision ([\d.]+)/.exec(stdout);
    expect(Number(printed?.[1])).toBeCloseTo(area, 4);
    expect(stdout).toMatch(/600 rows, of which 30 are anomalies by the column anomaly/);
    expect(
      stdout
        .split("\n")
        .slice(0, 5)
        .map((line) => line.split(/\s+/)[0]),
    ).toEqual(["row", ...places.slice(0, 3).map(String), ""]);
  });

  test("gives the same as JSON, with scores that are the negatives of score's", async () => {
    await succeed(["score", "n", "sensor.csv", "--out", "s.csv"], cwd);
    const plain = (await readCsv(join(cwd, "s.csv"))).rows.map(([, value]) => Number(value));
    const args = ["score", "n", "sensor.csv", "--anomaly", "--json", "--top", "600"];
    const { top, measures, count } = JSON.parse((await succeed(args, cwd)).stdout);
    expect(count).toBe(600);
    for (const { row, anomalyScore } of top) expect(anomalyScore).toBe(-(plain[row] ?? 0));
    expect(measures).toMatchObject({ column: "anomaly", anomalies: 30 });
    const scores = plain.map((value) => -value);
    expect(measures.areaUnderRoc).toBeCloseTo(countedArea(scores, labels), 12);
  });

  test("takes another column of zeros and ones by name, and none where there is none", async () => {
    await writeRows(
      "fault.csv",
      "x,y,fault,label",
      rows.map(([x = 0, y = 0, anomaly = 0]) => [x, y, anomaly, anomaly === 1 ? "bad" : "good"]),
    );
    const named = await succeed(["score", "n", "fault.csv", "--anomaly", "--label", "fault"], cwd);
    expect(named.stdout).toMatch(/30 are anomalies by the column fault; .*AUROC/);
    // A column `label` that holds texts is not taken for labels.
    const plain = await succeed(["score", "n", "fault.csv", "--anomaly"], cwd);
    expect(plain.stdout).toMatch(/fault\.csv: 600 rows\n$/);
    const onlyNormal = `select x, y, fault from '${join(cwd, "fault.csv")}' where fault = 0`;
    const one = await succeed(["score", "n", onlyNormal, "--anomaly", "--label", "fault"], cwd);
    expect(one.stdout).toMatch(
      /of which 0 are anomalies by the column fault; a ranking is evaluated where there are both/,
    );
  });

  test("names file, column and row of a label that is neither 0 nor 1", async () => {
    await writeRows(
      "odd.csv",
      "x,y,anomaly",
      rows.map(([x = 0, y = 0, anomaly = 0], i) => [x, y, i === 411 ? 2 : anomaly]),
    );
    const odd = ["score", "n", "odd.csv", "--anomaly", "--label"];
    expect(await refused([...odd, "anomaly"], cwd)).toMatch(
      /odd\.csv: column "anomaly", row 412: 2 is neither 0 nor 1/,
    );
    expect(await refused([...odd, "fualt"], cwd)).toMatch(/odd\.csv: there is no column "fualt"/);
    expect(await refused(["score", "n", "sensor.csv", "--label", "anomaly"], cwd)).toMatch(/add --anomaly/);
    expect(await refused(["score", "n", "--anomaly", "--label", "anomaly"], cwd)).toMatch(/is no table/);
  });
});

describe("score of a class-conditional model", () => {
  test("is log p(x) by default and log p(x | class) by --conditional: the mixture of the classes by their shares", async () => {
    const query = (kind: string) =>
      `select x, x * 0.5 + x % 3 as copy, ${kind} as kind from '${join(cwd, "kinds.csv")}' limit 100`;
    const scores = async (kind: string, ...flags: string[]) => {
      await succeed(["score", "c", query(kind), ...flags, "--out", "k.csv"], cwd);
      return (await readCsv(join(cwd, "k.csv"))).rows.map(([, value]) => Number(value));
    };
    const a = await scores("'a'", "--conditional");
    const b = await scores("'b'", "--conditional");
    const own = await scores("kind", "--conditional");
    const mixture = await scores("kind");
    const { classShares } = JSON.parse(await readFile(join(cwd, "c", "config.json"), "utf8")).dataInfo;
    for (const [i, value] of mixture.entries()) {
      expect(own[i]).toBeCloseTo((i % 3 === 0 ? a[i] : b[i]) ?? 0, 4);
      const top = Math.max(a[i] ?? 0, b[i] ?? 0);
      const sum = classShares[0] * Math.exp((a[i] ?? 0) - top) + classShares[1] * Math.exp((b[i] ?? 0) - top);
      expect(value).toBeCloseTo(top + Math.log(sum), 3);
    }
    expect(await refused(["score", "c", query("'z'"), "--conditional"], cwd)).toMatch(
      /query: column "kind", row 1: the class "z" was not there in training \(a, b\)/,
    );
    expect(await refused(["score", "n", "sensor.csv", "--conditional"], cwd)).toMatch(
      /fitted without classes/,
    );
  });
});
