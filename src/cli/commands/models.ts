import type { Command } from "commander";
import type { Purpose } from "../../model/definition.ts";
import { print, printLine, WIDTH, wrapped } from "../format.ts";
import { MODEL_LIST } from "../model-list.ts";

/** What one may want of a model, in the order in which it is listed. */
const TITLES: Readonly<Record<Purpose, string>> = {
  find: "find objects in photos (eidos detect)",
  score: "score rows and images by exact log-likelihoods (eidos score); all of them draw samples too",
  draw: "draw samples (eidos sample)",
  embed: "embed: features of images, rows and points without labels (eidos embed, probe, neighbours)",
};

function printList(): void {
  const name = Math.max(...MODEL_LIST.map((model) => model.name.length)) + 2;
  for (const [purpose, title] of Object.entries(TITLES)) {
    const members = MODEL_LIST.filter((model) => model.purpose === purpose);
    if (members.length === 0) continue;
    printLine(`To ${title}`);
    for (const { name: model, summary, dataKinds } of members) {
      const kinds = dataKinds.filter((kind) => kind !== "detection");
      const text = kinds.length === 0 ? summary : `${summary} (${kinds.join(", ")})`;
      const lines = wrapped(text, WIDTH - name - 2);
      for (const [i, line] of lines.entries()) printLine(`  ${(i === 0 ? model : "").padEnd(name)}${line}`);
    }
    print("");
  }
  print("eidos models NAME shows one with its options; eidos fit NAME --help how to fit it");
}

export function configure(command: Command): void {
  command.option("--json", "print names, papers, abilities and options as JSON");
  command.option("--quiet", "show no progress");
  command.action(async (name: string | undefined, { json = false }: { json?: boolean }) => {
    if (name === undefined && !json) {
      printList();
      return;
    }
    const { printModelsJson, showModel } = await import("../model-details.ts");
    if (name === undefined) printModelsJson();
    else showModel(name, json);
  });
}
