import { z } from "zod";
import { amount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { Exportable, Losses, SampleOptions, Sampler, Trainable } from "../../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { defineModel } from "../../model/definition.ts";
import { sampleInParts } from "../../model/sampling.ts";
import type { Session } from "../../program/program.ts";
import { constant, input, type NdArray, type Shape, type Tensor } from "../../tensor/index.ts";
import { ClassCondition, classOptions } from "../objective/condition.ts";
import { DataUnits, type DiffusionNetwork, diffusionNetwork, networkOptions } from "../objective/network.ts";
import { normalRows, partLimit } from "../solver/session.ts";
import { diffusionPreferences } from "./diffusion-model.ts";

/** Options of a distilled flow: its network, which may begin with the weights of the flow that is distilled. */
export const distilledFlowOptions = networkOptions.extend(classOptions.shape);

export type DistilledFlowOptions = z.output<typeof distilledFlowOptions>;

const distilledFlowSampleOptions = z.strictObject({
  guidance: amount()
    .default(1)
    .describe("classifier-free guidance: 1 none, beside that which the pairs were drawn with"),
});

export type DistilledFlowSampleOptions = SampleOptions & z.input<typeof distilledFlowSampleOptions>;

/**
 * One-step distillation of a flow (Liu, Gong and Liu 2022, section 2.1): with pairs (Z₀, Z₁) of noise and what a flow makes of it, a
 * network is fitted to lead from the one to the other at once,
 *
 *     min E ‖(Z₁ − Z₀) − v(Z₀, t = noise)‖²,   sample = z − v(z)
 *
 * (there with time from noise to data). The straighter the flow was, the less is lost: distill a rectified one. What is left
 * is a map and no flow, without densities or codes.
 */
export class DistilledFlow implements Trainable, Sampler<DistilledFlowSampleOptions>, Exportable {
  readonly network: DiffusionNetwork;
  readonly condition: ClassCondition;
  private readonly data: DataInfo;
  private readonly units: DataUnits;

  /** @throws OptionError where options do not fit the data */
  constructor(options: DistilledFlowOptions, data: DataInfo) {
    this.data = data;
    this.units = new DataUnits(data);
    this.condition = new ClassCondition(options, data);
    this.network = diffusionNetwork(options, data, { classes: this.condition.networkClasses, multiple: 1 });
  }

  /** What the network makes of noise z [n, …] in model units. */
  private made(z: Tensor, label: Tensor | undefined): Tensor {
    const time = constant(1).broadcastTo([z.shape[0] ?? 1]);
    return z.sub(this.network.forward(z, time, label));
  }

  /** Squared error of what is made of the noise of pairs, in model units. @throws OptionError where the batch has no pairs */
  loss({ x, source, label }: SymbolicBatch): Losses {
    if (source === undefined) {
      throw new OptionError(
        "a distilled flow is fitted to pairs, which eidos distill draws: eidos distill RUN",
      );
    }
    const given = this.condition.training(label, Number(x.shape[0]));
    const made = this.made(this.units.toModel(source), given);
    return { total: made.sub(this.units.toModel(x)).square().mean() };
  }

  /** Samples in data units, one evaluation each. @throws OptionError where the class is not the model's */
  async sample(
    session: Session,
    { guidance = 1, label, ...general }: DistilledFlowSampleOptions,
  ): Promise<NdArray<"float32">> {
    const { sampleShape } = this.data;
    this.condition.check(label);
    return sampleInParts(general, sampleShape, partLimit(this.data), async (randoms) => {
      const labels = this.condition.draw(randoms, label);
      const { form, inputs, call } = this.condition.apply(
        (z, _, given) => ({ output: this.made(z, given) }),
        { labels, guidance },
        randoms.length,
      );
      const compiled = session.compiled(this, `${form} map`, ["z", "..."], ({ z, ...given }) => ({
        x: this.units.toData(call(z, constant(1), given).output),
      }));
      const { x } = await compiled.run({ ...inputs, z: normalRows(randoms, sampleShape, "noise") });
      return x as NdArray<"float32">;
    });
  }

  /** The map as a graph, from noise to samples in data units. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const shape: Shape = ["batch", ...this.data.sampleShape];
    const { classes } = this.condition;
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    return {
      outputs: { x: this.units.toData(this.made(input("z", shape), label)) },
      description:
        `z: standard normal noise [${shape.join(", ")}]. x: samples in data units, images not rounded.` +
        (classes > 0 ? ` label: class 0 to ${classes - 1}, or ${classes} for any.` : ""),
    };
  }
}

/** Distilled flows as the catalogue knows them. */
export const distilledFlowDefinition = defineModel({
  name: "distilled-flow",
  summary: "a flow distilled to one step from noise to data, fitted to pairs that eidos distill draws",
  paper:
    "Liu, Gong and Liu 2022, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, arXiv:2209.03003",
  dataKinds: ["points", "image", "table"],
  can: ["sample", "export"],
  pairs: "needed",
  options: distilledFlowOptions,
  sampleOptions: distilledFlowSampleOptions,
  build: (options, data) => new DistilledFlow(options, data),
  preferences: diffusionPreferences,
});
