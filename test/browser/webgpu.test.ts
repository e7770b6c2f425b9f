import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, it } from "vitest";
import { expectSameLosses } from "./expect-same.ts";
import { TRAININGS, type TrainingName, type TrainingResult } from "./training.ts";

/** Software Vulkan drivers that Dawn accepts: SwiftShader, as it comes with Chromium. */
const DRIVERS = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

const driver = [process.env.VK_ICD_FILENAMES ?? "", ...DRIVERS].find((path) => existsSync(path));
if (driver === undefined) {
  console.warn("webgpu test in Node skipped: no software Vulkan driver found; set VK_ICD_FILENAMES to one");
}

async function trainInChild(): Promise<Record<TrainingName, TrainingResult>> {
  const script = fileURLToPath(new URL("webgpu-in-node.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script], {
    env: {
      ...process.env,
      VK_ICD_FILENAMES: driver,
      // Chromium brings a Vulkan loader with its driver, which serves where the system has none.
      LD_LIBRARY_PATH: [process.env.LD_LIBRARY_PATH, dirname(driver ?? "")].filter(Boolean).join(":"),
    },
  });
  return JSON.parse(stdout);
}

describe.skipIf(driver === undefined)("the webgpu provider in Node on a software driver", () => {
  it("trains as the CPU does", async () => {
    const results = await trainInChild();
    for (const name of TRAININGS) await expectSameLosses(name, results[name]);
  });
});
