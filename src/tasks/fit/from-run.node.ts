import { buildModel } from "../../catalog.ts";
import { OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { counted } from "../../memory.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { initialState, namedTensors } from "../../nn/module.ts";
import { firstNames } from "../../printable.ts";
import { Random } from "../../random.ts";
import { sameShape } from "../../tensor/shape.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { RunFolder, type WarmStart } from "../../train/run-folder.node.ts";
import { modelInfo } from "../run/definition.node.ts";

// A fit that begins from a run, its own or an imported one: the options of its model, the size of its images, its weights.

/** What a fit takes from the run that it begins from. */
export interface FromRun {
  readonly modelOptions: Readonly<Record<string, unknown>>;
  /** Options of data that the weights depend on. */
  readonly dataOptions: Readonly<Record<string, unknown>>;
}

/**
 * What a fit of a model takes from a run, where options are not given.
 * @throws FileError, OptionError where there is no run, or it is of another model
 */
export async function fromRun(folder: string, model: string): Promise<FromRun> {
  const { model: own, modelOptions, dataOptions } = await new RunFolder(folder).readConfig();
  if (own !== model) {
    throw new OptionError(`option from: ${folder} is a run of ${own}, not of ${model}; fit ${own}`);
  }
  const { size, color } = dataOptions;
  return {
    modelOptions,
    dataOptions: { ...(size !== undefined && { size }), ...(color !== undefined && { color }) },
  };
}

/**
 * Weights of a run to begin with, in which what predicts classes begins afresh where there are as many classes, but others: outputs of equal
 * shapes would stand for the wrong ones. Of another number they do not fit anyway.
 * @param start as it fits by name and shape
 */
export async function withOwnClasses(
  start: WarmStart,
  folder: string,
  definition: ModelDefinition,
  config: RunConfig,
): Promise<WarmStart> {
  const { classes, classNames: names = [], marks } = config.dataInfo;
  const { classNames: before = [] } = (await new RunFolder(folder).readConfig()).dataInfo;
  const same = names.length === before.length && names.every((name, i) => name === before[i]);
  if (marks === undefined || classes === undefined || same || names.length !== before.length) return start;
  const build = (count: number) =>
    buildModel(
      definition,
      config.modelOptions,
      { ...modelInfo(config.dataInfo), classes: count },
      memoryLimit(),
    );
  const model = build(classes);
  const others = namedTensors(build(classes + 1));
  const fresh = initialState(model, new Random(config.fit.seed));
  const renewed = [...namedTensors(model)].flatMap(([name, { shape }]) => {
    const value = fresh.get(name);
    const other = others.get(name);
    return value === undefined || (other !== undefined && sameShape(shape, other.shape))
      ? []
      : [[name, value] as const];
  });
  return {
    start: new Map([...start.start, ...renewed]),
    report: [
      ...start.report,
      `${counted(renewed.length, "tensor")} of classes begun afresh: the run ${folder} finds ${firstNames(before, 3)}, the data has ${firstNames(names, 3)}`,
    ],
  };
}
