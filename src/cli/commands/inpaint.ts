import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { range } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import {
  checkInpaintingPath,
  imagesFromFiles,
  imagesFromSplit,
  inpaintRun,
  knownMask,
  type Region,
  writeInpainting,
} from "../../tasks/use/inpaint.node.ts";
import { completionOptions, completionSettings } from "../completion-options.ts";
import { print } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { runOptions } from "../run-options.ts";

const inpaintFlags = z.strictObject({
  index: z
    .array(z.int().nonnegative())
    .optional()
    .describe("images of a split by position, in place of image files"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split that --index counts in"),
  count: z.int().positive().default(8).describe("images at most, of a folder or of the split"),
  half: z.enum(["top", "bottom", "left", "right"]).optional().describe("the half that is unknown"),
  box: z
    .array(z.int().nonnegative())
    .length(4)
    .optional()
    .describe("x,y,width,height of the box that is unknown, in pixels of the model's images"),
  mask: z.string().optional().describe("image file that is white where the images are unknown"),
  draws: z.int().positive().default(8).describe("completions of each image"),
  ...completionOptions,
  out: z
    .string()
    .optional()
    .describe(
      ".png: a strip for each image (original, what is known, draws, their mean); .npy: the completions (default: samples/ in the run folder)",
    ),
  ...runOptions,
});

/** @throws OptionError unless exactly one region is named */
function regionOf({ half, box, mask }: Pick<z.output<typeof inpaintFlags>, "half" | "box" | "mask">): Region {
  const [x = 0, y = 0, width = 0, height = 0] = box ?? [];
  const regions: Region[] = [
    ...(half === undefined ? [] : [{ kind: "half", half } as const]),
    ...(box === undefined ? [] : [{ kind: "box", x, y, width, height } as const]),
    ...(mask === undefined ? [] : [{ kind: "mask", path: mask } as const]),
  ];
  const [region] = regions;
  if (region === undefined || regions.length > 1) {
    throw new OptionError(
      "inpaint: say what is unknown by one of --half bottom, --box 4,4,10,10 and --mask mask.png",
    );
  }
  return region;
}

export function configure(command: Command): void {
  addSchemaOptions(command, "Completions", inpaintFlags);
  command.addHelpText(
    "after",
    "\nIMAGES are files or folders; without them, images of the test split of the run's own data are taken.",
  );
  command.action(async (path: string, files: readonly string[], flags: Record<string, unknown>) => {
    const parsed = parseOptions("inpaint", inpaintFlags, flagValues(flags, [inpaintFlags]));
    const { index, split, count, half, box, mask, draws, seed, label, out, ...others } = parsed;
    const { steps, method, resamplings, ...opening } = others;
    if (index !== undefined && files.length > 0) {
      throw new OptionError("inpaint: name images by files or by --index, not by both");
    }
    const region = regionOf({ half, box, mask });
    const target = out ?? join(path, "samples", `inpaint-${seed}.png`);
    checkInpaintingPath(target);
    const run = await openRun(path, opening);
    try {
      checkLabel(run, label);
      const known = await knownMask(run, region);
      const images =
        files.length > 0
          ? await imagesFromFiles(run, files, count)
          : await run.data().then(({ splits }) => {
              const all = splits[split];
              return imagesFromSplit(run, all, index ?? [...range(0, Math.min(count, all.count))]);
            });
      const begun = performance.now();
      const drawn = await inpaintRun(run, images, {
        known,
        draws,
        seed,
        ...(label !== undefined && { label }),
        ...completionSettings({ method, steps, resamplings }),
      });
      const seconds = (performance.now() - begun) / 1000;
      await writeInpainting(run, target, { x: images.x, known, drawn });
      const number = images.x.shape[0] ?? 0;
      print(
        `${draws} completions of ${number} ${number === 1 ? "image" : "images"} in ${seconds.toFixed(1)} s: ${target}`,
      );
    } finally {
      await run.session.release();
    }
  });
}
