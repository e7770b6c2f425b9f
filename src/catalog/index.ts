export { parseOptions } from "../options.ts";
export { buildModel, findModel, models } from "./models.ts";
