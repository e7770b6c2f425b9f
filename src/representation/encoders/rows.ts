import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { SampleSpace } from "../../model/sample-space.ts";
import { kaimingNormal } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { BatchNorm1d } from "../../nn/normalization.ts";
import { concat, elementCount, slice, type Tensor } from "../../tensor/index.ts";
import type { Encoder, Layers } from "./encoder.ts";
import { channelsOf, type EncoderOptions } from "./options.ts";

/** Groups of columns where there are more columns than that. */
const USUAL_GROUPS = 16;

/** A group of neighboring columns: numbers of a row from `start` up to `end`. */
interface Group {
  readonly start: number;
  readonly end: number;
}

/** Divides columns of these sizes among groups of about as many columns each. The numbers of a category stay together. */
function groupsOf(sizes: readonly number[], count: number): readonly Group[] {
  const ends = sizes.map((_, i) => sizes.slice(0, i + 1).reduce((a, b) => a + b, 0));
  const endOf = (group: number): number => ends[Math.floor((group * sizes.length) / count) - 1] ?? 0;
  return Array.from({ length: count }, (_, group) => ({ start: endOf(group), end: endOf(group + 1) }));
}

/**
 * A perceptron for rows of tables and for points. Each group of neighboring columns is seen by a layer of its own, whose units are the local features
 * of that group, [n, channels, groups, 1]; all of them go to the hidden layer `fc`, which the code is a linear function of.
 */
export class RowEncoder implements Encoder {
  readonly groups: readonly Linear[];
  readonly norm: BatchNorm1d;
  readonly fc: Linear;
  readonly fcNorm: BatchNorm1d;
  readonly code: Linear;
  readonly codeSize: number;
  readonly localShape: readonly [number, number, number];
  private readonly spans: readonly Group[];
  private readonly space: SampleSpace;

  /** @throws OptionError where there are more groups than columns */
  constructor(options: EncoderOptions, data: DataInfo) {
    const { hidden, codeSize } = options;
    const channels = channelsOf(options);
    const sizes =
      data.columns?.map(({ size }) => size) ?? new Array<number>(elementCount(data.sampleShape)).fill(1);
    const count = options.groups ?? Math.min(USUAL_GROUPS, sizes.length);
    if (count > sizes.length) {
      throw new OptionError(
        `option groups: ${count} groups cannot be made of ${sizes.length} column${sizes.length === 1 ? "" : "s"}; take at most ${sizes.length}`,
      );
    }
    const plain = { bias: false, initializeWeight: kaimingNormal() };
    this.spans = groupsOf(sizes, count);
    this.groups = this.spans.map(({ start, end }) => new Linear(end - start, channels));
    this.norm = new BatchNorm1d(channels * count);
    this.fc = new Linear(channels * count, hidden, plain);
    this.fcNorm = new BatchNorm1d(hidden);
    this.code = new Linear(hidden, codeSize);
    this.codeSize = codeSize;
    this.localShape = [channels, count, 1];
    this.space = new SampleSpace(data);
  }

  layers(x: Tensor): Layers {
    const rows = x.shape[0] ?? 1;
    const seen = this.space.seen(x).reshape([rows, -1]);
    const parts = this.groups.map((layer, i) => {
      const { start, end } = this.spans[i] ?? { start: 0, end: 0 };
      return layer.forward(slice(seen, 1, start, end));
    });
    const [channels, count] = this.localShape;
    const all = this.norm.forward(concat(parts, 1)).relu();
    const local = all.reshape([rows, count, channels]).transpose().unsqueeze(3);
    const fc = this.fcNorm.forward(this.fc.forward(all)).relu();
    return { local, fc, code: this.code.forward(fc) };
  }
}
