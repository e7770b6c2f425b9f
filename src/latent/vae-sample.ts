import { OptionError } from "../errors.ts";
import type { DataInfo, SampleOptions } from "../nn/model.ts";
import { sampleInParts } from "../nn/sampling.ts";
import type { Session } from "../program/session.ts";
import { float32, type NdArray } from "../tensor/index.ts";
import type { Vae } from "./vae.ts";

/** Rows, and numbers in them, that a part of the samples may have while it is drawn. */
const PART_ROWS = 4096;
const PART_ELEMENTS = 1 << 20;

/** What samples of a VAE may depend on beside count, seed and label. */
export interface VaeSampleOptions extends SampleOptions {
  /** Deviation of the code relative to training; 1 unless told. */
  readonly temperature?: number;
  /** What is expected of a sample given its code, in place of a draw; for images unless told. */
  readonly mean?: boolean;
  /** Values of the columns that a conditional model is given, as the model sees them: [1 or count, size]. */
  readonly given?: NdArray<"float32">;
}

/**
 * Samples in data units: codes drawn from the prior, and draws from p(x | z) or what is expected of it.
 * @throws OptionError where the temperature is not above 0 or given columns are not told
 */
export function sampleVae(
  model: Vae,
  data: DataInfo,
  session: Session,
  options: VaeSampleOptions,
): Promise<NdArray<"float32">> {
  const { observation, prior, decoder, dimensions, conditioning } = model;
  const { temperature = 1, mean = data.kind === "image" } = options;
  if (!(temperature > 0)) throw new OptionError(`option temperature: must be above 0, not ${temperature}`);
  const program = session.compiled<string, "x">(mean ? "sample mean" : "sample", (inputs) => {
    const { code, temperature, noise, context } = inputs;
    if (code === undefined || temperature === undefined) throw new OptionError("sampling takes noise");
    const z = prior.fromNoise(code, temperature);
    if (noise === undefined) return { x: model.decode(z, context) };
    return { x: model.whole(observation.draw(decoder.forward(z, context), noise), context) };
  });
  const [codeSize, noiseSize] = [prior.noiseSize(dimensions), mean ? 0 : observation.noiseSize];
  const limit = Math.max(1, Math.min(PART_ROWS, Math.floor(PART_ELEMENTS / observation.size)));
  return sampleInParts(options, data.sampleShape, limit, async (randoms, first) => {
    const rows = randoms.length;
    const [code, noise] = [new Float32Array(rows * codeSize), new Float32Array(rows * noiseSize)];
    randoms.forEach((random, i) => {
      prior.drawNoise(code.subarray(i * codeSize, (i + 1) * codeSize), random.split("code"));
      if (mean) return;
      observation.drawNoise(noise.subarray(i * noiseSize, (i + 1) * noiseSize), random.split("noise"));
    });
    const context = conditioning.contexts(randoms, first, options);
    const { x } = await program.run({
      code: float32(code, [rows, codeSize]),
      temperature: float32([temperature], []),
      ...(!mean && { noise: float32(noise, [rows, noiseSize]) }),
      ...(context !== undefined && { context }),
    });
    return x as NdArray<"float32">;
  });
}
