import { OptionError } from "../errors.ts";
import type { DataInfo, InpaintOptions } from "../nn/model.ts";
import { elementCount } from "../tensor/index.ts";
import type { FlowModel } from "./flow-model.ts";

/** A sample to complete, and how that is done. */
export interface Row {
  readonly index: number;
  readonly x: Float32Array;
  readonly known: Float32Array;
  readonly label: number | undefined;
  readonly way: "none" | "exact" | "iterated";
}

/**
 * Checks what is to be completed and decides how each sample is: not at all, exactly, or by iteration.
 * @throws OptionError
 */
export function readRows(model: FlowModel, data: DataInfo, options: InpaintOptions): readonly Row[] {
  const { x, known, draws, exact, label, steps } = options;
  const size = elementCount(data.sampleShape);
  const [count = 0, ...shape] = x.shape;
  if (shape.join() !== data.sampleShape.join()) {
    throw new OptionError(
      `inpaint: x has shape [${x.shape}]; the samples of this model are [n,${data.sampleShape}]`,
    );
  }
  const masks = known.shape[0] ?? 0;
  if (known.shape.slice(1).join() !== shape.join() || (masks !== 1 && masks !== count)) {
    throw new OptionError(
      `inpaint: known has shape [${known.shape}]; it must be [${count},${shape}] or [1,${shape}]`,
    );
  }
  for (const [name, value] of Object.entries({ draws, steps: steps ?? 1 })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new OptionError(`option ${name}: must be a whole number of at least 1, not ${value}`);
    }
  }
  const { classes } = model.conditioning;
  const told = typeof label === "number" ? new Array<number>(count).fill(label) : label;
  if (told !== undefined && told.length !== count) {
    throw new OptionError(`inpaint: ${told.length} labels were given for ${count} samples`);
  }
  for (const value of told ?? []) {
    if (Number.isInteger(value) && value >= 0 && value < classes) continue;
    throw new OptionError(
      classes === 0
        ? "option label: this model is not conditional on classes"
        : `option label: must be a class from 0 to ${classes - 1}, not ${value}`,
    );
  }
  const modelled = model.conditioning.targetPlaces();
  const order = model.triangularOrder?.map((element) => modelled[element] ?? element);
  // The density of a mixture of classes is triangular in no order.
  const triangular =
    order !== undefined && model.base.dependent !== true && (classes === 0 || label !== undefined);
  return Array.from({ length: count }, (_, index): Row => {
    const mask = known.data.subarray((masks === 1 ? 0 : index) * size, (masks === 1 ? 1 : index + 1) * size);
    const unknown = modelled.filter((place) => mask[place] !== 1);
    if (unknown.length + mask.reduce((sum, value) => sum + Number(value === 1), 0) !== size) {
      throw new OptionError(
        `inpaint: sample ${index} lacks values that the model is conditioned on; they must be known`,
      );
    }
    const before = triangular ? order.findIndex((place) => mask[place] !== 1) : -1;
    const prefix = before >= 0 && order?.slice(before).every((place) => mask[place] !== 1) === true;
    const way = unknown.length === 0 ? "none" : prefix && exact !== false ? "exact" : "iterated";
    return {
      index,
      x: x.data.subarray(index * size, (index + 1) * size),
      known: mask,
      label: told?.[index],
      way,
    };
  });
}
