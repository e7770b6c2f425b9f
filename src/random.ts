import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** The 128-bit key of a generator: four 32-bit words. Enough to restore the generator exactly. */
export type RandomKey = readonly [number, number, number, number];

/** murmur3's finaliser: every input bit changes about half of the output bits. */
function mix(word: number): number {
  let x = word | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

function absorb(key: RandomKey, word: number): RandomKey {
  let [a, b, c, d] = key;
  a = mix(a ^ word);
  b = mix((b + a) ^ 0x9e3779b9);
  c = mix((c + b) ^ 0x7f4a7c15);
  d = mix((d + c) ^ 0x94d049bb);
  return [mix(a + d), b, c, d];
}

/**
 * A seeded, splittable generator (xoroshiro128+ of pure-rand under a hashed key). A child depends on its parent's key
 * and its label alone, not on how many numbers were drawn, so step 512 of a run has the same noise whether or not the
 * run was interrupted, and the same in Node and in a browser.
 */
export class Random {
  readonly key: RandomKey;
  private readonly source: RandomGenerator;
  private spare: number | undefined;

  constructor(seed: number | RandomKey) {
    this.key =
      typeof seed === "number"
        ? absorb(
            absorb([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], seed >>> 0),
            Math.floor(seed / 2 ** 32) | 0,
          )
        : seed;
    // The all-zero state is the one from which xoroshiro cannot leave.
    this.source = xoroshiro128plusFromState(
      this.key.some((word) => word !== 0) ? [...this.key] : [1, 2, 3, 4],
    );
  }

  /** An independent generator named by the label; the same label always gives the same child. */
  split(label: string | number): Random {
    let key = absorb(this.key, typeof label === "number" ? 1 : 2);
    if (typeof label === "number") {
      key = absorb(absorb(key, label >>> 0), Math.floor(label / 2 ** 32) | 0);
    } else {
      for (let i = 0; i < label.length; i++) key = absorb(key, label.charCodeAt(i));
    }
    return new Random(key);
  }

  /** A float64 uniform on the open interval (0, 1), with 32 random bits. */
  uniform(): number {
    return ((this.source.next() >>> 0) + 0.5) / 2 ** 32;
  }

  /** A standard normal, by Box and Muller. */
  normal(): number {
    if (this.spare !== undefined) {
      const value = this.spare;
      this.spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** An integer uniform on [0, bound). The bias is below bound / 2³². */
  integer(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** The integers 0 … count − 1 in random order (Fisher and Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = order[i] ?? 0;
      order[i] = order[j] ?? 0;
      order[j] = held;
    }
    return order;
  }

  /** Fills the array with uniforms on [0, 1), rounded to float32 below 1. */
  fillUniform(target: Float32Array | Float64Array): void {
    for (let i = 0; i < target.length; i++) target[i] = (this.source.next() >>> 8) / 2 ** 24;
  }

  /** Fills the array with standard normals. */
  fillNormal(target: Float32Array | Float64Array): void {
    for (let i = 0; i < target.length; i++) target[i] = this.normal();
  }

  /**
   * Fills rows one after another, each from the child generator of its number: row `r` is what
   * `split(first + r).fillNormal(row)` or `.fillUniform(row)` would make it. Short rows are common (a batch of points),
   * and a generator object for each would cost more than its numbers.
   */
  fillRows(target: Float32Array, rows: number, first: number, distribution: "normal" | "uniform"): void {
    const size = target.length / Math.max(rows, 1);
    const parent = absorb(this.key, 1);
    const state = new Int32Array(4);
    for (let row = 0; row < rows; row++) {
      childState(state, parent, first + row);
      const start = row * size;
      if (distribution === "uniform") {
        for (let i = 0; i < size; i++) target[start + i] = (next(state) >>> 8) / 2 ** 24;
        continue;
      }
      for (let i = 0; i < size; i += 2) {
        const radius = Math.sqrt(-2 * Math.log(((next(state) >>> 0) + 0.5) / 2 ** 32));
        const angle = 2 * Math.PI * (((next(state) >>> 0) + 0.5) / 2 ** 32);
        target[start + i] = radius * Math.cos(angle);
        if (i + 1 < size) target[start + i + 1] = radius * Math.sin(angle);
      }
    }
  }
}

/** The state in which the child of number `label` begins, from its parent's key that has absorbed the kind of label. */
function childState(state: Int32Array, parent: RandomKey, label: number): void {
  let [a, b, c, d] = parent;
  for (let word = 0; word < 2; word++) {
    a = mix(a ^ (word === 0 ? label >>> 0 : Math.floor(label / 2 ** 32) | 0));
    b = mix((b + a) ^ 0x9e3779b9);
    c = mix((c + b) ^ 0x7f4a7c15);
    d = mix((d + c) ^ 0x94d049bb);
    a = mix(a + d);
  }
  const dead = (a | b | c | d) === 0;
  state[0] = dead ? 1 : a;
  state[1] = dead ? 2 : b;
  state[2] = dead ? 3 : c;
  state[3] = dead ? 4 : d;
}

/** The next 32 bits of xoroshiro128+ (Blackman and Vigna 2018), with the words in pure-rand's order. */
function next(state: Int32Array): number {
  const s01 = state[0] ?? 0;
  const s00 = state[1] ?? 0;
  const s11 = state[2] ?? 0;
  const s10 = state[3] ?? 0;
  const a0 = s10 ^ s00;
  const a1 = s11 ^ s01;
  state[0] = (s01 << 24) ^ (s00 >>> 8) ^ a1 ^ ((a1 << 16) | (a0 >>> 16));
  state[1] = (s00 << 24) ^ (s01 >>> 8) ^ a0 ^ (a0 << 16);
  state[2] = (a0 << 5) ^ (a1 >>> 27);
  state[3] = (a1 << 5) ^ (a0 >>> 27);
  return (s00 + s10) | 0;
}
