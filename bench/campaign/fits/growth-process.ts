import { built } from "../kind.ts";

// The process whose memory is watched: one long fit, with word of its resident memory now and then.

export interface GrowthMessage {
  readonly step: number;
  readonly megabytes: number;
}

const { startFit }: typeof import("../../../src/tasks/fit/fit.node.ts") = await import(
  built("tasks/fit/fit.node.js")
);
const request = JSON.parse(process.argv[2] ?? "{}");
await startFit(request, {
  onProgress: ({ step }) => {
    const message: GrowthMessage = { step, megabytes: process.memoryUsage.rss() / 2 ** 20 };
    process.send?.(message);
  },
});
process.disconnect?.();
