import { z } from "zod";
import { amount, MOST, text, threadCount } from "../bounds.ts";

const megabytes = z.number().positive().max(MOST.amount);

/** Options of the server, as the command and `serve` take them. */
export const serveOptions = z.strictObject({
  host: text()
    .min(1)
    .default("127.0.0.1")
    .describe("address to listen on; 0.0.0.0 for all of this machine, which others can then reach"),
  port: z.int().min(0).max(65_535).default(8000).describe("port to listen on; 0 for any free one"),
  token: text().optional().describe("clients must send this text as Authorization: Bearer …"),
  tokenFile: text().optional().describe("a file that holds the token, so that no list of processes shows it"),
  tlsCert: text().optional().describe("file of the certificate chain (PEM), for https"),
  tlsKey: text().optional().describe("file of the private key (PEM), for https"),
  cors: z
    .array(text())
    .max(MOST.list)
    .default([])
    .describe("origins whose pages may read answers, such as https://example.org; * for all"),
  workers: threadCount()
    .optional()
    .describe("processes that compute, each with all models in memory (default: one a core)"),
  threads: threadCount().optional().describe("threads inside one operation (default: cores / workers)"),
  maxBatch: z.int().min(1).max(MOST.list).default(32).describe("most requests that are computed together"),
  batchWindow: amount()
    .default(0)
    .describe(
      "milliseconds that a request waits for others to be computed together with though a worker is free; those that come while all are busy are computed together in any case",
    ),
  queue: z
    .int()
    .min(1)
    .max(MOST.amount)
    .default(256)
    .describe("most requests that wait; those beyond are refused with 503"),
  queueSize: megabytes
    .default(512)
    .describe(
      "megabytes of all requests together that wait or are computed; those beyond are refused with 503",
    ),
  timeout: z
    .number()
    .positive()
    .max(86_400)
    .default(30)
    .describe("seconds after which a request is given up; a client may ask for fewer"),
  bodyLimit: megabytes.default(32).describe("megabytes of one request at most"),
  pixelLimit: z
    .int()
    .min(1)
    .max(268_000_000)
    .default(50_000_000)
    .describe("images of more pixels are refused before they are decoded"),
  maxRows: z.int().min(1).max(MOST.amount).default(10_000).describe("most rows or images of one request"),
  maxSamples: z
    .int()
    .min(1)
    .max(MOST.samples)
    .default(1024)
    .describe("most samples of one request; most draws of one request that imputes are ten times as many"),
  reload: amount()
    .default(5)
    .describe("seconds between looks for new weights in the run folders; 0 for never"),
  drain: amount().default(30).describe("seconds that requests have to end once the server is stopped"),
  weights: z
    .enum(["best", "last"])
    .optional()
    .describe("which weights (default: best where validation has chosen some, otherwise last)"),
  provider: text().default("cpu").describe("execution provider: cpu, webgpu, cuda, dml, coreml"),
  log: z
    .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
    .default("info")
    .describe("least level of what is logged, one JSON object a line on standard output"),
});

/** As a user gives them. */
export type ServeOptions = z.input<typeof serveOptions>;

/** With their defaults. */
export type ResolvedServeOptions = z.output<typeof serveOptions>;
