import { createInterface } from "node:readline";

/** A piece of work that has been built and may be repeated. */
export interface Prepared {
  /** Seconds that building took, compilation included. */
  readonly seconds: number;
  /** Trainable parameters, to see that all contenders have the same network. */
  readonly parameters: number;
  /** Does it once, to the end: results are read. */
  run(): unknown;
  release?(): unknown;
}

/** A contender: works by name, each built on demand. */
export interface Contender {
  readonly version: string;
  readonly works: Readonly<Record<string, () => Prepared | Promise<Prepared>>>;
}

interface Request {
  readonly prepare?: string;
  readonly run?: string;
  readonly repetitions?: number;
  readonly release?: string;
}

/** Bytes of memory in use now and at most so far. */
function memory(): { readonly now: number; readonly peak: number } {
  return { now: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 };
}

/**
 * Answers requests, one JSON object a line, until the input ends: `prepare` builds a work, `run` repeats it and reports the
 * milliseconds of each repetition and those that all threads have computed in it, `release` frees it. Every answer has the memory in use.
 */
export async function serve({ version, works }: Contender): Promise<void> {
  const answer = (message: object): void => {
    process.stdout.write(`${JSON.stringify({ ...message, memory: memory() })}\n`);
  };
  const prepared = new Map<string, Prepared>();
  answer({ version, works: Object.keys(works) });
  for await (const line of createInterface({ input: process.stdin })) {
    const request: Request = JSON.parse(line);
    try {
      if (request.prepare !== undefined) {
        const work = await works[request.prepare]?.();
        if (work === undefined) throw new Error(`there is no work ${request.prepare}`);
        prepared.set(request.prepare, work);
        answer({ seconds: work.seconds, parameters: work.parameters });
      } else if (request.run !== undefined) {
        const work = prepared.get(request.run);
        if (work === undefined) throw new Error(`${request.run} is not prepared`);
        const milliseconds: number[] = [];
        const processor: number[] = [];
        for (let i = 0; i < (request.repetitions ?? 1); i++) {
          const before = process.cpuUsage();
          const begun = performance.now();
          await work.run();
          milliseconds.push(performance.now() - begun);
          const { user, system } = process.cpuUsage(before);
          processor.push((user + system) / 1000);
        }
        answer({ milliseconds, processor });
      } else if (request.release !== undefined) {
        await prepared.get(request.release)?.release?.();
        prepared.delete(request.release);
        answer({});
      }
    } catch (error) {
      answer({ error: error instanceof Error ? error.message : String(error) });
    }
  }
  process.exit(0);
}
