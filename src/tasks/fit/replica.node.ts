import { serveReplica } from "../../train/replicas.node.ts";
import { resolveRun } from "./prepare.node.ts";

// The thread of a replica: it computes the gradient of its share of each batch.
await serveReplica(resolveRun);
