import { OptionError } from "../../errors.ts";
import type { Adversarial, Losses, Turn } from "../../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { builderOf, type FitPreferences } from "../../model/definition.ts";
import { concat, constant, isTraining, type Tensor } from "../../tensor/index.ts";
import { Views } from "../augment/index.ts";
import type { Layers } from "../encoders/index.ts";
import { PART_LOSSES, partInformation } from "../infomax/losses.ts";
import {
  type DeepInfoMaxOptions,
  deepInfoMaxOptions,
  type SettledDeepInfoMax,
  settleDeepInfoMax,
} from "../infomax/options.ts";
import { PriorMatching } from "../infomax/prior.ts";
import { buildScorer, type Scorer } from "../infomax/scorers.ts";
import { defineEncoder, EncoderModel } from "./define.ts";
import { viewNotes } from "./two-views.ts";

/** What the encoder makes of one or two views of a batch, and whose code goes with whose local features. */
type Pairing = readonly { readonly local: Tensor; readonly code: Tensor }[];

/**
 * Deep InfoMax (Hjelm et al. 2019): an encoder whose code has much mutual information with the local features of its own image, estimated
 * against those of other images, and whose codes are distributed like a prior. The encoder minimizes
 * α · (global loss) + β · (local loss) + γ · (loss against the prior's discriminator).
 */
export class DeepInfoMax extends EncoderModel {
  /** Scores a code and the local features at each location, where β is above 0. */
  readonly localScorer: Scorer | undefined;
  /** Scores a code and all local features together, where α is above 0. */
  readonly globalScorer: Scorer | undefined;
  /** Distinguishes codes from draws of the prior, where γ is above 0. */
  readonly discriminator: PriorMatching | undefined;
  /** The game of encoder and discriminator; absent where there is no prior. */
  readonly turns?: Adversarial["turns"];
  readonly comparesSamples = true;
  private readonly options: SettledDeepInfoMax;
  private readonly views: Views | undefined;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(given: DeepInfoMaxOptions, data: DataInfo) {
    super(given, data);
    const options = settleDeepInfoMax(given);
    const { alpha, beta, gamma, codeSize, scorerUnits: units, negatives } = options;
    const [channels, height, width] = this.encoder.localShape;
    const scorer = (partSize: number): Scorer =>
      buildScorer(options.scorer, { partSize, codeSize, units, negatives });
    this.localScorer = beta > 0 ? scorer(channels) : undefined;
    this.globalScorer = alpha > 0 ? scorer(channels * height * width) : undefined;
    this.options = options;
    this.views = options.views === "two" ? new Views(options, data) : undefined;
    if (gamma > 0) {
      const discriminator = new PriorMatching({
        prior: options.prior,
        codeSize,
        units: options.priorUnits,
        penalty: options.priorPenalty,
      });
      this.discriminator = discriminator;
      this.turns = (batch) => this.turnsAgainst(discriminator, batch);
    }
  }

  /** What the encoder makes of a batch. @throws OptionError where a batch has one sample, which there are no others for */
  private pairing({ x }: SymbolicBatch): Pairing {
    const single = x.shape[0] === 1;
    if (single && isTraining()) {
      throw new OptionError(
        "option batchSize: a batch of one sample has no others that it is told from; take 2 or more",
      );
    }
    // The rest of a validation split may be one sample: compared with itself, it has no information.
    const samples = single ? concat([x, x], 0) : x;
    if (this.views === undefined) return [this.features(samples)];
    const [first, second] = this.views.pair(samples).map((view) => this.features(view)) as [Layers, Layers];
    return [
      { local: first.local, code: second.code },
      { local: second.local, code: first.code },
    ];
  }

  /** The loss of the information of codes and local features, α and β times its parts, with what is worth reporting. */
  private information(pairing: Pairing): Losses {
    const { alpha, beta, estimator } = this.options;
    const [channels, height, width] = this.encoder.localShape;
    const weighted: Tensor[] = [];
    const parts: Record<string, Tensor> = {};
    const add = (name: string, weight: number, scorer: Scorer, partsOf: (local: Tensor) => Tensor): void => {
      const scores = pairing.map(({ local, code }) => scorer.forward(partsOf(local), code));
      const loss = meanOf(scores.map(PART_LOSSES[estimator]));
      weighted.push(weight === 1 ? loss : loss.mul(weight));
      parts[name] = loss;
      parts[`${name}Nats`] = meanOf(scores.map(partInformation));
      parts.ceilingNats = constant(Math.log(Number(scores[0]?.scores.shape[1])));
    };
    if (this.localScorer !== undefined) {
      add("local", beta, this.localScorer, (local) =>
        local.reshape([local.shape[0] ?? 1, channels, height * width]).transpose(),
      );
    }
    if (this.globalScorer !== undefined) {
      add("global", alpha, this.globalScorer, (local) => local.reshape([local.shape[0] ?? 1, 1, -1]));
    }
    return { ...parts, total: weighted.reduce((a, b) => a.add(b)) };
  }

  /**
   * The loss of the information, without the prior, which is no measure of how good an encoder is; what both players of the prior's game
   * lose is reported with it.
   */
  loss(batch: SymbolicBatch): Losses {
    const pairing = this.pairing(batch);
    const information = this.information(pairing);
    if (this.discriminator === undefined) return information;
    const codes = codesOf(pairing);
    return {
      ...information,
      prior: this.discriminator.encoderLoss(codes),
      discriminator: this.discriminator.discriminatorLosses(codes).game,
    };
  }

  /** The discriminator's turn, then that of encoder and scorers. Features are made once: the encoder stays as it is while the other learns. */
  private turnsAgainst(discriminator: PriorMatching, batch: SymbolicBatch): readonly Turn[] {
    let made: Pairing | undefined;
    const pairing = (): Pairing => {
      made ??= this.pairing(batch);
      return made;
    };
    const { encoder, localScorer, globalScorer } = this;
    return [
      {
        name: "discriminator",
        player: discriminator,
        losses: () => {
          const { total } = discriminator.discriminatorLosses(codesOf(pairing()).stopGradient());
          return { total };
        },
      },
      {
        name: "encoder",
        player: { encoder, localScorer, globalScorer },
        losses: () => {
          const { total, ...parts } = this.information(pairing());
          const prior = discriminator.encoderLoss(codesOf(pairing()));
          return { ...parts, prior, total: total.add(prior.mul(this.options.gamma)) };
        },
      },
    ];
  }

  /** Lets the running statistics of the encoder follow its averaged weights. */
  settle(batch: SymbolicBatch): void {
    this.pairing(batch);
  }
}

/** The codes of all views. */
function codesOf(pairing: Pairing): Tensor {
  return concat(
    pairing.map(({ code }) => code),
    0,
  );
}

function meanOf(values: readonly Tensor[]): Tensor {
  return values.reduce((a, b) => a.add(b)).mul(1 / values.length);
}

function preferences({ kind }: DataInfo): FitPreferences {
  return kind === "image" || kind === "binary"
    ? { learningRate: 3e-3, batchSize: 64 }
    : { learningRate: 1e-3, batchSize: 128 };
}

/** Deep InfoMax as the catalogue knows it. */
export const deepInfoMaxDefinition = defineEncoder({
  name: "deep-infomax",
  summary: "features without labels: a code that shares information with every part of its image",
  paper:
    "Hjelm et al. 2019, Learning deep representations by mutual information estimation and maximization, arXiv:1808.06670",
  options: deepInfoMaxOptions,
  model: (options, data) => new DeepInfoMax(options, data),
  notes: (options, data) => (options.views === "two" ? viewNotes(options, data) : []),
  preferences,
});

/**
 * Deep InfoMax for data.
 * @throws OptionError where options do not go with the data or with each other
 */
export const deepInfoMax = builderOf(deepInfoMaxDefinition);
