import { expectTypeOf, it } from "vitest";
import type { AutoregressiveModel } from "../../src/autoregressive/index.ts";
import type { FlowModel } from "../../src/flows/index.ts";
import type { Gan, Vae } from "../../src/latent/index.ts";
import type { Density } from "../../src/model/capabilities.ts";

// What types say of likelihoods; checked by the compiler.

/** A density that is known exactly, and one that is known to be a bound. */
type Exact = Density & { readonly likelihood: "exact" };
type Bound = Density & { readonly likelihood: "bound" };

it("a VAE's likelihood is a bound, and nothing that wants an exact one takes it", () => {
  expectTypeOf<Vae["likelihood"]>().toEqualTypeOf<"bound">();
  expectTypeOf<Vae>().toExtend<Bound>();
  expectTypeOf<Vae>().not.toExtend<Exact>();
  const exactly = (model: Exact): Exact => model;
  const refused = (model: Vae) => {
    // @ts-expect-error a lower bound is no likelihood
    return exactly(model);
  };
  expectTypeOf(refused).toBeFunction();
});

it("a flow's likelihood is exact or a bound, by its data: neither type takes it unasked", () => {
  expectTypeOf<FlowModel["likelihood"]>().toEqualTypeOf<"exact" | "bound">();
  expectTypeOf<FlowModel>().not.toExtend<Bound>();
  expectTypeOf<FlowModel>().not.toExtend<Exact>();
});

it("an autoregressive model's likelihood is exact", () => {
  expectTypeOf<AutoregressiveModel>().toExtend<Exact>();
});

it("a GAN has no likelihood, not even a bound", () => {
  expectTypeOf<Gan>().not.toExtend<Density>();
  expectTypeOf<Gan>().not.toHaveProperty("logProb");
});
