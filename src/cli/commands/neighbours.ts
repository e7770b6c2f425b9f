import { extname } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { amount, sampleCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { checkExtension, writeForms } from "../../tasks/run/outputs.node.ts";
import { POOLS } from "../../tasks/use/embed.node.ts";
import { FEATURE_DISTANCES } from "../../tasks/use/neighbors.node.ts";
import { print, printJson, printLine, showTable } from "../format.ts";
import { addVerb, csvFlags, csvWriting, printUnreadable, runOptions } from "../verb.ts";

const flags = z.strictObject({
  among: z.string().min(1).optional().describe("folder of images that are looked through, all below it too"),
  count: sampleCount().default(8).describe("neighbors of each image"),
  duplicates: z
    .boolean()
    .default(false)
    .describe("images of the folder that are nearly the same, in place of neighbors of given images"),
  threshold: amount()
    .optional()
    .describe(
      "duplicates: the distance up to which images count as the same (default: cosine 0.1, euclidean 0)",
    ),
  distance: z
    .enum(FEATURE_DISTANCES)
    .default("cosine")
    .describe("between features: 1 − cosine of their angle, or Euclidean"),
  layer: z.string().min(1).default("code").describe("which features: code, local or another layer"),
  pool: z.enum(POOLS).default("none").describe("of maps, every number, or the mean over locations"),
  out: z
    .string()
    .min(1)
    .optional()
    .describe("file to write: .png a picture with a row for each image, or .csv, .parquet a table"),
  ...csvFlags,
  ...runOptions,
  json: z.boolean().default(false).describe("print as JSON"),
});

/** Lines of a table of duplicates that are printed. */
const SHOWN = 50;

export function configure(command: Command): void {
  addVerb(command, {
    name: "neighbours",
    heading: "Neighbours",
    flags,
    help: "Looks at all images of the folder and prints the nearest ones to each of the given images, by the features of the run's model.\n\nExamples:\n  eidos neighbours runs/photos holiday.jpg --among photos --out near.png\n  eidos neighbours runs/photos --among photos --duplicates",
    check({ among, duplicates, threshold, out }, [files]) {
      const given = (files as readonly string[]).length;
      if (among === undefined)
        throw new OptionError("option among: name the folder of images that is looked through");
      if (duplicates && given > 0)
        throw new OptionError("option duplicates: is about the folder alone; name no images");
      if (!duplicates && given === 0) {
        throw new OptionError("neighbours: name images whose neighbors are looked for, or add --duplicates");
      }
      if (!duplicates && threshold !== undefined) {
        throw new OptionError("option threshold: is of duplicates; add --duplicates, or give --count");
      }
      if (out !== undefined)
        checkExtension(out, duplicates ? [".csv", ".parquet"] : [".png", ".csv", ".parquet"]);
    },
    async action({ run, flags: options, operands: [files], display }) {
      const { among = "", count, duplicates, threshold, distance, layer, pool, out, csvSafe, json } = options;
      const unreadable: string[] = [];
      const looking = {
        distance,
        layer,
        pool,
        onUnreadable: (file: string) => void unreadable.push(file),
        onProgress: (done: number) => display.show("looking at images", undefined, `${done} of them done`),
      };
      const writing = csvWriting(csvSafe);
      if (duplicates) {
        const found = await run.duplicates(among, { ...looking, threshold });
        display.end();
        const rows = found.pairs.map(({ a, b, distance: far }) => [a, b, far]);
        if (out !== undefined) {
          await writeForms(out, { table: () => ({ names: ["a", "b", "distance"], rows }) }, writing);
        }
        if (json) return printJson({ ...found, unreadable });
        if (rows.length > 0)
          print(showTable(["image", "nearly the same as", "distance"], rows.slice(0, SHOWN)));
        if (rows.length > SHOWN)
          printLine(`… ${counted(rows.length - SHOWN, "more pair")}; --out writes all`);
        printLine(
          `${among}: ${counted(found.images, "image")}, ${counted(rows.length, "pair")} within the threshold ${found.threshold} (${distance}), in ${counted(found.groups.length, "group")}`,
        );
        return printUnreadable(unreadable);
      }
      const found = await run.neighbors(files as readonly string[], among, { ...looking, count });
      display.end();
      const rows = found.flatMap(({ query, neighbors }) =>
        neighbors.map(({ file, distance: far }, i) => [query, i + 1, file, far]),
      );
      if (out !== undefined) {
        if (extname(out).toLowerCase() === ".png") {
          const picture = await run.neighborPicture(among, found);
          await writeForms(out, { raster: () => picture });
        } else {
          const names = ["query", "rank", "file", "distance"];
          await writeForms(out, { table: () => ({ names, rows }) }, writing);
        }
      }
      if (json) return printJson({ run: run.folder, among, distance, found, unreadable });
      if (rows.length > 0) print(showTable(["image", "rank", "neighbor", `${distance} distance`], rows));
      const fewest = found.reduce((least, { neighbors }) => Math.min(least, neighbors.length), count);
      if (fewest < count) {
        printLine(
          `${among}: has ${counted(fewest, "image")} beside the one that is looked for, fewer than the ${count} neighbors that were asked for`,
        );
      }
      if (out !== undefined) printLine(`written: ${out}`);
      printUnreadable(unreadable);
    },
  });
}
