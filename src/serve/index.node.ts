export type { ServedAbility, ServedModel } from "./abilities.ts";
export { type ServeOptions, serveOptions } from "./options.ts";
export { type EidosServer, serve } from "./server.node.ts";
