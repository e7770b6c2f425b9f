// Numbers of 16 bits as IEEE 754 has them (binary16): 1 bit of sign, 5 of the exponent, 10 of the fraction.

/** The largest finite number of 16 bits. */
export const LARGEST_HALF = 65504;

/** From here on a number is rounded to infinity: half-way between the largest number and what would come next. */
const TOO_LARGE = 65520;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Divides by a power of two and rounds to the nearest whole number, of two equally near ones to the even one. */
function shiftedToEven(value: number, shift: number): number {
  const whole = value >>> shift;
  const rest = value & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return rest > half || (rest === half && (whole & 1) === 1) ? whole + 1 : whole;
}

/** The 16 bits of the number that is nearest, of two equally near ones that with an even last bit; infinity beyond 65504. */
export function toHalf(value: number): number {
  float[0] = value;
  const word = bits[0] ?? 0;
  const sign = (word >>> 16) & 0x8000;
  const exponent = (word >>> 23) & 0xff;
  const fraction = word & 0x7fffff;
  // A number that is none keeps a bit of its fraction, or it would be infinity.
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200 | (fraction >>> 13));
  const power = exponent - 127;
  if (power > 15) return sign | 0x7c00;
  // What rounding carries over from the fraction is added to the exponent, as it should be.
  if (power >= -14) return sign | (((power + 15) << 10) + shiftedToEven(fraction, 13));
  if (power < -25) return sign;
  return sign | shiftedToEven(fraction | 0x800000, -1 - power);
}

/** The number that 16 bits stand for. */
export function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Numbers as halves, and those that are finite and would become infinite. */
export function toHalves(values: Float32Array): {
  readonly halves: Uint16Array;
  readonly overflow: { readonly count: number; readonly example: number } | undefined;
} {
  let count = 0;
  let example = 0;
  const halves = Uint16Array.from(values, (value) => {
    if (Number.isFinite(value) && Math.abs(value) >= TOO_LARGE && count++ === 0) example = value;
    return toHalf(value);
  });
  return { halves, overflow: count === 0 ? undefined : { count, example } };
}
