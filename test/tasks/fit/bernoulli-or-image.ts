import definition from "./bernoulli.ts";

/** As `bernoullis`, by the name of a model that takes images in bytes too. */
export default { ...definition, dataKinds: ["image", "binary"] as const };
