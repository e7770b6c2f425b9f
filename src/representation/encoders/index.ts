import type { DataInfo } from "../../model/data-info.ts";
import { BackboneEncoder } from "./backbone.ts";
import { ConvolutionalEncoder } from "./convolutional.ts";
import type { Encoder } from "./encoder.ts";
import type { EncoderOptions } from "./options.ts";
import { RowEncoder } from "./rows.ts";

export { BackboneEncoder } from "./backbone.ts";
export { ConvolutionalEncoder } from "./convolutional.ts";
export type { Encoder, Layers } from "./encoder.ts";
export { type EncoderOptions, encoderOptions } from "./options.ts";
export { RowEncoder } from "./rows.ts";

/**
 * The encoder for data: convolutional for images, or the backbone that is named, a perceptron for rows and points.
 * @throws OptionError where options do not fit the data
 */
export function encoderFor(options: EncoderOptions, data: DataInfo): Encoder {
  if (options.backbone !== undefined) return new BackboneEncoder(options.backbone, options, data);
  return data.sampleShape.length === 3
    ? new ConvolutionalEncoder(options, data)
    : new RowEncoder(options, data);
}
