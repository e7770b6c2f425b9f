import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ServiceError } from "../../errors.ts";
import type { AskedExport, ExportedRun } from "./answers.node.ts";
import type { FromExport, ToExport } from "./export-process.node.ts";

/** Exports that the page has asked for: one at a time, each in a process of its own. */
export class StudioExports {
  private running: ChildProcess | undefined;

  /**
   * Writes the model of a run into its folder, as `eidos export` does.
   * @throws ServiceError 409 while another one is being written; 422 with the reason why it cannot be
   */
  run(folder: string, asked: AskedExport): Promise<ExportedRun> {
    if (this.running !== undefined) {
      throw new ServiceError("another run is being exported; wait until that is done", { status: 409 });
    }
    const isSource = import.meta.url.endsWith(".ts");
    const entry = new URL(
      isSource ? "./export-process.node.ts" : "./export-process.node.js",
      import.meta.url,
    );
    const child = fork(fileURLToPath(entry), [], {
      execArgv: isSource ? ["--import", import.meta.resolve("tsx")] : [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.running = child;
    const failed = (message: string): ServiceError => new ServiceError(message, { status: 422 });
    return new Promise<ExportedRun>((resolve, reject) => {
      child.on("message", (answer: FromExport) => {
        if (answer.kind === "done") resolve(answer.exported);
        else reject(failed(answer.error));
      });
      child.once("error", ({ message }) => reject(failed(message)));
      child.once("exit", (code, signal) =>
        reject(failed(`its process ended with ${signal ?? `code ${code}`}`)),
      );
      const task: ToExport = { ...asked, folder };
      child.send(task, () => undefined);
    }).finally(() => {
      this.running = undefined;
    });
  }

  /** Ends the export that is being written. What it has written so far stays. */
  async close(): Promise<void> {
    const child = this.running;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.kill();
    });
  }
}
