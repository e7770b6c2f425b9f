import { defineConfig } from "vitest/config";

// ONNX Runtime does not like being loaded into worker threads that come and go, and brings threads of its own:
// test files run in a few child processes.
const shared = {
  testTimeout: 60_000,
  hookTimeout: 60_000,
  pool: "forks",
} as const;

// Modules are kept from file to file, which saves much time; these files put others in the place of modules.
const withMocks = [
  "test/program/runtimes.test.ts",
  "test/report/lazy.test.ts",
  "test/report/without-sharp.test.ts",
];

export default defineConfig({
  test: {
    maxWorkers: 2,
    passWithNoTests: true,
    projects: [
      {
        test: {
          ...shared,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/browser/**", ...withMocks],
          isolate: false,
        },
      },
      { test: { ...shared, name: "mocks", include: withMocks } },
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
