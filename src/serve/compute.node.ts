import type { FastifyReply, FastifyRequest } from "fastify";
import { ServiceError } from "../errors.ts";
import type { Answered, ServedModel, Work } from "./abilities.ts";
import type { ServerMetrics } from "./metrics.node.ts";
import type { WorkerPool } from "./pool.node.ts";
import type { RequestQueue } from "./queue.ts";
import type { RequestLimits } from "./requests.ts";

// What the routes of a server have in common.

/** What routes answer from. */
export interface Serving {
  readonly pool: WorkerPool;
  readonly queue: RequestQueue;
  readonly metrics: ServerMetrics;
  readonly limits: RequestLimits;
  /** Seconds after which requests are given up. */
  readonly timeout: number;
  /** Whether clients must send a token. */
  readonly needsToken: boolean;
  /** Whether the server is being stopped. */
  readonly isDraining: () => boolean;
}

/** The header by which a client asks for fewer milliseconds than the server gives. */
export const TIMEOUT_HEADER = "x-timeout-ms";

/** The deadline of a request, in milliseconds since 1970. @throws ServiceError where the header is no number */
function deadlineOf(request: FastifyRequest, seconds: number): number {
  const given = request.headers[TIMEOUT_HEADER];
  const wanted = given === undefined ? Number.POSITIVE_INFINITY : Number(given);
  if (!(wanted > 0)) {
    throw new ServiceError(`header ${TIMEOUT_HEADER}: must be milliseconds, more than 0`, { status: 400 });
  }
  return Date.now() + Math.min(wanted, 1000 * seconds);
}

/** Has work done for a request, as long as its client is there. @throws ServiceError */
export function compute(
  { queue, timeout }: Serving,
  request: FastifyRequest,
  reply: FastifyReply,
  model: ServedModel,
  work: Work,
): Promise<Answered> {
  const served = { model: model.name, ability: work.kind };
  request.served = served;
  // The line of the log that says how it ended names them too.
  request.log = request.log.child(served);
  reply.log = request.log;
  const gone = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) gone.abort();
  });
  return queue.submit(model, work, deadlineOf(request, timeout), gone.signal);
}

/** What a request was for, as metrics and logs name it. */
interface Served {
  readonly model: string;
  readonly ability: string;
}

declare module "fastify" {
  interface FastifyRequest {
    served: Served | null;
  }
}
