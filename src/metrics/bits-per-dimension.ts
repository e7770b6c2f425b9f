/**
 * Bits per dimension of 8-bit data: −log p / (D ln 2), where log p (in nats) is the log-density with respect to byte
 * units, so that the uniform distribution on [0, 256)ᴰ has exactly 8. By Jensen's inequality the density of uniformly
 * dequantised bytes bounds the code length of the bytes from above (Theis, van den Oord and Bethge 2016, "A note on
 * the evaluation of generative models", section 3.1).
 */
export function bitsPerDimension(logProb: number, dimensions: number): number {
  return -logProb / (dimensions * Math.LN2);
}
