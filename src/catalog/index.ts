export { buildModel, findModel, models } from "./models.ts";
export { parseOptions } from "./options.ts";
