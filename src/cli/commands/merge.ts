import type { Command } from "commander";
import { z } from "zod";
import { checkCanMake } from "../../data/files/files.node.ts";
import { counted } from "../../memory.ts";
import { parseOptions } from "../../options.ts";
import { mergeShards } from "../../tasks/use/merge.node.ts";
import { printOutcome, showing } from "../flags.ts";
import { printNote } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";

const flags = z.strictObject({
  out: z
    .string()
    .min(1)
    .optional()
    .describe(
      "file to write, with the extension of the parts (detections: none, they are merged in their folder)",
    ),
  ...showing,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Merging", flags);
  command.addHelpText(
    "after",
    "\nFOLDER is what sample, score, embed, impute or detect with --shard has written into. All parts must be there. The result is what one process would\nhave written; the parts stay.\n\nExamples:\n  eidos score runs/wine wine.parquet --out scores.parquet --shard 0/2\n  eidos score runs/wine wine.parquet --out scores.parquet --shard 1/2\n  eidos merge scores.parquet --out all.parquet",
  );
  command.action(async (folder: string, given: Readonly<Record<string, unknown>>) => {
    const { out, json } = parseOptions("merge", flags, flagValues(given, [flags]));
    if (out !== undefined) await checkCanMake(out, "write");
    const { path, parts, rows, images, notes } = await mergeShards(folder, out);
    for (const note of notes) printNote(note);
    const what =
      rows !== undefined
        ? `, ${counted(rows, "row")}`
        : images !== undefined
          ? `, ${counted(images, "image")}`
          : "";
    printOutcome(json, `${counted(parts, "part")}${what}: ${path}`, {
      out: path,
      parts,
      ...(rows !== undefined && { rows }),
      ...(images !== undefined && { images }),
      notes,
    });
  });
}
