export * from "./mutual-information/index.ts";
export * from "./probe/index.ts";
