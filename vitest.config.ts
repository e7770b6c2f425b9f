import { defineConfig } from "vitest/config";
import { entrances } from "./studio/entrances.ts";

// ONNX Runtime does not like being loaded into worker threads that come and go, and brings threads of its own:
// test files run in a few child processes.
const shared = {
  // Far above what any test takes: a slow or shared machine must not make one fail.
  testTimeout: 600_000,
  hookTimeout: 600_000,
  pool: "forks" as const,
  setupFiles: ["test/equal-arrays.ts"],
  // The build is run as it is.
  server: { deps: { external: [/[\\/](?:bundle|dist)[\\/]/] } },
};

// Tests that truly need minutes: kills, replicas, examples, programs of the documentation.
const slow = "test/**/*.slow.test.ts";

// Modules are kept from file to file, which saves much time. These files have processes of their own: most put others in the place of modules,
// and the compiler of AssemblyScript, tens of MB of JavaScript, cannot be imported where another test has registered tsx before.
const apart = [
  "test/program/runtimes.test.ts",
  "test/report/lazy.test.ts",
  "test/report/without-sharp.test.ts",
  "test/train/vector-update.test.ts",
];

export default defineConfig({
  test: {
    maxWorkers: 2,
    passWithNoTests: true,
    projects: [
      {
        // The studio imports eidos by its entrances.
        resolve: { alias: entrances },
        test: {
          ...shared,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/browser/**", slow, ...apart],
          isolate: false,
        },
      },
      { test: { ...shared, name: "apart", include: apart } },
      {
        test: {
          ...shared,
          name: "slow",
          include: [slow],
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
        },
      },
      {
        test: {
          ...shared,
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
