import { z } from "zod";
import { Conv2d } from "../../nn/convolution.ts";
import { kaimingNormal, zeros } from "../../nn/initializers.ts";
import { GroupNorm } from "../../nn/normalization.ts";
import { concat, type Tensor } from "../../tensor/index.ts";

// Modules between a map and a head, by which a location sees more of what is around it: a face of ten pixels is known by the head and the
// shoulders that it sits on.

const CONTEXTS = ["none", "ssh", "pyramid-box"] as const;

/** Which module stands before a head. */
export type ContextKind = (typeof CONTEXTS)[number];

/** The option of the module before a head. */
export const contextOption = z
  .enum(CONTEXTS)
  .default("none")
  .describe(
    "module before the head by which locations see more around them. ssh: SSH's, branches of one to three 3×3 convolutions side by side; pyramid-box: PyramidBox's, a residual block before those",
  );

/** The largest number that divides both. */
function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** Convolution and group normalization, as in the towers of a head, of the same size of map. */
class ContextConv {
  readonly conv: Conv2d;
  readonly norm: GroupNorm | undefined;

  /** @param groups of the normalization, 0 for none; where they do not divide the channels, the largest number of groups that does both */
  constructor(inputs: number, outputs: number, kernel: 1 | 3, groups: number) {
    this.conv = new Conv2d(inputs, outputs, kernel, {
      padding: (kernel - 1) / 2,
      bias: groups === 0,
      initializeWeight: kaimingNormal(),
      initializeBias: zeros,
    });
    this.norm = groups === 0 ? undefined : new GroupNorm(commonDivisor(groups, outputs), outputs);
  }

  forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    return this.norm?.forward(y) ?? y;
  }
}

/**
 * The detection module of SSH (Najibi et al. 2017, "SSH: single stage headless face detector", section 3.2 and figures 3 and 4): half of
 * the channels come of a 3×3 convolution; a quarter sees 5×5 and a quarter 7×7 locations, by two and three convolutions of which the
 * first is the same.
 */
class SshModule {
  readonly own: ContextConv;
  readonly reduced: ContextConv;
  readonly near: ContextConv;
  readonly far: readonly [ContextConv, ContextConv];

  constructor(channels: number, groups: number) {
    const quarter = channels / 4;
    const narrow = (): ContextConv => new ContextConv(quarter, quarter, 3, groups);
    this.own = new ContextConv(channels, channels / 2, 3, groups);
    this.reduced = new ContextConv(channels, quarter, 3, groups);
    this.near = narrow();
    this.far = [narrow(), narrow()];
  }

  forward(x: Tensor): Tensor {
    const reduced = this.reduced.forward(x).relu();
    const [first, second] = this.far;
    return concat(
      [this.own.forward(x), this.near.forward(reduced), second.forward(first.forward(reduced).relu())],
      1,
    ).relu();
  }
}

/**
 * The residual prediction module of DSSD (Fu et al. 2017, figure 4 c): three 1×1 convolutions, and one past them. PyramidBox has it
 * before the branches of SSH, so that the module is wider and deeper.
 */
class ResidualPrediction {
  readonly branch: readonly [ContextConv, ContextConv, ContextConv];
  readonly past: ContextConv;

  constructor(channels: number, groups: number) {
    const quarter = channels / 4;
    this.branch = [
      new ContextConv(channels, quarter, 1, groups),
      new ContextConv(quarter, quarter, 1, groups),
      new ContextConv(quarter, channels, 1, groups),
    ];
    this.past = new ContextConv(channels, channels, 1, groups);
  }

  forward(x: Tensor): Tensor {
    const [narrow, same, wide] = this.branch;
    const branch = wide.forward(same.forward(narrow.forward(x).relu()).relu());
    return branch.add(this.past.forward(x)).relu();
  }
}

/**
 * What stands before a head and widens what its locations see: SSH's detection module, alone or behind a residual block as the
 * context-sensitive prediction module of PyramidBox (Tang et al. 2018, section 3.2 and figure 3 b) has it. Like the head it is the same for
 * all levels.
 */
export class ContextModule {
  readonly residual: ResidualPrediction | undefined;
  readonly branches: SshModule;

  /** @param channels of the maps, which 4 divides. @param groups of normalizations, 0 for none */
  constructor(kind: Exclude<ContextKind, "none">, channels: number, groups: number) {
    if (kind === "pyramid-box") this.residual = new ResidualPrediction(channels, groups);
    this.branches = new SshModule(channels, groups);
  }

  /** [n, channels, H, W] → the same shape. @throws ShapeError */
  forward(x: Tensor): Tensor {
    return this.branches.forward(this.residual?.forward(x) ?? x);
  }
}
