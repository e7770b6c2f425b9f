import { serveReplica } from "../../train/replicas.node.ts";
import { resolveRun } from "./prepare.node.ts";
import type { SentData } from "./request.ts";

// The thread of a replica: it computes the gradient of its share of each batch. What the fit that started it was trusted with, it is.
await serveReplica(async (config, data: SentData) => (await resolveRun(config, "", data, true)).subject);
