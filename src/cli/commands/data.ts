import type { Command } from "commander";
import { parseOptions } from "../../catalog/models.ts";
import { dataCatalog } from "../../data/catalog.ts";
import { openData } from "../../data/open.node.ts";
import { dataOptionsSchema } from "../../data/options.ts";
import { print, printJson, showTable } from "../format.ts";
import { addSchemaOptions } from "../options.ts";

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
      print("\nalso: a folder of images, a .csv, .parquet or .json file, or a query beginning with select");
      return;
    }
    const data = await openData(name ?? "", parseOptions("data", dataOptionsSchema, flags));
    if (json) {
      const { kind, sampleShape, columns, classes, fingerprint, splits } = data;
      const counts = Object.fromEntries(Object.entries(splits).map(([split, { count }]) => [split, count]));
      return printJson({ name: data.name, kind, sampleShape, columns, classes, fingerprint, splits: counts });
    }
    for (const line of data.describe()) print(line);
  });
}
