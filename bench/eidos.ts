import { parseArgs } from "node:util";
import { version } from "../src/version.ts";
import { eidosWorks } from "./eidos-works.ts";
import { serve } from "./serve.ts";

// The contender eidos: one session with so many threads, or replicas of one thread each.

const { values } = parseArgs({
  options: { threads: { type: "string" }, replicas: { type: "string" } },
});
const replicas = Number(values.replicas ?? 1);
const threads = replicas > 1 ? 1 : Number(values.threads ?? 1);
await serve({ version, works: eidosWorks({ replicas, threads }) });
