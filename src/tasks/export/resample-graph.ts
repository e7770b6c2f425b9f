import { PADDING } from "../../detection/augment/draw.ts";
import type { GraphValue, GraphWriter } from "../../program/graph-writer.ts";

// What `eidos detect` does with an image before a detector sees it, within a graph, for images of any size: made smaller by Lanczos's filter
// as libvips does it, or enlarged by linear interpolation as `drawImage` does it, and padded to a square.

/** Lanczos's filter reaches over so many samples to either side. */
const REACH = 3;

/** How much of an axis is averaged in boxes before the filter, in parts of the whole reduction: libvips's gap. */
const GAP = 2;

/** Where an image lies on a square canvas: whole numbers as scalars of float64. */
export interface PlacedGraph {
  /** float32 [1, 3, side, side]. */
  readonly x: GraphValue;
  readonly width: GraphValue;
  readonly height: GraphValue;
  readonly innerWidth: GraphValue;
  readonly innerHeight: GraphValue;
  readonly left: GraphValue;
  readonly top: GraphValue;
}

/** An image, float32 [height, width, 3], and its sides as scalars of float64. */
export interface ImageGraph {
  readonly pixels: GraphValue;
  readonly width: GraphValue;
  readonly height: GraphValue;
}

const scalar = (size: GraphValue): GraphValue => size.squeeze(0).cast("float64");

/** An input of pixels, uint8 [height, width, 3]. */
export function imageGraph(pixels: GraphValue): ImageGraph {
  return { pixels, width: scalar(pixels.size(1)), height: scalar(pixels.size(0)) };
}

/** Rows of `to` positions along an axis of `from` samples: centers of pixels in samples, [to, 1]. */
function centers(graph: GraphWriter, from: GraphValue, to: GraphValue): GraphValue {
  const positions = graph.range(0, to.cast("int64")).cast("float64").unsqueeze(1);
  return positions.add(0.5).mul(from.div(to)).sub(0.5);
}

const normalized = (weights: GraphValue): GraphValue => weights.div(weights.sum(1, true)).cast("float32");

/** Linear interpolation, over as many samples as a pixel covers (`tapsOf`). @param places of the samples, int64; those beyond the axis have no weight */
function linearWeights(places: GraphValue, from: GraphValue, to: GraphValue): GraphValue {
  const at = places.cast("float64").unsqueeze(0);
  const radius = from.div(to).maximum(1);
  const weights = at
    .sub(centers(places.graph, from, to))
    .abs()
    .div(radius)
    .neg()
    .add(1)
    .maximum(0);
  const inside = at.greaterEqual(0).and(at.less(from));
  return normalized(weights.where(inside, 0));
}

/** Lanczos's filter. @param shrink samples of a pixel; libvips knows its position to a 64th of a sample */
function lanczosWeights(places: GraphValue, shrink: GraphValue, to: GraphValue): GraphValue {
  const { graph } = places;
  const positions = graph.range(0, to.cast("int64")).cast("float64").unsqueeze(1);
  const center = positions.add(0.5).mul(shrink).sub(0.5).mul(64).rounded().div(64);
  const distance = places.cast("float64").unsqueeze(0).sub(center).div(shrink).abs();
  const angle = distance.maximum(1e-6).mul(Math.PI);
  const value = angle.sin().mul(angle.div(REACH).sin()).mul(REACH).div(angle.mul(angle));
  return normalized(value.where(distance.less(REACH), 0));
}

/** Means of boxes of rows, float32 [n, columns] → [⌈n / box⌉, columns], rounded as libvips does with whole numbers. */
function inBoxes(rows: GraphValue, from: GraphValue, box: GraphValue, count: GraphValue): GraphValue {
  const { graph } = rows;
  const places = graph.range(0, count.mul(box).cast("int64")).minimum(from.cast("int64").sub(1));
  const shape = graph.concat([graph.ints([-1]), box.cast("int64").unsqueeze(0), rows.size(1)], 0);
  const sums = graph.op("Reshape", [rows.gather(places, 0), shape]).sum(1);
  const factor = graph
    .operand(2 ** 24, "float64")
    .div(box)
    .floor();
  const amended = sums.cast("float64").add(box.div(2).floor());
  const means = amended
    .mul(factor)
    .mul(2 ** -24)
    .floor()
    .cast("float32");
  return means.where(box.greater(1), sums);
}

/**
 * Rows [from, columns] of bytes as `to` rows: fewer by Lanczos's filter, after boxes where they are many times fewer, or more by linear
 * interpolation.
 */
function resampledRows(rows: GraphValue, smaller: GraphValue, from: GraphValue, to: GraphValue): GraphValue {
  const { graph } = rows;
  const one = graph.constant("float64", [1], []);
  const shrink = from.div(to);
  const box = shrink.div(GAP).floor().maximum(1).where(smaller, one);
  const count = graph.op("Ceil", [from.div(box)]);
  const boxed = inBoxes(rows, from, box, count);
  // The filter reads samples beyond the ends, which are those at the ends.
  const rest = shrink.div(box);
  const beyond = graph
    .op("Ceil", [rest.mul(REACH)])
    .add(1)
    .cast("int64");
  const last = count.cast("int64");
  const places = graph.op("Range", [beyond.neg(), last.add(beyond), graph.operand(1, "int64")], "int64");
  const weights = lanczosWeights(places, rest, to).where(smaller, linearWeights(places, from, to));
  const values = weights.matmul(boxed.gather(places.maximum(0).minimum(last.sub(1)), 0));
  const cut = values.maximum(0).minimum(255);
  // Made smaller, values are bytes again after either axis, as libvips has them.
  return cut.rounded().where(smaller, cut);
}

/** The pixels of an image at another size, float32 [3, height, width]. @param smaller whether it is made smaller, a scalar */
function resampled(
  { pixels, width, height }: ImageGraph,
  smaller: GraphValue,
  toWidth: GraphValue,
  toHeight: GraphValue,
): GraphValue {
  const rows = pixels.cast("float32").reshape([0, -1]);
  const columns = resampledRows(rows, smaller, height, toHeight).reshape([0, -1, 3]).transpose(1, 0, 2);
  return resampledRows(columns.reshape([0, -1]), smaller, width, toWidth)
    .reshape([0, -1, 3])
    .transpose(2, 1, 0);
}

/** The size at which an image fits into a square. */
function fitted({ width, height }: Pick<ImageGraph, "width" | "height">, side: number) {
  const { graph } = width;
  const scale = graph.operand(side, "float64").div(width.maximum(height));
  const of = (length: GraphValue): GraphValue => length.mul(scale).rounded().maximum(1).minimum(side);
  return { width: of(width), height: of(height) };
}

/** An image made smaller where its longer side is more than `longest`, as it is decoded for several looks: float32 [height, width, 3]. */
export function shrunkTo(image: ImageGraph, longest: number): ImageGraph {
  const { width, height } = image;
  const isLarger = width.maximum(height).greater(longest);
  const inner = fitted(image, longest);
  const [toWidth, toHeight] = [inner.width.where(isLarger, width), inner.height.where(isLarger, height)];
  return {
    pixels: resampled(image, isLarger, toWidth, toHeight).transpose(1, 2, 0),
    width: toWidth,
    height: toHeight,
  };
}

/**
 * An image in the middle of a square canvas.
 * @param whole the size by which it is placed; that of the image, or of a larger one that it was made of
 * @param linear whether it is made smaller by linear interpolation, too
 */
export function letterboxGraph(
  image: ImageGraph,
  whole: Pick<ImageGraph, "width" | "height">,
  side: number,
  linear: boolean,
): PlacedGraph {
  const { graph } = image.pixels;
  const inner = fitted(whole, side);
  const isLarger = linear ? graph.constant("bool", [0], []) : image.width.maximum(image.height).greater(side);
  const half = (length: GraphValue): GraphValue => length.neg().add(side).div(2).floor();
  const [left, top] = [half(inner.width), half(inner.height)];
  const seen = resampled(image, isLarger, inner.width, inner.height);
  const rest = (length: GraphValue, before: GraphValue): GraphValue => length.add(before).neg().add(side);
  const pads = graph.concat(
    [
      graph.ints([0]),
      top.cast("int64").unsqueeze(0),
      left.cast("int64").unsqueeze(0),
      graph.ints([0]),
      rest(inner.height, top).cast("int64").unsqueeze(0),
      rest(inner.width, left).cast("int64").unsqueeze(0),
    ],
    0,
  );
  const padded = graph.op("Pad", [seen, pads, graph.constant("float32", [PADDING], [])]);
  return {
    x: padded.unsqueeze(0),
    width: whole.width,
    height: whole.height,
    innerWidth: inner.width,
    innerHeight: inner.height,
    left,
    top,
  };
}
