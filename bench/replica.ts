import { serveReplica } from "../src/train/replicas.node.ts";
import { subjectOf } from "./eidos-works.ts";

// The thread of a replica of the bench: the model and the data of a training step.
await serveReplica(async ({ model }) => subjectOf(model));
