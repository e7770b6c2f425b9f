import { z } from "zod";
import { list, text } from "../../bounds.ts";
import { MARK_FORMATS, type MarkedPhoto } from "../../data/boxes/marking.node.ts";
import type { DetectionStatistics } from "../../data/boxes/statistics.ts";

// What the server of the studio and its page tell each other about photos that are marked.

/** Folders of photos directly in the folder of data, which is the first itself where it holds photos. */
export interface MarkFolders {
  readonly folder: string;
  /** As `eidos fit` takes them in that folder: `./photos`. */
  readonly folders: readonly string[];
}

/** The photos of a folder. */
export interface MarkFolder {
  /** The format of its annotations; absent where it has none. */
  readonly format?: string;
  /** Why nothing in it can be changed, where it cannot. */
  readonly fault?: string;
  readonly classes: readonly string[];
  readonly photos: readonly MarkedPhoto[];
}

const edge = z.number().min(-1e6).max(1e6);

const mark = z.strictObject({
  class: text().min(1).max(200),
  box: z
    .tuple([edge, edge, edge, edge])
    .refine(([x1, y1, x2, y2]) => x2 > x1 && y2 > y1, "a box has a positive area"),
  difficult: z.boolean(),
  crowd: z.boolean(),
  kept: z.string().max(4e6).optional(),
});

/** What the page saves of a photo. */
export const marksToSave = z.strictObject({
  version: text().max(64),
  isMarked: z.boolean(),
  format: z.enum(MARK_FORMATS),
  classes: list(text().min(1).max(200)),
  marks: list(mark, 10_000),
});

export type AskedMarks = z.input<typeof marksToSave>;

/** What `eidos inspect` counts in a folder. */
export interface MarkStatistics {
  /** What the folder is as data: images, objects, splits. */
  readonly lines: readonly string[];
  readonly counts: DetectionStatistics;
}

/** What is asked of a folder. */
export const exampleAsked = z.strictObject({ seed: z.int().min(0).max(1e9).default(0) });
