// The update of a training step as WebAssembly with SIMD: what src/nn/optimizer.ts says symbolically, in place on vectors that lie in the
// module's memory. src/train/vector-update.ts calls these functions on pieces that fit into a processor's cache.
//
// AssemblyScript: TypeScript whose numbers are those of WebAssembly. `npx tsx scripts/build-update.ts` compiles it. Addresses are in bytes,
// counts in float32 numbers. Each loop handles four numbers at a time, and its end those that are left one by one, by the same
// operations in the same order, so that a number's result does not depend on where it lies.

/** Bytes of four float32 numbers. */
const STRIDE: usize = 16;

/** Moments below this become 0: WebAssembly computes with denormal numbers, which many processors are slow with. */
const TINY: f32 = 1e-36;

/** NaN and infinities stay as they are, since they compare as not smaller. */
@inline
function flushed4(x: v128): v128 {
  return v128.andnot(x, f32x4.lt(f32x4.abs(x), f32x4.splat(TINY)));
}

@inline
function flushed(x: f32): f32 {
  return abs(x) < TINY ? 0 : x;
}

/** Σ x² of numbers, in double precision, by two sums of alternate numbers. */
export function squareSum(x: usize, count: usize): f64 {
  let even = f64x2.splat(0);
  const end = x + (count & ~3) * 4;
  const last = x + count * 4;
  while (x < end) {
    const four = v128.load(x);
    const low = f64x2.promote_low_f32x4(four);
    const high = f64x2.promote_low_f32x4(v128.shuffle<i32>(four, four, 2, 3, 0, 1));
    even = f64x2.add(even, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
    x += STRIDE;
  }
  let sum = f64x2.extract_lane(even, 0) + f64x2.extract_lane(even, 1);
  while (x < last) {
    const one = <f64>load<f32>(x);
    sum += one * one;
    x += 4;
  }
  return sum;
}

/** x ← x + y. */
export function add(x: usize, y: usize, count: usize): void {
  const end = x + (count & ~3) * 4;
  const last = x + count * 4;
  while (x < end) {
    v128.store(x, f32x4.add(v128.load(x), v128.load(y)));
    x += STRIDE;
    y += STRIDE;
  }
  while (x < last) {
    store<f32>(x, load<f32>(x) + load<f32>(y));
    x += 4;
    y += 4;
  }
}

/**
 * Adam on the discounted sums m = Σ β₁ᵏ g and v = Σ β₂ᵏ g²: g ← s g + λ θ, m ← β₁ m + g, v ← β₂ v + g²,
 * θ ← d θ − η m / (√v + ε).
 * @param penalty λ of an L2 penalty @param keep d, which decoupled weight decay leaves of a parameter
 */
export function adam(
  parameters: usize,
  gradient: usize,
  sum: usize,
  squares: usize,
  count: usize,
  scale: f32,
  penalty: f32,
  keep: f32,
  beta1: f32,
  beta2: f32,
  rate: f32,
  epsilon: f32,
): void {
  const end = parameters + (count & ~3) * 4;
  const last = parameters + count * 4;
  const scales = f32x4.splat(scale);
  const penalties = f32x4.splat(penalty);
  const keeps = f32x4.splat(keep);
  const firsts = f32x4.splat(beta1);
  const seconds = f32x4.splat(beta2);
  const rates = f32x4.splat(rate);
  const epsilons = f32x4.splat(epsilon);
  while (parameters < end) {
    const p = v128.load(parameters);
    let g = f32x4.mul(v128.load(gradient), scales);
    if (penalty != 0) g = f32x4.add(g, f32x4.mul(p, penalties));
    const m = flushed4(f32x4.add(f32x4.mul(v128.load(sum), firsts), g));
    const v = flushed4(f32x4.add(f32x4.mul(v128.load(squares), seconds), f32x4.mul(g, g)));
    const direction = f32x4.div(m, f32x4.add(f32x4.sqrt(v), epsilons));
    v128.store(parameters, f32x4.sub(f32x4.mul(p, keeps), f32x4.mul(direction, rates)));
    v128.store(sum, m);
    v128.store(squares, v);
    parameters += STRIDE;
    gradient += STRIDE;
    sum += STRIDE;
    squares += STRIDE;
  }
  while (parameters < last) {
    const p = load<f32>(parameters);
    let g = load<f32>(gradient) * scale;
    if (penalty != 0) g += p * penalty;
    const m = flushed(load<f32>(sum) * beta1 + g);
    const v = flushed(load<f32>(squares) * beta2 + g * g);
    store<f32>(parameters, p * keep - (m / (sqrt(v) + epsilon)) * rate);
    store<f32>(sum, m);
    store<f32>(squares, v);
    parameters += 4;
    gradient += 4;
    sum += 4;
    squares += 4;
  }
}

/**
 * Stochastic gradient descent: g ← s g + λ θ, u ← μ u + g, θ ← θ − η u, or θ − η (g + μ u) with Nesterov's look-ahead. Without momentum
 * nothing is kept, and `velocity` is not touched.
 */
export function sgd(
  parameters: usize,
  gradient: usize,
  velocity: usize,
  count: usize,
  scale: f32,
  penalty: f32,
  momentum: f32,
  nesterov: bool,
  rate: f32,
): void {
  const end = parameters + (count & ~3) * 4;
  const last = parameters + count * 4;
  const scales = f32x4.splat(scale);
  const penalties = f32x4.splat(penalty);
  const momenta = f32x4.splat(momentum);
  const rates = f32x4.splat(rate);
  while (parameters < end) {
    const p = v128.load(parameters);
    let g = f32x4.mul(v128.load(gradient), scales);
    if (penalty != 0) g = f32x4.add(g, f32x4.mul(p, penalties));
    let direction = g;
    if (momentum != 0) {
      const u = flushed4(f32x4.add(f32x4.mul(v128.load(velocity), momenta), g));
      v128.store(velocity, u);
      direction = nesterov ? f32x4.add(g, f32x4.mul(u, momenta)) : u;
      velocity += STRIDE;
    }
    v128.store(parameters, f32x4.sub(p, f32x4.mul(direction, rates)));
    parameters += STRIDE;
    gradient += STRIDE;
  }
  while (parameters < last) {
    const p = load<f32>(parameters);
    let g = load<f32>(gradient) * scale;
    if (penalty != 0) g += p * penalty;
    let direction = g;
    if (momentum != 0) {
      const u = flushed(load<f32>(velocity) * momentum + g);
      store<f32>(velocity, u);
      direction = nesterov ? g + u * momentum : u;
      velocity += 4;
    }
    store<f32>(parameters, p - direction * rate);
    parameters += 4;
    gradient += 4;
  }
}

/** The moving average: a ← a + (θ − a) s. */
export function average(averages: usize, parameters: usize, count: usize, share: f32): void {
  const end = averages + (count & ~3) * 4;
  const last = averages + count * 4;
  const shares = f32x4.splat(share);
  while (averages < end) {
    const a = v128.load(averages);
    const change = f32x4.mul(f32x4.sub(v128.load(parameters), a), shares);
    v128.store(averages, f32x4.add(a, change));
    averages += STRIDE;
    parameters += STRIDE;
  }
  while (averages < last) {
    const a = load<f32>(averages);
    store<f32>(averages, a + (load<f32>(parameters) - a) * share);
    averages += 4;
    parameters += 4;
  }
}
