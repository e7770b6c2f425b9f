import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { sampleCount, seedNumber } from "../../bounds.ts";
import { models } from "../../catalog.ts";
import type { DetectOptions } from "../../detection/models/detector.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { exportRun } from "../../tasks/export/export.node.ts";
import { CALIBRATED, PRECISIONS } from "../../tasks/export/precision.node.ts";
import { runDefinition, sampleSchema } from "../../tasks/run/definition.node.ts";
import { cascadeLookOf } from "../../tasks/run/detection-options.ts";
import type { Trust } from "../../tasks/run/trust.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { showing } from "../flags.ts";
import { print, printJson, printLine, showBytes } from "../format.ts";
import { addSchemaOptions, flagName, flagValues } from "../options.ts";
import { runOptions } from "../verb.ts";
import { cascadeFlags, cascadeOptions, detectFlags, detectOptions, tridentFlag } from "../verb-options.ts";

const exportFlags = z.strictObject({
  out: z
    .string()
    .min(1)
    .optional()
    .describe(
      "folder to write into (default: model in the run folder); with --raw-tensor a file (default: model.onnx), of mtcnn a folder",
    ),
  rawTensor: z
    .boolean()
    .default(false)
    .describe(
      "the network alone as one file, tensors in and out as the model sees them (default: files that take and give data in their own units)",
    ),
  page: z
    .boolean()
    .default(false)
    .describe(
      "page.html as well: one file, with the model and all that runs it inside, to be handed out; it opens from a disk and asks no server for anything",
    ),
  seed: seedNumber()
    .default(0)
    .describe("of score and features: seed of the noise that is drawn for rows, as that of eidos score"),
  precision: z
    .enum(PRECISIONS)
    .default("fp32")
    .describe(
      "fp16: weights of 16 bits, half the size; int8: layers of whole numbers of 8 bits, a quarter of the size. The loss is measured on held-out data and printed",
    ),
  calibrate: sampleCount()
    .optional()
    .describe(
      `with --precision int8: training samples that the ranges of activations are found on (default: ${CALIBRATED})`,
    ),
  data: z
    .string()
    .min(1)
    .optional()
    .describe(
      "with --precision fp16 and int8: where the run's data is now; of an imported detector annotated images (default: as the run has it)",
    ),
  sampler: z
    .boolean()
    .default(false)
    .describe(
      "with --raw-tensor: a whole sampler, from noise to samples (default: sampler.onnx), of models that take steps",
    ),
  suppression: z
    .boolean()
    .default(false)
    .describe(
      "with --raw-tensor, of a detector: what is found, duplicates taken away inside (default: detections.onnx)",
    ),
  layer: z
    .string()
    .min(1)
    .optional()
    .describe(
      "of a model with features: embed.onnx is of this layer (default: code); with --raw-tensor the file is (default: LAYER.onnx)",
    ),
  ...detectFlags,
  ...tridentFlag,
  ...cascadeFlags,
  weights: runOptions.weights,
  trustModule: runOptions.trustModule,
  ...showing,
});

/** How detections are picked. @throws OptionError where options of that are given and it is not asked for */
function suppressionOptions(
  rawTensor: boolean,
  suppression: boolean,
  flags: z.output<z.ZodObject<typeof detectFlags>>,
): DetectOptions | undefined {
  const [first] = Object.keys(flags);
  if (suppression || (!rawTensor && first !== undefined)) return detectOptions(flags);
  if (first === undefined) return undefined;
  throw new OptionError(`option ${flagName(first)}: is of suppression; add --suppression to have it inside`);
}

/** @throws OptionError for flags that say what a file of a network alone is */
function checkRaw(
  rawTensor: boolean,
  flags: { readonly sampler: boolean; readonly suppression: boolean },
): void {
  if (rawTensor) return;
  if (flags.sampler) {
    throw new OptionError(
      "option sampler: sample.onnx is a whole sampler; leave the flag out, or add --raw-tensor for samples as the model has them",
    );
  }
  if (flags.suppression) {
    throw new OptionError(
      "option suppression: detect.onnx takes duplicates away inside; leave the flag out, or add --raw-tensor for tensors as the model has them",
    );
  }
}

/** The model's own options of a sampler. @throws OptionError where there are some but no sampler is asked for */
async function samplerOptions(
  run: string,
  rawTensor: boolean,
  sampler: boolean,
  flags: Readonly<Record<string, unknown>>,
  trust: Trust,
): Promise<Record<string, unknown> | undefined> {
  const [first] = Object.keys(flags);
  if (!rawTensor && first === undefined) return undefined;
  if (rawTensor && !sampler) {
    if (first === undefined) return undefined;
    throw new OptionError(`option ${flagName(first)}: is of a sampler; add --sampler to export one`);
  }
  const definition = await runDefinition(await new RunFolder(run).readConfig(), run, trust);
  const schema = sampleSchema(definition) ?? z.strictObject({});
  return parseOptions(`sampling from ${definition.name}`, schema, flagValues(flags, [schema]));
}

/** Whether a run is that of a cascade, which is exported as a folder. */
async function isCascadeRun(run: string): Promise<boolean> {
  return cascadeLookOf(await new RunFolder(run).readConfig()) !== undefined;
}

export function configure(command: Command): void {
  addSchemaOptions(command, "Export", exportFlags);
  for (const definition of models.values()) {
    const schema = sampleSchema(definition);
    if (schema !== undefined) addSchemaOptions(command, `Sampler of ${definition.name}`, schema);
  }
  command.action(async (run: string, flags: Record<string, unknown>) => {
    const isOwn = (name: string): boolean => name in exportFlags.shape;
    const pick = (own: boolean) =>
      Object.fromEntries(Object.entries(flags).filter(([name]) => isOwn(name) === own));
    const {
      out,
      rawTensor,
      page,
      seed,
      precision,
      calibrate,
      data,
      sampler,
      suppression,
      layer,
      trident,
      weights,
      trustModule,
      json,
      quiet: _,
      ...rest
    } = parseOptions("export", exportFlags, flagValues(pick(true), [exportFlags]));
    const { minimumSize: _m, factor: _f, thresholds: _t, ...found } = rest;
    const cascade = cascadeOptions(rest);
    const trust = { module: trustModule };
    checkRaw(rawTensor, { sampler, suppression });
    const options = {
      weights,
      trident,
      cascade,
      trust,
      layer,
      rawTensor,
      page,
      seed,
      precision,
      calibrate,
      data,
      sampler: await samplerOptions(run, rawTensor, sampler, pick(false), trust),
      suppression: suppressionOptions(rawTensor, suppression, found),
    };
    const usual = !rawTensor
      ? "model"
      : sampler
        ? "sampler.onnx"
        : suppression
          ? "detections.onnx"
          : layer !== undefined
            ? `${layer.replaceAll(/[^\w.-]/g, "-")}.onnx`
            : "model.onnx";
    const path = out ?? join(run, (await isCascadeRun(run)) ? "model" : usual);
    const summary = await exportRun(run, path, options);
    if (json) return printJson(summary);
    const step = summary.step === undefined ? "" : `, weights of step ${summary.step}`;
    const files = summary.files === undefined ? "" : ` in ${summary.files.join(", ")}`;
    printLine(`${summary.path}: ${showBytes(summary.bytes)}${files}${step}`);
    print(summary.description);
  });
}
