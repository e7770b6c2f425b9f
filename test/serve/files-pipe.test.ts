import { PassThrough, Readable } from "node:stream";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Job } from "../../src/serve/abilities.ts";
import { FilesPipe, takeFiles, writeFiles } from "../../src/serve/files-pipe.node.ts";

const files = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 });

const works = fc.oneof(
  files.map((files) => ({ kind: "detect", files, picture: false, options: {} }) as const),
  files.map(
    (files) =>
      ({
        kind: "embed",
        samples: { kind: "files", files },
        seed: 0,
        layer: { layer: "a", pool: "none" },
      }) as const,
  ),
  fc.constant({ kind: "score", samples: { kind: "rows", rows: [{ a: 1 }] }, seed: 0, why: 0 } as const),
);

const jobLists = fc.array(
  works.map((work): Job => ({ id: 1, model: "m", work, deadline: 0 })),
  { maxLength: 4 },
);

describe("files of requests", () => {
  it("come out of the pipe as they were, however it cuts them", async () => {
    const sizes = fc.integer({ min: 1, max: 100 });
    await fc.assert(
      fc.asyncProperty(fc.array(jobLists, { maxLength: 3 }), sizes, async (batches, size) => {
        const sent = new PassThrough();
        const messages = batches.map((jobs) => {
          const { files, ...message } = takeFiles(jobs);
          expect(message.lengths).toEqual(files.map(({ length }) => length));
          writeFiles(sent, files);
          return message;
        });
        sent.end();
        const bytes = Buffer.concat(await Readable.from(sent).toArray());
        const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        );
        const pipe = new FilesPipe(Readable.from(pieces));
        for (const [i, message] of messages.entries()) {
          expect(await pipe.putFiles(message)).toEqual(batches[i]);
        }
      }),
    );
  });

  it("that end too early are an error", async () => {
    const jobs = [
      {
        id: 1,
        model: "m",
        work: { kind: "detect", files: [new Uint8Array(9)], picture: false, options: {} },
        deadline: 0,
      },
    ] as const;
    const pipe = new FilesPipe(Readable.from([new Uint8Array(5)]));
    await expect(pipe.putFiles(takeFiles(jobs))).rejects.toThrow(/ended within a file/);
  });
});
