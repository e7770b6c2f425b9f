/**
 * A 64-bit FNV-1a hash over bytes and words, in hexadecimal. It tells apart data sets that changed; it does not
 * protect against anyone who wants a collision.
 */
export class Fingerprint {
  private low = 0x84222325;
  private high = 0xcbf29ce4;

  text(value: string): this {
    // The closing byte, which no UTF-8 has, keeps "ab" + "c" apart from "a" + "bc".
    return this.bytes(new TextEncoder().encode(value)).bytes(Uint8Array.of(0xff));
  }

  bytes(values: Uint8Array): this {
    let { low, high } = this;
    for (let i = 0; i < values.length; i++) {
      low = (low ^ (values[i] ?? 0)) >>> 0;
      // times the prime 2⁴⁰ + 0x1b3, in two halves of 32 bits
      const product = low * 0x1b3;
      high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
      low = product >>> 0;
    }
    this.low = low;
    this.high = high;
    return this;
  }

  /** The bytes of any typed array (of a little-endian machine). */
  values(values: ArrayBufferView): this {
    return this.bytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  toString(): string {
    const part = (word: number) => word.toString(16).padStart(8, "0");
    return part(this.high) + part(this.low);
  }
}
