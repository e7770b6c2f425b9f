import type { Command } from "commander";
import { z } from "zod";
import { positions, sampleCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { chosenSamples, forModel } from "../../tasks/run/samples.node.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import {
  checkInpaintingPath,
  knownMask,
  type Region,
  writeInpainting,
} from "../../tasks/use/inpaint.node.ts";
import { printOutcome } from "../flags.ts";
import { addVerb, chosenBy, inSamples, runOptions, sampleChoice } from "../verb.ts";
import { completionOptions, completionSettings } from "../verb-options.ts";

const flags = z.strictObject({
  ...sampleChoice,
  count: sampleCount().default(8).describe("images at most, of a folder or of the split"),
  half: z.enum(["top", "bottom", "left", "right"]).optional().describe("the half that is unknown"),
  box: positions()
    .length(4)
    .optional()
    .describe("x,y,width,height of the box that is unknown, in pixels of the model's images"),
  mask: z.string().optional().describe("image file that is white where the images are unknown"),
  draws: sampleCount().default(8).describe("completions of each image"),
  ...completionOptions,
  out: z
    .string()
    .optional()
    .describe(
      ".png: a strip for each image (original, what is known, draws, their mean); .npy: the completions (default: samples/ in the run folder)",
    ),
  ...runOptions,
});

/** The region of a box of four numbers, which the schema guarantees. */
function boxRegion([x, y, width, height]: readonly number[]): Region {
  if (x === undefined || y === undefined || width === undefined || height === undefined) {
    throw new OptionError("option box: give x,y,width,height");
  }
  return { kind: "box", x, y, width, height };
}

/** @throws OptionError unless exactly one region is named */
function regionOf({ half, box, mask }: Pick<z.output<typeof flags>, "half" | "box" | "mask">): Region {
  const regions: Region[] = [
    ...(half === undefined ? [] : [{ kind: "half", half } as const]),
    ...(box === undefined ? [] : [boxRegion(box)]),
    ...(mask === undefined ? [] : [{ kind: "mask", path: mask } as const]),
  ];
  const [region] = regions;
  if (region === undefined || regions.length > 1) {
    throw new OptionError(
      "inpaint: give what is unknown by one of --half bottom, --box 4,4,10,10 and --mask mask.png",
    );
  }
  return region;
}

export function configure(command: Command): void {
  addVerb(command, {
    name: "inpaint",
    heading: "Completions",
    flags,
    help: "IMAGES are files or folders; without them, images of the test split of the run's own data are taken.",
    check(options, [files]) {
      chosenBy("inpaint", files as readonly string[], options);
      regionOf(options);
    },
    target({ out, seed }, _info, folder) {
      const path = out ?? inSamples(folder, `inpaint-${seed}.png`);
      checkInpaintingPath(path);
      return path;
    },
    async action({ run, flags: options, operands: [files], target, seconds }) {
      const { draws, seed, label, method, steps, resamplings } = options;
      checkLabel(run.loaded, label);
      const known = await knownMask(run.loaded, regionOf(options));
      const chosen = chosenBy("inpaint", files as readonly string[], options);
      const { x, labels } = forModel(run.loaded, await chosenSamples(run.loaded, chosen, "inpaint"));
      const begun = seconds();
      const classes = label ?? labels;
      const drawn = await run.inpaint(x, {
        unknown: { kind: "known", known },
        draws,
        seed,
        ...(classes !== undefined && { label: classes }),
        ...completionSettings({ method, steps, resamplings }),
      });
      const spent = seconds() - begun;
      await writeInpainting(run.loaded, target, { x, known, drawn });
      const images = x.shape[0] ?? 0;
      printOutcome(
        options.json,
        `${draws} completions of ${counted(images, "image")} in ${spent.toFixed(1)} s: ${target}`,
        { out: target, images, draws, seed, seconds: spent },
      );
    },
  });
}
