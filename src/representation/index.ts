export * from "./mutual-information/index.ts";
