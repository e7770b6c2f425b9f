import type { SplitName } from "../../data/sources/data-set.ts";
import type { Shard } from "../../data/sources/shard.ts";
import { FeatureNetwork } from "../../detection/network/feature-network.ts";
import { OptionError, RuntimeError } from "../../errors.ts";
import { type Embedder, isEmbedder, type Model } from "../../model/capabilities.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { input, type Tensor } from "../../tensor/index.ts";
import { readSource, SOURCE_BATCH, type Source } from "../run/inputs.node.ts";
import { type LoadedRun, refuse } from "../run/load.node.ts";

/** How maps become rows: every number of every location, or the mean over locations. */
export const POOLS = ["none", "mean"] as const;

/** Which features are taken. */
export interface LayerOptions {
  /** Name of a layer; default: `code`. */
  readonly layer?: string | undefined;
  /** Default: none. */
  readonly pool?: (typeof POOLS)[number] | undefined;
}

/** How samples are embedded. */
export interface EmbedOptions extends LayerOptions {
  readonly split?: SplitName | undefined;
  /** Of the noise of categories. */
  readonly seed?: number | undefined;
  /** So many rows at the beginning, of a shard of its own beginning, are not computed. */
  readonly from?: number | undefined;
  /** Embeds the samples of a shard alone. */
  readonly shard?: Shard | undefined;
  readonly onUnreadable?: ((file: string) => void) | undefined;
}

/** Features of consecutive samples. */
export interface FeatureBatch {
  readonly firstRow: number;
  /** [count, …]: of a vector [count, units], of a map [count, channels, height, width]. */
  readonly features: NdArray<"float32">;
  /** The samples themselves, [count, …sampleShape] in data units. */
  readonly x: NdArray<"float32">;
  /** Paths of the images within their folder. */
  readonly files?: readonly string[];
  /** Their classes, where the data has some. */
  readonly labels?: readonly number[];
}

/** The backbone of a detector: its maps by their strides, and as the code the mean of the coarsest over locations. */
function backboneOf(model: Model): Embedder | undefined {
  const { features: network }: { readonly features?: unknown } = model;
  if (!(network instanceof FeatureNetwork)) return undefined;
  return {
    features(x) {
      const { maps, levels } = network.backboneMaps(x);
      const named = Object.fromEntries(maps.map((map, i) => [`stride${levels[i]?.stride}`, map]));
      const local = inputAt(maps, maps.length - 1);
      return { ...named, local, code: local.mean([2, 3]) };
    },
  };
}

/** The features of a run's model; of a detector those of its backbone. @throws OptionError where it has none */
export function embedderOf(run: Pick<LoadedRun, "config" | "definition" | "model">): Embedder {
  const { model } = run;
  const embedder = isEmbedder(model) ? model : backboneOf(model);
  return embedder ?? refuse(run, "embed");
}

/** The layer of an embedder's features, pooled. @throws OptionError where there is none of that name */
export function layerOf(
  embedder: Embedder,
  x: Tensor,
  { layer = "code", pool = "none" }: LayerOptions,
): Tensor {
  const features = embedder.features(x);
  const found = Object.hasOwn(features, layer) ? features[layer] : undefined;
  if (found === undefined) {
    throw new OptionError(
      `option layer: there is no layer ${layer}; there are ${Object.entries(features)
        .map(([name, { shape }]) => `${name} [${shape.slice(1)}]`)
        .join(", ")}`,
    );
  }
  if (pool === "none") return found;
  if (found.shape.length !== 4) {
    throw new OptionError(
      `option pool: ${layer} is a vector [${found.shape.slice(1)}], which has no locations; leave it out`,
    );
  }
  return found.mean([2, 3]);
}

/** Shape of the features of one sample. @throws OptionError as `layerOf` */
export function layerShape(run: LoadedRun, options: LayerOptions): readonly number[] {
  const { sampleShape } = run.config.dataInfo;
  const { shape } = layerOf(embedderOf(run), input("x", [1, ...sampleShape]), options);
  return shape.slice(1).map(Number);
}

/** Numbers of samples that go through a network together. */
const CHUNK_ELEMENTS = 1 << 22;

/**
 * A function from samples [n, …sampleShape] in data units to the features of a layer, [n, …]. Samples go through the network in parts of one size.
 * @param padded how many rows that size has for so many samples; default: as many as go through together
 * @throws OptionError where the model has no features or no such layer; RuntimeError where features are not finite
 */
export function embedding(
  run: LoadedRun,
  options: LayerOptions = {},
  padded: (count: number) => number = () => SOURCE_BATCH,
): (x: NdArray<"float32">) => Promise<NdArray<"float32">> {
  const { session, model } = run;
  const embedder = embedderOf(run);
  const { layer = "code", pool = "none" } = options;
  const compiled = session.compiled(model, `layer ${layer} ${pool}`, ["x"], ({ x }) => ({
    features: layerOf(embedder, x, options),
  }));
  const shape = layerShape(run, options);
  const [size, width] = [elementCount(run.config.dataInfo.sampleShape), elementCount(shape)];
  const most = Math.max(1, Math.min(SOURCE_BATCH, Math.floor(CHUNK_ELEMENTS / size)));
  return async (x) => {
    const [count = 0] = x.shape;
    const rows = Math.min(most, padded(count));
    const all = new Float32Array(count * width);
    for (let first = 0; first < count; first += rows) {
      const held = Math.min(rows, count - first);
      // The last part is filled up, so that one program serves all and a row does not depend on how many come with it.
      const part = new Float32Array(rows * size);
      part.set(x.data.subarray(first * size, (first + held) * size));
      const { features } = await compiled.run({ x: float32(part, [rows, ...x.shape.slice(1)]) });
      all.set((features.data as Float32Array).subarray(0, held * width), first * width);
    }
    const bad = all.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new RuntimeError(
        `sample ${Math.floor(bad / width)} has the feature ${all[bad]} in layer ${layer}; the model has diverged, fit it with a lower learningRate`,
      );
    }
    return float32(all, [count, ...shape]);
  };
}

/**
 * Features of the samples of some data, batch by batch, as `readSource` reads it.
 * @throws OptionError where the model has no features, or the data is of another kind; DataError
 */
export async function* embedRun(
  run: LoadedRun,
  source: Source | undefined,
  options: EmbedOptions = {},
): AsyncGenerator<FeatureBatch> {
  const { layer, pool, split = "test", seed = 0, from = 0, shard, onUnreadable } = options;
  const features = embedding(run, { layer, pool });
  const { marks, sampleShape } = run.config.dataInfo;
  if (source === undefined && marks === "boxes") {
    throw new OptionError(
      `embed: name a folder of images; the run was fitted on images with boxes (${run.config.data})`,
    );
  }
  const width = elementCount(sampleShape);
  const reading = { split, seed, shard, ...(onUnreadable !== undefined && { onUnreadable }) };
  let seen = 0;
  for await (const { x, firstRow, files, label } of readSource(run, source, reading)) {
    const count = x.shape[0] ?? 0;
    const skipped = Math.min(count, Math.max(0, from - seen));
    seen += count;
    if (skipped === count) continue;
    const kept = float32(x.data.subarray(skipped * width), [count - skipped, ...x.shape.slice(1)]);
    yield {
      firstRow: firstRow + skipped,
      x: kept,
      features: await features(kept),
      ...(files !== undefined && { files: files.slice(skipped) }),
      ...(label !== undefined && { labels: Array.from(label.data, Number).slice(skipped) }),
    };
  }
}

/** Features of all samples of some data. */
export interface Embedded {
  /** [count, …]. */
  readonly features: NdArray<"float32">;
  readonly files?: readonly string[];
  readonly labels?: readonly number[];
}

/** As `embedRun`, gathered. */
export async function embedAll(
  run: LoadedRun,
  source: Source | undefined,
  options: EmbedOptions = {},
): Promise<Embedded> {
  const parts: NdArray<"float32">[] = [];
  const files: string[] = [];
  const labels: number[] = [];
  for await (const batch of embedRun(run, source, options)) {
    parts.push(batch.features);
    files.push(...(batch.files ?? []));
    labels.push(...(batch.labels ?? []));
  }
  return {
    features: joined(parts),
    ...(files.length > 0 && { files }),
    ...(labels.length > 0 && { labels }),
  };
}

/** Arrays [n, …] of one shape, one after another. */
export function joined(parts: readonly NdArray<"float32">[]): NdArray<"float32"> {
  const count = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
  const shape = parts[0]?.shape.slice(1) ?? [];
  const data = new Float32Array(count * elementCount(shape));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return float32(data, [count, ...shape]);
}
