import type { Command } from "commander";
import { z } from "zod";
import { models } from "../../catalog/models.ts";
import { print, printJson, showTable } from "../format.ts";

const toJson = (schema: z.ZodType) => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });

export function configure(command: Command): void {
  command.option("--json", "print names, papers, abilities and options as JSON");
  command.action(({ json }: { json?: boolean }) => {
    const list = [...models.values()];
    if (json) {
      printJson(
        list.map(({ name, summary, paper, dataKinds, can, options, sampleOptions }) => ({
          name,
          summary,
          paper,
          dataKinds,
          can: ["fit", ...can],
          options: toJson(options),
          ...(sampleOptions !== undefined && { sampleOptions: toJson(sampleOptions) }),
        })),
      );
      return;
    }
    const rows = list.map(({ name, dataKinds, can, summary }) => [
      name,
      dataKinds.join(" "),
      can.join(" "),
      summary,
    ]);
    print(showTable(["model", "data", "can", "what it is"], rows));
    print("\neidos fit MODEL --help lists a model's options");
  });
}
