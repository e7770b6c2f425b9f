import { readFile } from "node:fs/promises";
import { float32, type NdArray } from "../../../src/tensor/index.ts";

/** Inputs and results of torchvision, as test/fixtures/regions/regions.py writes them. */
export interface RegionCases {
  readonly align: AlignCase;
  readonly aligned: AlignCase;
  readonly samples: AlignCase;
  readonly pool: Pick<AlignCase, "bins" | "regions" | "output">;
  readonly pyramid: {
    readonly sides: readonly number[];
    readonly output: readonly number[];
    readonly levels: readonly number[];
  };
  readonly matching: {
    readonly objects: readonly number[];
    readonly candidates: readonly number[];
    readonly thresholds: readonly (readonly [
      high: number,
      low: number,
      lowQuality: boolean,
      matches: readonly number[],
    ])[];
  };
  readonly coding: {
    readonly encoded: readonly number[];
    readonly deltas: readonly number[];
    readonly decoded: readonly number[];
  };
  readonly proposals: {
    readonly anchors: readonly number[];
    readonly boxes: readonly (readonly number[])[];
    readonly scores: readonly (readonly number[])[];
  };
  readonly "rpn losses": {
    readonly boxes: readonly number[];
    readonly losses: readonly number[];
    readonly sampled: number;
  };
  readonly "region losses": { readonly classes: readonly number[]; readonly losses: readonly number[] };
  readonly whole: {
    readonly parameters: Readonly<
      Record<string, { readonly shape: readonly number[]; readonly scale: number; readonly phase: number }>
    >;
    readonly images: readonly {
      readonly width: number;
      readonly height: number;
      readonly boxes: readonly number[];
      readonly scores: readonly number[];
      readonly labels: readonly number[];
    }[];
    readonly losses: Readonly<Record<string, number>>;
    readonly sampled: Readonly<Record<"anchors" | "regions", readonly [number, number]>>;
    readonly gradients: Readonly<Record<string, readonly number[]>>;
  };
}

interface AlignCase {
  readonly bins: number;
  readonly samples: number;
  readonly aligned: boolean;
  readonly regions: readonly number[];
  readonly output: readonly number[];
  readonly gradient: readonly number[];
}

export async function regionCases(): Promise<RegionCases> {
  return JSON.parse(await readFile(new URL("../../fixtures/regions/regions.json", import.meta.url), "utf8"));
}

/** The numbers that regions.py makes: offset + scale · (2 u − 1), u the fraction of 43758.5453 sin(12.9898 i + phase). */
export function noise(shape: readonly number[], scale: number, offset = 0, phase = 0): NdArray<"float32"> {
  const count = shape.reduce((a, b) => a * b, 1);
  const at = (i: number) => {
    const place = 43758.5453 * Math.sin(12.9898 * i + phase);
    return offset + scale * (2 * (place - Math.floor(place)) - 1);
  };
  return float32(
    Array.from({ length: count }, (_, i) => at(i)),
    shape,
  );
}
