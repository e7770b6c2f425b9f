export { type ViewOptions, Views, viewOptions } from "./augment/index.ts";
export { spreadOf } from "./models/agreement.ts";
export {
  Autoencoder,
  type AutoencoderOptions,
  autoencoder,
  autoencoderDefinition,
  CORRUPTIONS,
  type Corruption,
} from "./models/autoencoder.ts";
export { barlowLoss, barlowTwins, barlowTwinsDefinition } from "./models/barlow-twins.ts";
export { Projector } from "./models/projector.ts";
export { RotationModel, rotation, rotationDefinition } from "./models/rotation.ts";
export { ntXent, simClr, simClrDefinition } from "./models/simclr.ts";
export { type Agreement, type ProjectorOptions, TwoViewModel } from "./models/two-views.ts";
export { vicReg, vicRegDefinition, vicRegLoss } from "./models/vicreg.ts";
export * from "./mutual-information/index.ts";
