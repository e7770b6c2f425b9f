import type { Command } from "commander";
import { z } from "zod";
import { models } from "../../catalog/models.ts";
import { print, printJson, showTable } from "../format.ts";

export function configure(command: Command): void {
  command.option("--json", "print names, papers, abilities and options as JSON");
  command.action(({ json }: { json?: boolean }) => {
    const list = [...models.values()];
    if (json) {
      printJson(
        list.map(({ name, summary, paper, dataKinds, can, options }) => ({
          name,
          summary,
          paper,
          dataKinds,
          can: ["fit", ...can],
          options: z.toJSONSchema(options, { io: "input", unrepresentable: "any" }),
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
