import type { Command } from "commander";
import { z } from "zod";
import { models } from "../../catalog.ts";
import { abilities } from "../../model/definition.ts";
import { print, printJson, showTable } from "../format.ts";

const toJson = (schema: z.ZodType) => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });

export function configure(command: Command): void {
  command.option("--json", "print names, papers, abilities and options as JSON");
  command.action(({ json }: { json?: boolean }) => {
    const list = [...models.values()];
    if (json) {
      printJson(
        list.map((definition) => ({
          name: definition.name,
          summary: definition.summary,
          paper: definition.paper,
          dataKinds: definition.dataKinds,
          can: abilities(definition),
          options: toJson(definition.options),
          ...(definition.sampleOptions !== undefined && { sampleOptions: toJson(definition.sampleOptions) }),
        })),
      );
      return;
    }
    const rows = list.map((definition) => [
      definition.name,
      definition.dataKinds.join(" "),
      abilities(definition).slice(1).join(" "),
      definition.summary,
    ]);
    print(showTable(["model", "data", "can", "what it is"], rows));
    print("\neidos fit MODEL --help lists a model's options");
  });
}
