import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { EidosError } from "../../errors.ts";
import { openRun } from "../../tasks/open-run.node.ts";
import type { AskedExport, ExportedRun } from "./answers.node.ts";

// The process of one export that the studio's page has asked for: it computes for seconds or minutes, while the studio answers.

/** What the process is told. */
export interface ToExport extends AskedExport {
  /** Path of the run. */
  readonly folder: string;
}

/** What it tells. */
export type FromExport =
  | { readonly kind: "done"; readonly exported: ExportedRun }
  | { readonly kind: "failed"; readonly error: string };

async function exported({ folder, precision, page }: ToExport): Promise<ExportedRun> {
  await using run = await openRun(folder);
  const { path, files = [] } = await run.export(join(folder, "model"), { precision, page });
  return {
    path,
    files: await Promise.all(
      files.map(async (file) => {
        const name = basename(file);
        return { name, bytes: (await stat(join(path, name))).size };
      }),
    ),
  };
}

process.on("message", async (task: ToExport) => {
  let answer: FromExport;
  try {
    answer = { kind: "done", exported: await exported(task) };
  } catch (error) {
    // What is none of eidos's own errors is for its developers.
    if (!(error instanceof EidosError)) console.error(error);
    answer = { kind: "failed", error: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(answer, () => process.disconnect());
});
