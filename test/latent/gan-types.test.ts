import { expect, expectTypeOf, test } from "vitest";
import { Gan, ganDefinition, ganOptions } from "../../src/latent/index.ts";
import { capabilities, type Density, type Sampler } from "../../src/model/capabilities.ts";
import { abilities } from "../../src/model/definition.ts";
import { input, type Tensor } from "../../src/tensor/index.ts";

// A GAN has no likelihood, and its type says so: what is marked here does not compile, which `npx tsc` checks.

function meanLogProb(density: Density, x: Tensor): Tensor {
  return density.logProb(x).mean();
}

const gan = new Gan(ganOptions.parse({}), { kind: "points", sampleShape: [2] });

test("a GAN is a sampler, and cannot be asked for a likelihood", () => {
  expectTypeOf(gan).toExtend<Sampler>();
  const x = input("x", [3, 2]);
  // @ts-expect-error a GAN has no log-density
  expect(() => gan.logProb(x)).toThrow(TypeError);
  // @ts-expect-error a GAN is no density
  expect(() => meanLogProb(gan, x)).toThrow(TypeError);
  // @ts-expect-error neither exact nor a bound
  expect(gan.likelihood).toBeUndefined();
  expect(capabilities(gan)).toEqual(["fit", "sample", "export"]);
  expect(abilities(ganDefinition)).toEqual(["fit", "sample", "export"]);
});
