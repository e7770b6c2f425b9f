import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { Random } from "../src/random.ts";

// Makes three tables such as people have them, with dates, gaps, whole numbers, categories, keys and prices:  npx tsx scripts/people-tables.ts FOLDER
// They are drawn from known distributions by a seed, so that tests know what models should find; nothing of them is a real person's.

const at = <T>(values: readonly T[], share: number): T =>
  values[Math.min(values.length - 1, Math.floor(share * values.length))] as T;

const day = (base: string, days: number): Date =>
  new Date(Date.parse(`${base}T00:00:00Z`) + 86_400_000 * Math.floor(days));
const iso = (date: Date): string => date.toISOString().slice(0, 10);
const local = (date: Date): string => iso(date).split("-").toReversed().join("/");

/** A number of a Poisson distribution (Knuth). */
function poisson(random: Random, mean: number): number {
  const limit = Math.exp(-mean);
  let [count, product] = [0, random.uniform()];
  while (product > limit) {
    count++;
    product *= random.uniform();
  }
  return count;
}

/** Stays in a hospital: admission before discharge, age in whole years, costs in cents that follow from the days, a ward with rare levels. */
function stays(rows: number, random: Random): string {
  const lines = Array.from({ length: rows }, (_, i) => {
    const age = Math.min(101, Math.max(0, Math.round(55 + 20 * random.normal())));
    const ward = random.uniform() < 0.02 ? "burns" : at(["surgery", "medicine", "heart"], random.uniform());
    const days = 1 + poisson(random, ward === "surgery" ? 4 : 2 + age / 30);
    const admission = day("2019-01-01", 1400 * random.uniform());
    const cost = (600 * days + (ward === "heart" ? 2500 : 400)) * Math.exp(0.15 * random.normal());
    const smoker = random.uniform() < 0.25 ? "" : random.uniform() < 0.2 ? "yes" : "no";
    return [
      `P${String(100_000 + 7 * i)}`,
      age,
      smoker,
      ward,
      iso(admission),
      iso(day(iso(admission), days)),
      random.uniform() < 0.08 ? "" : cost.toFixed(2),
    ].join();
  });
  return ["patient,age,smoker,ward,admission,discharge,cost", ...lines].join("\n");
}

/** Orders of a shop, with semicolons, decimal commas, local dates and a discount that most have not. */
function orders(rows: number, random: Random): string {
  const money = (value: number): string => value.toFixed(2).replace(".", ",");
  const lines = Array.from({ length: rows }, (_, i) => {
    const product = at(["bread", "cake", "coffee", "tea", "tea"], random.uniform());
    const price = { bread: 3.2, cake: 18.5, coffee: 7.9, tea: 4.4 }[product] ?? 1;
    const pieces = 1 + poisson(random, product === "cake" ? 0.3 : 2);
    const discount =
      random.uniform() < 0.7 ? "" : money(Math.round(price * pieces * random.uniform() * 20) / 100);
    const ordered = day("2023-02-01", 365 * random.uniform());
    const channel = random.uniform() < 0.1 ? "NA" : at(["shop", "web"], random.uniform() ** 1.5);
    return [i + 1, local(ordered), product, pieces, money(price * pieces), discount, channel].join(";");
  });
  return ["order id;date;product;pieces;total;discount;channel", ...lines].join("\n");
}

/** Readings of sensors by the minute: times, a temperature with a daily course, a humidity that is missing in runs, a state of false and true. */
function readings(rows: number, random: Random): string {
  const lines = Array.from({ length: rows }, (_, i) => {
    const minutes = 15 * i;
    const time = new Date(Date.parse("2024-03-01T00:00:00Z") + 60_000 * minutes).toISOString().slice(0, 16);
    const temperature = 12 + 6 * Math.sin((2 * Math.PI * minutes) / 1440) + 0.8 * random.normal();
    const humidity = Math.min(100, Math.max(5, Math.round(95 - 2.5 * temperature + 4 * random.normal())));
    const isMissing = Math.floor(i / 40) % 6 === 5;
    return [
      `"${time.replace("T", " ")}"`,
      temperature.toFixed(1),
      isMissing ? "" : humidity,
      random.uniform() < 0.03 ? "?" : temperature < 8 ? "true" : "false",
      at(["roof", "cellar"], random.uniform()),
    ].join();
  });
  return ["time,temperature,humidity,heating,site", ...lines].join("\n");
}

/** The tables by the names of their files. */
export const PEOPLE_TABLES = { "stays.csv": stays, "orders.csv": orders, "readings.csv": readings } as const;

/** Writes the tables into a folder. @returns their paths */
export async function writePeopleTables(folder: string, rows = 600): Promise<readonly string[]> {
  await mkdir(folder, { recursive: true });
  const paths: string[] = [];
  for (const [name, make] of Object.entries(PEOPLE_TABLES)) {
    const path = join(folder, name);
    await writeFile(path, `${make(rows, new Random(1).split(name))}\n`);
    paths.push(path);
  }
  return paths;
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  const [folder] = argv.slice(2);
  if (folder === undefined) throw new Error("give a folder to write into");
  for (const path of await writePeopleTables(folder)) console.log(path);
}
