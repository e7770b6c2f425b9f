import type { RunConfig } from "../src/train/run-config.ts";
import type { ResolvedRun } from "../src/train/worker-protocol.node.ts";
import { subjectOf } from "./eidos-works.ts";

/** What replicas import: the model and the data of a training step of the bench. */
export async function resolveRun(config: RunConfig): Promise<ResolvedRun> {
  const { model, data } = subjectOf(config.model);
  return { model, data };
}
