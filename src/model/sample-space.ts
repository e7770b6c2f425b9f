import { argMax } from "../tensor/index.operations.ts";
import { concat, oneHot, slice, type Tensor, uniform } from "../tensor/index.ts";
import type { DataInfo } from "./data-info.ts";

/** Points lie in about [−4, 4]². */
const POINT_SCALE = 2;
const BYTE_SCALE = 127.5;

/** A column of a table, or all numbers of a sample. */
interface Span {
  readonly start: number;
  readonly size: number;
  readonly isCategory: boolean;
}

/**
 * The space in which networks see samples: bytes of images on [−1, 1], points halved, table columns
 * standardized as they are. The code of a category, which in data has noise on it, is seen without: its largest number
 * is 1, all others 0.
 */
export class SampleSpace {
  private readonly kind: DataInfo["kind"];
  private readonly spans: readonly Span[];

  constructor({ kind, columns = [] }: DataInfo) {
    this.kind = kind;
    let start = 0;
    const spans = columns.map(({ size, mean }) => {
      const span = { start, size, isCategory: mean === undefined };
      start += size;
      return span;
    });
    this.spans = spans.some(({ isCategory }) => isCategory) ? spans : [];
  }

  /** Where the codes of categories stand in a sample. */
  get categories(): readonly Span[] {
    return this.spans.filter(({ isCategory }) => isCategory);
  }

  /** Treats the codes of categories and leaves numbers as they are. */
  private mapCategories(x: Tensor, map: (code: Tensor, span: Span) => Tensor): Tensor {
    if (this.spans.length === 0) return x;
    const pieces = this.spans.map((span) => {
      const piece = slice(x, 1, span.start, span.start + span.size);
      return span.isCategory ? map(piece, span) : piece;
    });
    return concat(pieces, 1);
  }

  /** From data units. */
  seen(x: Tensor): Tensor {
    switch (this.kind) {
      case "image":
        return x.mul(1 / BYTE_SCALE).sub(1);
      case "points":
        return x.mul(1 / POINT_SCALE);
      default:
        return this.mapCategories(x, (code, { size }) => oneHot(argMax(code, 1), size));
    }
  }

  /**
   * What a generator's last layer makes: bytes by tanh; a category by the largest of its numbers, with the gradient of
   * their softmax (the straight-through estimator of Bengio et al. 2013).
   */
  generated(raw: Tensor): Tensor {
    if (this.kind === "image") return raw.tanh();
    return this.mapCategories(raw, (logits, { size }) => {
      const soft = logits.softmax(1);
      return oneHot(argMax(logits, 1), size).add(soft.sub(soft.stopGradient()));
    });
  }

  /** To data units; codes of categories without noise. */
  data(seen: Tensor): Tensor {
    switch (this.kind) {
      case "image":
        return seen.add(1).mul(BYTE_SCALE);
      case "points":
        return seen.mul(POINT_SCALE);
      default:
        return seen;
    }
  }

  /** Noise on the codes of categories as data has it, uniform on [−½, ½). */
  withNoise(x: Tensor): Tensor {
    return this.mapCategories(x, (code) => code.add(uniform(code.shape)).sub(0.5));
  }
}
