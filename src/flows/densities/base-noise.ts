import type { Random } from "../../random.ts";

/** What the noise of a draw of a base is: numbers of one kind; of a mixture normals, and a uniform that chooses the component. */
export const NOISE_KINDS = ["normal", "uniform", "logistic", "mixture"] as const;

export type NoiseKind = (typeof NOISE_KINDS)[number];

/** Fills an array with the noise of one draw. */
export function fillNoise(kind: NoiseKind, target: Float32Array, random: Random): void {
  switch (kind) {
    case "normal":
      random.fillNormal(target);
      return;
    case "uniform":
      random.fillUniform(target);
      return;
    case "logistic":
      for (let i = 0; i < target.length; i++) {
        const u = random.uniform();
        target[i] = Math.log(u) - Math.log1p(-u);
      }
      return;
    case "mixture": {
      const last = target.length - 1;
      random.fillNormal(target.subarray(0, last));
      target[last] = random.uniform();
    }
  }
}
