import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import type { Job, Work } from "./abilities.ts";

// Files of requests on their way to a worker. They go through a pipe of their own beside the messages: serialized within a message, a photo would
// be copied several times, and what the main process throws away makes it collect garbage instead of answering.

/** Number of the pipe among the open files of a worker: behind those of the console and of the messages. */
export const FILES_PIPE = 4;

/** Stands in a message for a file that follows. */
const FOLLOWS = new Uint8Array(0);

/** The same work with other files, taken in their order. */
function withFiles(work: Work, replace: (file: Uint8Array) => Uint8Array): Work {
  if (work.kind === "detect") return { ...work, files: work.files.map(replace) };
  if ("samples" in work && work.samples.kind === "files") {
    return { ...work, samples: { ...work.samples, files: work.samples.files.map(replace) } };
  }
  return work;
}

/** Jobs without their files, as they stand in a message. */
export interface JobsWithoutFiles {
  readonly jobs: readonly Job[];
  /** Bytes of each file that follows, in the order of the jobs. */
  readonly lengths: readonly number[];
}

/** Takes the files out of jobs. */
export function takeFiles(
  jobs: readonly Job[],
): JobsWithoutFiles & { readonly files: readonly Uint8Array[] } {
  const files: Uint8Array[] = [];
  const left = jobs.map((job) => ({
    ...job,
    work: withFiles(job.work, (file) => {
      files.push(file);
      return FOLLOWS;
    }),
  }));
  return { jobs: left, lengths: files.map(({ length }) => length), files };
}

/** Writes files one after the other. */
export function writeFiles(pipe: Writable, files: readonly Uint8Array[]): void {
  for (const file of files) pipe.write(file);
}

/** The end of the pipe in a worker, from which one file after the other is read. */
export class FilesPipe {
  private readonly chunks: AsyncIterator<Uint8Array>;
  /** What was read already of the next file. */
  private rest: Uint8Array = FOLLOWS;

  constructor(pipe: Readable = new Socket({ fd: FILES_PIPE, readable: true, writable: false })) {
    this.chunks = pipe[Symbol.asyncIterator]();
  }

  /** Puts the files that follow back into their jobs. @throws Error where the pipe ends before them */
  async putFiles({ jobs, lengths }: JobsWithoutFiles): Promise<readonly Job[]> {
    const files: Uint8Array[] = [];
    for (const length of lengths) files.push(await this.file(length));
    let next = 0;
    return jobs.map((job) => ({ ...job, work: withFiles(job.work, () => files[next++] ?? FOLLOWS) }));
  }

  private async file(length: number): Promise<Uint8Array> {
    const file = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      if (this.rest.length === 0) {
        const { done, value } = await this.chunks.next();
        if (done === true) throw new Error("the pipe of files ended within a file");
        this.rest = value;
      }
      const part = this.rest.subarray(0, length - at);
      file.set(part, at);
      at += part.length;
      this.rest = this.rest.subarray(part.length);
    }
    return file;
  }
}
