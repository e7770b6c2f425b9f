export { buildModel, findModel, models, parseOptions } from "./models.ts";
