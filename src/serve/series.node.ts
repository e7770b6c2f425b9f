import { isPicture } from "../data/sources/data-set.ts";
import { encodePng, type Raster } from "../report/index.ts";
import type { LoadedRun } from "../tasks/run/load.node.ts";
import { asWritten, checkFinite, sampleRows, seriesGrid } from "../tasks/run/outputs.node.ts";
import { editRun, editStrips } from "../tasks/use/edit.node.ts";
import { inpaintingStrips, inpaintRun, knownMask } from "../tasks/use/inpaint.node.ts";
import { interpolateRun } from "../tasks/use/interpolate.node.ts";
import { sampleStatesOf } from "../tasks/use/sample.node.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import type { RunConfig } from "../train/run-config.ts";
import type { Answer, SeriesWork, Unknown } from "./abilities.ts";

// Samples that are completed, edited, led from one to another, or shown as they form.

/**
 * A series of samples for each one that was sent, or for each pair: of pictures [n, length, channels, height, width], or a row of one picture;
 * of rows one after the other.
 * @param x what was sent, [n, …sampleShape]
 * @param onProgress called now and then; what it throws ends the work
 */
export async function seriesOf(
  run: LoadedRun,
  x: NdArray<"float32">,
  work: SeriesWork,
  onProgress: () => void,
): Promise<Answer> {
  const { dataInfo } = run.config;
  const answer = async (made: NdArray<"float32">, raster: () => Raster): Promise<Answer> => {
    checkFinite(made);
    if (!isPicture(dataInfo)) return rowsOf(dataInfo, [made]);
    if (work.picture) return { kind: "picture", type: "image/png", bytes: await encodePng(raster()) };
    return { kind: "array", array: asWritten(dataInfo, made) };
  };
  switch (work.kind) {
    case "inpaint": {
      const known = await knownOf(run, work.unknown);
      const drawn = await inpaintRun(run, { x }, { ...given(work.options), known, onProgress });
      return answer(drawn, () => inpaintingStrips({ x, known, drawn }, dataInfo.kind));
    }
    case "edit": {
      const edited = await editRun(run, { ...given(work.options), x, onProgress });
      return answer(edited, () => editStrips(dataInfo, x, edited));
    }
    case "interpolate": {
      const { steps, label } = work.options;
      const { data, shape } = await interpolateRun(run, x, { steps, label });
      const path = float32(data, [(shape[0] ?? 0) / steps, steps, ...shape.slice(1)]);
      return answer(path, () => seriesGrid(dataInfo, path, steps));
    }
  }
}

/** Samples that are rows, one after the other. */
function rowsOf(info: RunConfig["dataInfo"], made: readonly NdArray<"float32">[]): Answer {
  const [width = 1] = info.sampleShape;
  const tables = made.map((samples) => {
    checkFinite(samples);
    return sampleRows(info, float32(samples.data, [samples.data.length / width, width]));
  });
  return { kind: "table", names: tables[0]?.names ?? [], rows: tables.flatMap(({ rows }) => rows) };
}

/**
 * Samples as they form: of pictures [states, count, channels, height, width], of rows one state after the other.
 * @param onProgress called for each state; what it throws ends the work
 */
export async function formingOf(
  run: LoadedRun,
  options: { readonly count: number; readonly seed: number; readonly states: number } & Readonly<
    Record<string, unknown>
  >,
  onProgress: () => void,
): Promise<Answer> {
  const states = await sampleStatesOf(run, { ...options, onState: () => onProgress() });
  const { dataInfo } = run.config;
  if (!isPicture(dataInfo)) return rowsOf(dataInfo, states);
  const written = states.map((state) => {
    checkFinite(state);
    return asWritten(dataInfo, state);
  });
  const size = written[0]?.data.length ?? 0;
  const data = new Float32Array(written.length * size);
  for (const [i, state] of written.entries()) data.set(state.data, i * size);
  return { kind: "array", array: float32(data, [written.length, ...(written[0]?.shape ?? [])]) };
}

/** Options without those that are not given. */
function given<O extends { readonly label?: number | undefined; readonly steps?: number | undefined }>({
  label,
  steps,
  ...rest
}: O) {
  return { ...rest, ...(label !== undefined && { label }), ...(steps !== undefined && { steps }) };
}

/** Which numbers of pictures are known, [1 or n, channels, height, width]. */
async function knownOf(run: LoadedRun, unknown: Unknown): Promise<NdArray<"float32">> {
  if (unknown.kind === "half") return knownMask(run, unknown);
  const [channels = 1] = run.config.dataInfo.sampleShape;
  const {
    data,
    shape: [count = 1, height = 1, width = 1],
  } = unknown.mask;
  const size = height * width;
  const known = new Float32Array(count * channels * size);
  for (let plane = 0; plane < count * channels; plane++) {
    const mask = data.subarray(Math.floor(plane / channels) * size);
    for (let pixel = 0; pixel < size; pixel++) known[plane * size + pixel] = 1 - (mask[pixel] ?? 0);
  }
  return float32(known, [count, channels, height, width]);
}
