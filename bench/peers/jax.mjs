import { readFileSync } from "node:fs";
import { defaultDevice, init, jit, lax, nn, numpy as np, valueAndGrad } from "@jax-js/jax";
import { serve } from "../serve.ts";
import { CONV_CHANNELS, IMAGE_SIZE, IMAGES, MLP_SIZES, normals, ROWS } from "../works.ts";

// The contender jax-js: WebAssembly, the only backend it has in Node, with as many threads as it takes. An array is
// freed by being used; `.ref` keeps it for another use.

await init("wasm");
defaultDevice("wasm");
const { version } = JSON.parse(
  readFileSync(new URL("../node_modules/@jax-js/jax/package.json", import.meta.url), "utf8"),
);

const array = (values, shape) => np.array(values).reshape(shape);
const uniform = (shape, fanIn, label) => {
  const size = shape.reduce((a, b) => a * b, 1);
  return array(
    normals(size, label).map((value) => value / Math.sqrt(3 * fanIn)),
    shape,
  );
};

function mlp(parameters, x) {
  let h = x;
  for (let i = 0; i < parameters.length; i += 2) {
    h = np.dot(i === 0 ? h : nn.silu(h), parameters[i]).add(parameters[i + 1]);
  }
  return h;
}

function convNet(parameters, x) {
  let h = x;
  for (let i = 0; i < parameters.length; i += 2) {
    const y = lax.convGeneralDilated(
      i === 0 ? h : nn.silu(h),
      parameters[i],
      [1, 1],
      [
        [1, 1],
        [1, 1],
      ],
    );
    h = y.add(parameters[i + 1].reshape([1, -1, 1, 1]));
  }
  return h;
}

/** One Adam step of squared errors, compiled as a whole. */
function regression(forward, parameters, batches) {
  const gradients = valueAndGrad((weights, x, y) => np.mean(np.square(forward(weights, x).sub(y))));
  const update = jit((weights, first, second, x, y, rate) => {
    const [loss, slopes] = gradients(
      weights.map((weight) => weight.ref),
      x,
      y,
    );
    const m = first.map((value, i) => value.mul(0.9).add(slopes[i].ref.mul(0.1)));
    const v = second.map((value, i) => value.mul(0.999).add(np.square(slopes[i]).mul(0.001)));
    const next = weights.map((weight, i) =>
      weight.sub(rate.ref.mul(m[i].ref).div(np.sqrt(v[i].ref).add(1e-8))),
    );
    rate.dispose();
    return [loss, next, m, v];
  });
  const zeros = () => parameters.map(({ shape }) => np.zeros(shape));
  const count = parameters.reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0);
  let state = [parameters, zeros(), zeros()];
  let step = 0;
  return {
    seconds: Number.NaN,
    parameters: count,
    async run() {
      const [x, y] = batches(step++);
      const rate = np.array([(1e-3 * Math.sqrt(1 - 0.999 ** step)) / (1 - 0.9 ** step)]);
      const [loss, ...next] = update(...state, x, y, rate);
      state = next;
      await loss.data();
    },
  };
}

function mlpStep() {
  const batch = 256;
  const [inputs, outputs] = [MLP_SIZES[0], MLP_SIZES.at(-1)];
  const parameters = MLP_SIZES.slice(1).flatMap((size, i) => [
    uniform([MLP_SIZES[i], size], MLP_SIZES[i], `weight ${i}`),
    uniform([size], MLP_SIZES[i], `bias ${i}`),
  ]);
  const [x, y] = [normals(ROWS * inputs, "x"), normals(ROWS * outputs, "y")];
  const rows = (values, size, first) =>
    array(values.slice(first * size, (first + batch) * size), [batch, size]);
  return regression(mlp, parameters, (step) => {
    const first = (step * batch) % ROWS;
    return [rows(x, inputs, first), rows(y, outputs, first)];
  });
}

function convStep() {
  const batch = 64;
  const pixels = IMAGE_SIZE ** 2;
  const parameters = CONV_CHANNELS.slice(1).flatMap((size, i) => [
    uniform([size, CONV_CHANNELS[i], 3, 3], 9 * CONV_CHANNELS[i], `weight ${i}`),
    uniform([size], 9 * CONV_CHANNELS[i], `bias ${i}`),
  ]);
  const [x, y] = [normals(IMAGES * pixels, "x"), normals(IMAGES * pixels, "y")];
  const images = (values, first) =>
    array(values.slice(first * pixels, (first + batch) * pixels), [batch, 1, IMAGE_SIZE, IMAGE_SIZE]);
  return regression(convNet, parameters, (step) => {
    const first = (step * batch) % IMAGES;
    return [images(x, first), images(y, first)];
  });
}

await serve({ version, works: { "mlp-step": mlpStep, "conv-step": convStep } });
