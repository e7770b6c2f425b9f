import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { setWasmPaths, version_wasm } from "@tensorflow/tfjs-backend-wasm";
import { serve } from "../serve.ts";
import { DIGIT_CLASSES, IMAGE_SIZE, MLP_SIZES, normals, ROWS } from "../works.ts";

// The contender TensorFlow.js with its WebAssembly backend, which in Node has one thread. It has no kernel for the
// gradient of a convolution, so it trains the MLP only.

setWasmPaths(`${dirname(fileURLToPath(import.meta.resolve("@tensorflow/tfjs-backend-wasm")))}/`);
await tf.setBackend("wasm");
await tf.ready();
const network = JSON.parse(process.env.EIDOS_BENCH_UNET ?? "{}");

const silu = (h) => tf.mul(h, tf.sigmoid(h));
const scaled = (shape, fanIn) => tf.randomNormal(shape, 0, 1 / Math.sqrt(3 * fanIn));

function mlpStep() {
  const batch = 256;
  const [inputs, outputs] = [MLP_SIZES[0], MLP_SIZES.at(-1)];
  const layers = MLP_SIZES.slice(1).map((size, i) => [
    tf.variable(scaled([MLP_SIZES[i], size], MLP_SIZES[i])),
    tf.variable(scaled([size], MLP_SIZES[i])),
  ]);
  const [x, y] = [normals(ROWS * inputs, "x"), normals(ROWS * outputs, "y")];
  const rows = (values, size, first) =>
    tf.tensor(values.slice(first * size, (first + batch) * size), [batch, size]);
  const optimiser = tf.train.adam(1e-3);
  let step = 0;
  return {
    seconds: Number.NaN,
    parameters: layers.flat().reduce((total, { size }) => total + size, 0),
    async run() {
      const first = (batch * step++) % ROWS;
      const loss = tf.tidy(() =>
        optimiser.minimize(() => {
          const target = rows(y, outputs, first);
          const out = layers.reduce(
            (h, [w, b], i) => {
              const active = i === 0 ? h : silu(h);
              return tf.add(tf.matMul(active, w), b);
            },
            rows(x, inputs, first),
          );
          return tf.mean(tf.square(tf.sub(out, target)));
        }, true),
      );
      await loss.data();
      loss.dispose();
    },
  };
}

/** The U-Net of eidos in TensorFlow's layout NHWC, forward only. */
class UNet {
  size = 0;

  constructor({ channels, condition, features }) {
    const before = [channels[0], ...channels];
    this.fc1 = this.linear(features, condition);
    this.fc2 = this.linear(condition, condition);
    this.classes = this.weight([DIGIT_CLASSES + 1, condition], 1);
    this.rates = tf.tensor(
      Array.from({ length: features / 2 }, (_, i) => 1000 * 1e4 ** ((-2 * i) / features)),
    );
    this.input = this.conv(1, channels[0], 3);
    this.down = channels.map((to, i) => this.residual(before[i], to, condition));
    const low = channels.at(-1);
    this.block1 = this.residual(low, low, condition);
    this.attention = { norm: this.norm(low), qkv: this.conv(low, 3 * low, 1), proj: this.conv(low, low, 1) };
    this.block2 = this.residual(low, low, condition);
    this.up = channels.map((to) => this.residual(2 * to, to, condition));
    this.enlarge = channels.slice(1).map((from, i) => this.conv(from, channels[i], 1));
    this.outputNorm = this.norm(channels[0]);
    this.output = this.conv(channels[0], 1, 3);
  }

  weight(shape, fanIn) {
    const value = scaled(shape, fanIn);
    this.size += value.size;
    return value;
  }

  linear(from, to) {
    return { weight: this.weight([from, to], from), bias: this.weight([to], from) };
  }

  conv(from, to, kernel) {
    const fanIn = kernel ** 2 * from;
    return { weight: this.weight([kernel, kernel, from, to], fanIn), bias: this.weight([to], fanIn) };
  }

  norm(channels) {
    return { weight: this.weight([channels], 1), bias: this.weight([channels], 1) };
  }

  residual(from, to, condition) {
    return {
      norm1: this.norm(from),
      conv1: this.conv(from, to, 3),
      condition: this.linear(condition, 2 * to),
      norm2: this.norm(to),
      conv2: this.conv(to, to, 3),
      skip: from === to ? undefined : this.conv(from, to, 1),
    };
  }

  forward(x, t, label) {
    const linear = (h, { weight, bias }) => tf.add(tf.matMul(h, weight), bias);
    const conv = (h, { weight, bias }) => tf.add(tf.conv2d(h, weight, 1, "same"), bias);
    const norm = (h, { weight, bias }, groups = 8) => {
      const [n, rows, columns, c] = h.shape;
      const grouped = tf.reshape(h, [n, rows * columns, groups, c / groups]);
      const centred = tf.sub(grouped, tf.mean(grouped, [1, 3], true));
      const variance = tf.mean(tf.square(centred), [1, 3], true);
      const normed = tf.reshape(tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-5))), h.shape);
      return tf.add(tf.mul(normed, weight), bias);
    };
    const angles = tf.mul(tf.reshape(t, [-1, 1]), this.rates);
    const time = linear(silu(linear(tf.concat([tf.cos(angles), tf.sin(angles)], 1), this.fc1)), this.fc2);
    const condition = tf.add(time, tf.gather(this.classes, label));
    const residual = (h, block) => {
      const first = conv(silu(norm(h, block.norm1)), block.conv1);
      const modulation = tf.reshape(linear(silu(condition), block.condition), [h.shape[0], 1, 1, -1]);
      const [scale, shift] = tf.split(modulation, 2, 3);
      const second = silu(tf.add(tf.mul(norm(first, block.norm2), tf.add(scale, 1)), shift));
      return tf.add(block.skip === undefined ? h : conv(h, block.skip), conv(second, block.conv2));
    };
    const attention = (h, { norm: before, qkv, proj }) => {
      const [n, rows, columns, c] = h.shape;
      const [q, k, v] = tf.split(tf.reshape(conv(norm(h, before), qkv), [n, rows * columns, 3 * c]), 3, 2);
      const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(c));
      return tf.add(h, conv(tf.reshape(tf.matMul(tf.softmax(scores), v), h.shape), proj));
    };
    const skips = [];
    let h = conv(x, this.input);
    this.down.forEach((block, i) => {
      h = residual(i === 0 ? h : tf.avgPool(h, 2, 2, "valid"), block);
      skips.push(h);
    });
    h = residual(attention(residual(h, this.block1), this.attention), this.block2);
    for (let i = this.up.length - 1; i >= 0; i--) {
      h = residual(tf.concat([h, skips.pop()], 3), this.up[i]);
      if (i === 0) continue;
      h = conv(h, this.enlarge[i - 1]);
      h = tf.image.resizeNearestNeighbor(h, [2 * h.shape[1], 2 * h.shape[2]]);
    }
    return conv(silu(norm(h, this.outputNorm)), this.output);
  }
}

function inference() {
  const batch = 64;
  const unet = new UNet(network);
  const x = tf.randomNormal([batch, IMAGE_SIZE, IMAGE_SIZE, 1]);
  const t = tf.fill([batch], 0.5);
  const label = tf.tensor1d(
    Int32Array.from({ length: batch }, (_, i) => i % DIGIT_CLASSES),
    "int32",
  );
  return {
    seconds: Number.NaN,
    parameters: unet.size,
    async run() {
      const velocity = tf.tidy(() => unet.forward(x, t, label));
      await velocity.data();
      velocity.dispose();
    },
  };
}

await serve({ version: version_wasm, works: { "mlp-step": mlpStep, "unet-inference": inference } });
