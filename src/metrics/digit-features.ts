import { OptionError } from "../errors.ts";
import type { Losses, Trainable } from "../model/capabilities.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import { Conv2d } from "../nn/convolution.ts";
import { Dropout, Linear } from "../nn/linear.ts";
import { nameParameters } from "../nn/module.ts";
import { readSafetensors } from "../nn/safetensors.ts";
import { checkState } from "../nn/state.ts";
import { compile, type State } from "../program/program.ts";
import type { Runtime } from "../program/runtime.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import { gatherElements, maxPool2d, type Tensor } from "../tensor/index.ts";

/** Numbers that describe a digit. */
export const DIGIT_FEATURES = 64;

const PIXELS = 28 * 28;

/**
 * A small convolutional classifier of handwritten digits: two 3×3 convolutions with max-pooling, a layer of 64 features
 * and the ten classes. Images are bytes 0 … 255, [n, 1, 28, 28].
 */
export class DigitClassifier implements Trainable {
  readonly conv1 = new Conv2d(1, 16, 3, { padding: 1 });
  readonly conv2 = new Conv2d(16, 32, 3, { padding: 1 });
  readonly hidden = new Linear(32 * 7 * 7, DIGIT_FEATURES);
  readonly head = new Linear(DIGIT_FEATURES, 10);
  private readonly dropout = new Dropout(0.25);

  /** The features: inputs of the last layer, [n, 64], none negative. */
  features(images: Tensor): Tensor {
    const x = images.mul(1 / 255);
    const half = maxPool2d(this.conv1.forward(x).relu(), { kernel: 2 });
    const quarter = maxPool2d(this.conv2.forward(half).relu(), { kernel: 2 });
    const flat = this.dropout.forward(quarter.reshape([-1, 32 * 7 * 7]));
    return this.hidden.forward(flat).relu();
  }

  /** Scores of the classes before the softmax, [n, 10]. */
  logits(features: Tensor): Tensor {
    return this.head.forward(features);
  }

  /** Cross-entropy. */
  loss({ x, label }: SymbolicBatch): Losses {
    if (label === undefined) throw new OptionError("DigitClassifier: wants labels to learn from");
    const logProbs = this.logits(this.features(x)).logSoftmax(1);
    return { total: gatherElements(logProbs, label.unsqueeze(1), 1).mean().neg() };
  }
}

/** What the network sees in images. */
export interface DigitViews {
  /** [n, 64]. */
  readonly features: NdArray<"float32">;
  /** Probabilities of the ten classes, [n, 10]. */
  readonly probabilities: NdArray<"float32">;
}

/** Images that go through the network together. */
const CHUNK = 500;

/** The trained feature network of digits, for distances in a space where nearness is likeness. */
export class DigitFeatureNetwork {
  private readonly model: DigitClassifier;
  private readonly weights: State;

  /**
   * @param bytes the asset `assets/digit-features.safetensors` of the package
   * @throws WeightsError where it is damaged
   */
  constructor(bytes: Uint8Array) {
    this.model = nameParameters(new DigitClassifier());
    const file = "digit-features.safetensors";
    this.weights = checkState(readSafetensors(bytes, file).tensors, this.model, file);
  }

  /**
   * Features and class probabilities of images.
   * @param images bytes 0 … 255, [n, 1, 28, 28] or [n, 784]
   * @throws OptionError where the images are not 28 × 28 with one channel
   */
  async view(images: NdArray<"float32">, runtime: Runtime): Promise<DigitViews> {
    const [count = 0, ...rest] = images.shape;
    if (elementCount(rest) !== PIXELS) {
      throw new OptionError(`digitFeatures: images of shape [${rest}] are no digits; they are [1,28,28]`);
    }
    const program = compile(["x"], ({ x }) => this.outputs(x), {
      runtime,
      weights: this.weights,
    });
    const features = new Float32Array(count * DIGIT_FEATURES);
    const probabilities = new Float32Array(count * 10);
    try {
      for (let first = 0; first < count; first += CHUNK) {
        const size = Math.min(CHUNK, count - first);
        const part = images.data.subarray(first * PIXELS, (first + size) * PIXELS);
        const results = await program.run({ x: float32(part, [size, 1, 28, 28]) });
        features.set(results.features.data as Float32Array, first * DIGIT_FEATURES);
        probabilities.set(results.probabilities.data as Float32Array, first * 10);
      }
    } finally {
      await program.release();
    }
    return {
      features: float32(features, [count, DIGIT_FEATURES]),
      probabilities: float32(probabilities, [count, 10]),
    };
  }

  private outputs(x: Tensor) {
    const features = this.model.features(x);
    return { features, probabilities: this.model.logits(features).softmax(1) };
  }
}
