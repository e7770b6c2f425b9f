import type { Command } from "commander";
import { summariseData } from "../../catalog/data-summary.ts";
import { parseOptions } from "../../catalog/options.ts";
import { dataCatalog } from "../../data/catalog.ts";
import { openData } from "../../data/open.node.ts";
import { dataOptionsSchema } from "../../data/options.ts";
import { print, printJson, showTable } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";

/** Categories listed for a column. */
const LISTED = 12;

async function lookAt(
  name: string,
  options: Readonly<Record<string, unknown>>,
  json: boolean,
): Promise<void> {
  const data = await openData(name, parseOptions("data", dataOptionsSchema, options));
  const { numbers, categories } = summariseData(data);
  if (json) {
    const { kind, sampleShape, columns, classes, fingerprint, splits } = data;
    const counts = Object.fromEntries(Object.entries(splits).map(([split, { count }]) => [split, count]));
    const summary = { numbers, categories };
    printJson({ name: data.name, kind, sampleShape, columns, classes, fingerprint, splits: counts, summary });
    return;
  }
  for (const line of data.describe()) print(line);
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
  for (const { name, counts } of categories) {
    const shown = counts.slice(0, LISTED).map(({ category, count }) => `${category} (${count})`);
    const more = counts.length > LISTED ? `, and ${counts.length - LISTED} more` : "";
    print(`${name}: ${shown.join(", ")}${more}`);
  }
}

export function configure(command: Command): void {
  command.option("--json", "print as JSON");
  addSchemaOptions(command, "Data", dataOptionsSchema);
  command.action(async (name: string | undefined, { json, ...flags }: Record<string, unknown>) => {
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
        "\nalso: a folder of images, a .csv, .parquet or .json file, or a query beginning with select\neidos data NAME looks at one",
      );
      return;
    }
    await lookAt(name ?? "", flagValues(flags, [dataOptionsSchema]), json === true);
  });
}
