import type { Command } from "commander";
import { detectionStatistics } from "../../data/boxes/statistics.ts";
import { dataCatalog } from "../../data/catalog.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { isDetectionData, openData, openDetection, openProfile } from "../../data/open.node.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { encodeSchema } from "../../data/table/columns/declare.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import type { BitSummary, CategorySummary } from "../../tasks/measure/data.node.ts";
import { summarizeData } from "../../tasks/measure/data.node.ts";
import { printColumns } from "../column-summary.ts";
import { printStatistics } from "../detection-summary.ts";
import { print, printJson, printLine, showNumber, showTable } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { WorkDisplay } from "../progress.ts";

/** Categories listed for a column. */
const LISTED = 12;

function printBits({ ones, perSample, columns }: BitSummary): void {
  const { minimum, mean, maximum } = perSample;
  printLine(
    `ones: ${showNumber(100 * ones)} % of all values; ${minimum} to ${maximum} in a sample, ${showNumber(mean)} on average`,
  );
  const list = (entries: BitSummary["columns"]) =>
    entries.map(({ name, ones }) => `${name} (${ones.toFixed(3)})`).join(", ");
  if (columns.length <= 2 * LISTED) {
    if (columns.length > 0) printLine(`share of ones in each column: ${list(columns)}`);
    return;
  }
  printLine(`most often one: ${list(columns.slice(0, LISTED))}`);
  printLine(`least often one: ${list(columns.slice(-LISTED))}`);
}

/** Looks at images with boxes, of which the command takes the options of the split and of depth alone. */
async function lookAtDetections(
  name: string,
  options: Readonly<Record<string, unknown>>,
  json: boolean,
): Promise<void> {
  const { splitSeed, validation, test, followLinks, bits, valueRange } = parseOptions(
    "data",
    dataOptionsSchema,
    options,
  );
  const set = await openDetection(name, { splitSeed, validation, test, followLinks, bits, valueRange });
  const statistics = detectionStatistics(set);
  if (json) {
    const { classes, fingerprint } = set;
    printJson({ name: set.name, kind: "detection", classes, fingerprint, summary: statistics });
    return;
  }
  for (const line of set.describe()) printLine(line);
  printStatistics(set, statistics);
  print("");
  printLine(`eidos inspect ${name} lists faults and draws some of the images with their boxes`);
}

async function lookAt(
  name: string,
  options: Readonly<Record<string, unknown>>,
  json: boolean,
  schemaOut: string | undefined,
  quiet: boolean,
): Promise<void> {
  const parsed = parseOptions("data", dataOptionsSchema, options);
  const profile = await openProfile(name, parsed);
  if (profile !== undefined && schemaOut !== undefined) {
    await writeFileAtomic(schemaOut, encodeSchema(profile.columns.map(({ column }) => column)));
  }
  if (profile === undefined && schemaOut !== undefined) {
    throw new OptionError("option schema-out: a schema is of a table, which this data is not");
  }
  if (profile !== undefined && !json) {
    printColumns(profile);
    print("");
    if (schemaOut !== undefined) printLine(`schema: ${schemaOut}`);
  }
  const display = new WorkDisplay(quiet);
  const data = await openData(name, parsed, {
    onDecoding: ({ done, total }) => display.show("decoding images", done / total),
  });
  display.end();
  if (profile !== undefined && !json) {
    const { train, validation, test } = data.splits;
    printLine(`${train.count} training, ${validation.count} validation and ${test.count} test samples`);
    if (data.classes !== undefined) {
      const [summary] = summarizeData(data).categories.filter(({ name }) => name === "class");
      if (summary !== undefined) printCategories(summary);
    }
    return;
  }
  const summary = summarizeData(data);
  const { numbers, categories, bits } = summary;
  if (json) {
    const { kind, sampleShape, columns, binarization, classes, fingerprint, splits } = data;
    const counts = Object.fromEntries(Object.entries(splits).map(([split, { count }]) => [split, count]));
    const facts = { name: data.name, kind, sampleShape, columns, binarization, classes, fingerprint };
    printJson({ ...facts, splits: counts, summary, ...(profile !== undefined && { table: profile }) });
    return;
  }
  for (const line of data.describe()) printLine(line);
  print("\nin the training split:");
  if (numbers.length > 0) {
    const rows = numbers.map(({ name, minimum, mean, deviation, maximum }) => [
      name,
      minimum,
      mean,
      deviation,
      maximum,
    ]);
    print(showTable(["", "minimum", "mean", "deviation", "maximum"], rows));
  }
  if (bits !== undefined) printBits(bits);
  for (const summary of categories) printCategories(summary);
}

function printCategories({ name, counts }: CategorySummary): void {
  const shown = counts.slice(0, LISTED).map(({ category, count }) => `${category} (${count})`);
  const more = counts.length > LISTED ? `, and ${counts.length - LISTED} more` : "";
  printLine(`${name}: ${shown.join(", ")}${more}`);
}

export function configure(command: Command): void {
  command.option("--json", "print as JSON");
  command.option("--quiet", "show no progress");
  command.option(
    "--schema-out <file>",
    "write what the columns of a table are, to be edited and given as --schema",
  );
  addSchemaOptions(command, "Data", dataOptionsSchema);
  command.action(
    async (name: string | undefined, { json, quiet, schemaOut, ...flags }: Record<string, unknown>) => {
      if (name === undefined && flags.sql === undefined) {
        if (json) return printJson(dataCatalog);
        const rows = dataCatalog.map((data) => [
          data.name,
          data.kind,
          `[${data.sampleShape.join(", ")}]`,
          data.description,
        ]);
        print(showTable(["data", "kind", "a sample", "what it is"], rows));
        print(
          "\nalso: a folder of images (with boxes in VOC's, COCO's, YOLO's, Create ML's or WIDER FACE's format or CSV, for detectors), a .csv, .parquet or .json file, a folder with such files train, validation and test, or a\nquery beginning with select; --binary reads tables as zeros and ones, and makes zeros and ones of images\neidos data NAME looks at one",
        );
        return;
      }
      const options = flagValues(flags, [dataOptionsSchema]);
      const { followLinks } = parseOptions("data", dataOptionsSchema, options);
      if (name !== undefined && flags.sql === undefined && (await isDetectionData(name, { followLinks }))) {
        await lookAtDetections(name, options, json === true);
      } else {
        const schema = typeof schemaOut === "string" ? schemaOut : undefined;
        await lookAt(name ?? "", options, json === true, schema, quiet === true);
      }
    },
  );
}
