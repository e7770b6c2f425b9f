import { buildModel } from "../../catalog.ts";
import type { DataSet } from "../../data/sources/data-set.ts";
import type { DataOptions } from "../../data/sources/options.ts";
import { EidosError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { modelInfo } from "../run/definition.node.ts";

// Images are read at a size and in a color that models are built for: those that the images themselves decide on, otherwise the usual ones.

/** A model that is to be fitted to images. */
export interface Taker {
  /** What messages call it. */
  readonly name: string;
  readonly definition: ModelDefinition;
  readonly modelOptions: Readonly<Record<string, unknown>>;
}

/** What images are read as where they themselves do not decide. */
const USUAL_FORMAT = { size: 32, color: "rgb" } as const;

/**
 * Opens data for some models, and images for which size or color were chosen anew as they usually are where models are not built for what was chosen:
 * 32 × 32, rgb, or both, whatever the most of the models take. Those that take none of it do not count.
 * @param infoOf what of data models are built for
 */
export async function asTaken(
  takers: readonly Taker[],
  options: DataOptions,
  open: (options: DataOptions) => Promise<DataSet>,
  infoOf: (data: DataSet) => RunConfig["dataInfo"],
): Promise<{ readonly data: DataSet; readonly notes: readonly string[] }> {
  const data = await open(options);
  const { format } = data;
  const judged = takers.filter(({ definition }) => definition.dataKinds.includes(data.kind));
  const refusing = (info: RunConfig["dataInfo"]) =>
    judged.flatMap((taker) => {
      const reason = refusalOf(taker, info);
      return reason === undefined ? [] : [{ name: taker.name, reason }];
    });
  const own = format === undefined ? [] : refusing(infoOf(data));
  if (own.length === 0) return { data, notes: [] };
  const sizes = options.size === undefined ? [format?.size, USUAL_FORMAT.size] : [options.size];
  const isGrey = options.color !== undefined || options.binary === true;
  const colors = isGrey ? [options.color] : [format?.color, USUAL_FORMAT.color];
  let best: { readonly size: number; readonly color: "grey" | "rgb"; readonly refused: number } | undefined;
  for (const asked of colors) {
    const color = asked ?? format?.color ?? USUAL_FORMAT.color;
    for (const size of sizes.map((side) => side ?? USUAL_FORMAT.size)) {
      const sampleShape = [color === "grey" ? 1 : 3, size, size];
      const refused = refusing({ ...infoOf(data), sampleShape }).length;
      if (refused < (best?.refused ?? own.length)) best = { size, color, refused };
    }
  }
  if (best === undefined) return { data, notes: [] };
  const { size, color } = best;
  const [first, ...others] = own;
  const whom =
    others.length === 0
      ? `${first?.name} does not take`
      : `${counted(own.length, "model")} do not take, as ${first?.name}`;
  const note = `read as ${color}, ${size} × ${size}, in place of what was chosen by the images, which ${whom}: ${first?.reason}`;
  return { data: await open({ ...options, size, color }), notes: [note] };
}

/** Why a model is not built for data; undefined where it is. */
function refusalOf({ definition, modelOptions }: Taker, info: RunConfig["dataInfo"]): string | undefined {
  try {
    buildModel(definition, modelOptions, modelInfo(info));
    return undefined;
  } catch (error) {
    if (error instanceof EidosError) return error.message;
    throw error;
  }
}
