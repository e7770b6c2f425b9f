import { OptionError } from "../errors.ts";
import { type IncompleteRow, incompleteRows } from "../nn/incomplete.ts";
import type { DataInfo, InpaintOptions } from "../nn/model.ts";
import { elementCount } from "../tensor/index.ts";
import type { Base } from "./base.ts";
import type { Conditioning } from "./conditioning.ts";

/** A sample to complete, and how that is done. */
export interface Row extends IncompleteRow {
  readonly label: number | undefined;
  readonly way: "none" | "exact" | "iterated";
}

/** What decides how a model can complete samples. */
export interface Completing {
  readonly conditioning: Conditioning;
  /** Elements in an order in which later ones can be drawn given earlier ones, where there is one. */
  readonly triangularOrder?: readonly number[] | undefined;
  readonly base?: Pick<Base, "dependent">;
}

/**
 * Checks what is to be completed and decides how each sample is: not at all, exactly, or by iteration.
 * @throws OptionError
 */
export function readRows(model: Completing, data: DataInfo, options: InpaintOptions): readonly Row[] {
  const { exact, label } = options;
  const rows = incompleteRows(options, data.sampleShape);
  const size = elementCount(data.sampleShape);
  const count = rows.length;
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
    order !== undefined && model.base?.dependent !== true && (classes === 0 || label !== undefined);
  return rows.map((row): Row => {
    const { index, known: mask } = row;
    const unknown = modelled.filter((place) => mask[place] !== 1);
    if (unknown.length + mask.reduce((sum, value) => sum + Number(value === 1), 0) !== size) {
      throw new OptionError(
        `inpaint: sample ${index} lacks values that the model is conditioned on; they must be known`,
      );
    }
    const before = triangular ? order.findIndex((place) => mask[place] !== 1) : -1;
    const prefix = before >= 0 && order?.slice(before).every((place) => mask[place] !== 1) === true;
    const way = unknown.length === 0 ? "none" : prefix && exact !== false ? "exact" : "iterated";
    return { ...row, label: told?.[index], way };
  });
}
