import { readFile, writeFile } from "node:fs/promises";
import { z } from "zod";
import { type PlotSpec, renderSvg } from "../src/report/index.ts";

// Draws what the acceptance runs of detectors have come to, for the pages of docs/detection:
//
//     npx tsx scripts/acceptance-plots.ts

const tables = z.record(z.string(), z.object({ rows: z.array(z.record(z.string(), z.string())).readonly() }));

async function rowsOf(name: string, prefix: string): Promise<readonly Readonly<Record<string, string>>[]> {
  const all = tables.parse(JSON.parse(await readFile(`bench/ACCEPTANCE-${name}.json`, "utf8")));
  return Object.entries(all).flatMap(([entry, { rows }]) => (entry.startsWith(prefix) ? rows : []));
}

async function draw(file: string, spec: PlotSpec): Promise<void> {
  await writeFile(`docs/images/${file}`, await renderSvg(spec));
  console.log(`docs/images/${file}`);
}

const steps = (await rowsOf("SCALES", "scales-steps-")).map(({ detector = "", ...row }) => ({
  ...row,
  detector: detector.replace("the same,", "one map, trained at 1, 1.5, 2,"),
}));
const names = [...new Set(steps.map(({ detector }) => detector))];
await draw("ways-to-scale.svg", {
  data: {
    values: steps.flatMap(({ detector, small, medium }: Readonly<Record<string, string>>) => [
      { detector, ap: Number(small), size: "small digits" },
      { detector, ap: Number(medium), size: "medium digits" },
    ]),
  },
  width: 380,
  height: 24 * names.length,
  mark: { type: "point", filled: true, size: 50, opacity: 0.8 },
  encoding: {
    x: { field: "ap", type: "quantitative", title: "AP", scale: { domain: [0, 0.8] } },
    y: { field: "detector", type: "nominal", title: null, sort: names, axis: { labelLimit: 0, grid: true } },
    color: { field: "size", type: "nominal", sort: ["small digits", "medium digits"] },
  },
});

const begun = await rowsOf("WEIGHTS", "weights-bccd-");
await draw("pretrained-cells.svg", {
  data: { values: begun.map(({ begins, AP50 }) => ({ begins, ap: Number(AP50) })) },
  width: 380,
  height: 90,
  mark: { type: "point", filled: true, size: 60, opacity: 0.8 },
  encoding: {
    x: { field: "ap", type: "quantitative", title: "AP50", scale: { domain: [0.55, 0.9] } },
    y: {
      field: "begins",
      type: "nominal",
      title: null,
      sort: "-x",
      axis: { labelLimit: 0, grid: true },
    },
  },
});
