import { z } from "zod";
import { sampleCount } from "../../bounds.ts";
import { memoryLimit } from "../../memory.node.ts";
import { checkMemory, FLOAT_BYTES, showCount } from "../../memory.ts";
import { parseOptions } from "../../options.ts";
import { elementCount } from "../../tensor/array.ts";
import type { LoadedRun } from "./load.node.ts";

/** Copies of a result that are there at once: the noise or the code that it is drawn from, and the samples. */
const COPIES = 2;

/**
 * Refuses a request whose result would not fit into memory, before anything of it is drawn.
 * @param verb named in errors
 * @param counts what the number of samples is the product of, by the names of the options: { count: 64 }, { count: 8, draws: 4 }
 * @throws OptionError where a count is no whole number up to 10⁸; MemoryError with the estimate
 */
export function checkResult(
  { config }: Pick<LoadedRun, "config">,
  verb: string,
  counts: Readonly<Record<string, number>>,
): void {
  const names = Object.keys(counts);
  parseOptions(verb, z.object(Object.fromEntries(names.map((name) => [name, sampleCount(0)]))), counts);
  const samples = Object.values(counts).reduce((product, count) => product * count, 1);
  const size = elementCount(config.dataInfo.sampleShape);
  checkMemory(
    {
      what: `${verb}: ${showCount(samples)} samples of ${showCount(size)} numbers`,
      bytes: COPIES * samples * size * FLOAT_BYTES,
      instead: `take ${names.map((name) => `a smaller ${name}`).join(" or ")}`,
    },
    memoryLimit(),
  );
}
