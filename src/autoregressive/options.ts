import { z } from "zod";
import { ELEMENT_ORDERS } from "./element-order.ts";

/** Options of every model of vectors here: the order of the elements. */
export const orderOptions = z.strictObject({
  order: z
    .enum(ELEMENT_ORDERS)
    .default("natural")
    .describe("order of the elements: their own (images: row by row), or a random one"),
  orderSeed: z.int().min(0).default(0).describe("seed of random orders and masks"),
});

const share = z.number().min(0).lt(1);

/** What keeps perceptrons from learning their training samples by heart. */
export const dropoutOptions = z.strictObject({
  dropout: share.default(0).describe("share of hidden units that each training step leaves out"),
  inputDropout: share.default(0).describe("share of inputs that each training step leaves out"),
});
