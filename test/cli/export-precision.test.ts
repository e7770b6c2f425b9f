import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { exportedModelSchema } from "../../src/model/exported.ts";
import { temporaryFolder } from "../support.ts";
import { refused, succeed } from "./support.ts";

// eidos export --precision, called in process.

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  await succeed(
    ["fit", "real-nvp", "two-moons", "--steps", "5", "--report", "none", "--threads", "1", "--out", "run"],
    folder,
  );
});
afterAll(() => rm(folder, { recursive: true }));

it("prints sizes and what is lost, and writes both into model.json", async () => {
  const { stdout } = await succeed(
    ["export", "run", "--out", "small", "--precision", "int8", "--calibrate", "40"],
    folder,
  );
  expect(stdout).toMatch(
    /^score\.onnx \d.*B → .*B; mean log-likelihood -\S+ → -\S+ nats, .* on \d+ validation rows; /m,
  );
  expect(stdout).toMatch(
    /^sample\.onnx \d.*B → .*B; mean difference of samples from the same noise .* on \d+ samples; /m,
  );
  const record = exportedModelSchema.parse(
    JSON.parse(await readFile(join(folder, "small/model.json"), "utf8")),
  );
  expect(record.abilities.score?.precision?.type).toBe("int8");
  expect(record.version).toBe(1);
});

it("refuses what does not go together", async () => {
  expect(await refused(["export", "run", "--calibrate", "4"], folder)).toContain(
    "option calibrate: is of --precision int8",
  );
  expect(await refused(["export", "run", "--precision", "int4"], folder)).toContain("precision");
  expect(await refused(["export", "run", "--precision", "fp16", "--raw-tensor"], folder)).toContain(
    "in fp32 alone",
  );
});
