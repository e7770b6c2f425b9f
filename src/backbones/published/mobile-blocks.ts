import type { Tensor } from "../../tensor/index.ts";
import type { FeatureLevel } from "../backbone.ts";
import { type Dilations, PLAIN, stackedMaps } from "../dilations.ts";

// What networks of inverted residuals have in common: a table of blocks, of which some end a stage.

/** A row of the table that a paper gives. */
interface BlockRow {
  readonly kernel: number;
  readonly expansion: number;
  readonly channels: number;
  /** How many blocks; the first one has the stride. */
  readonly count: number;
  readonly stride: number;
  /** The stage that the blocks belong to: 1 is what halves the image once, stages 2 … 5 end at strides 4 … 32. */
  readonly stage: number;
}

/** A block of the table. */
export interface MobileBlockShape extends Omit<BlockRow, "count"> {
  readonly inputs: number;
}

/** The blocks of a table one by one, up to a stride. @param stem channels before the first one */
export function blocksOf(
  rows: readonly BlockRow[],
  stem: number,
  coarsestStride: number,
): readonly MobileBlockShape[] {
  return rows
    .flatMap(({ count, ...row }, number) =>
      Array.from({ length: count }, (_, i) => ({
        ...row,
        inputs: i > 0 ? row.channels : (rows[number - 1]?.channels ?? stem),
        stride: i > 0 ? 1 : row.stride,
      })),
    )
    .filter(({ stage }) => 2 ** stage <= coarsestStride);
}

/** Whether a block is the last one of a stage that gives a map. */
function endsStage(blocks: readonly MobileBlockShape[], index: number): boolean {
  const stage = blocks[index]?.stage ?? 1;
  return stage > 1 && blocks[index + 1]?.stage !== stage;
}

/** The maps before each halving. */
export function levelsOf(blocks: readonly MobileBlockShape[]): readonly FeatureLevel[] {
  return blocks
    .filter((_, i) => endsStage(blocks, i))
    .map(({ channels, stage }) => ({ channels, stride: 2 ** stage }));
}

/**
 * The map of the stem through all blocks: the map of each level. Branches begin behind the first block of the last stage, which halves the
 * map.
 * @param modules the blocks as modules
 * @throws ShapeError
 */
export function throughBlocks(
  blocks: readonly MobileBlockShape[],
  modules: readonly { forward(x: Tensor, dilations: Dilations): Tensor }[],
  stem: Tensor,
  dilations: Dilations,
): readonly Tensor[] {
  const branching = blocks.findIndex(({ stage }) => stage === blocks.at(-1)?.stage);
  let map = stem;
  return modules.flatMap((block, i) => {
    map = block.forward(map, i > branching ? dilations : PLAIN);
    if (i === branching) map = stackedMaps(map, dilations);
    return endsStage(blocks, i) ? [map] : [];
  });
}
