import { defineConfig } from "tsdown";
import { packDigits } from "./scripts/pack-digits.ts";

// One output file per source file, so that `dist` mirrors `src`: workers and assets are then found by the same
// relative URL from either tree.
export default defineConfig({
  entry: ["src/**/*.ts"],
  unbundle: true,
  format: "esm",
  platform: "node",
  target: "es2023",
  fixedExtension: false,
  sourcemap: true,
  dts: true,
  report: false,
  logLevel: "warn",
  inputOptions: { checks: { pluginTimings: false } },
  deps: { skipNodeModulesBundle: true },
  hooks: {
    "build:prepare": () => packDigits(),
  },
});
