import { expect, it, vi } from "vitest";
import { MissingPackageError } from "../../src/errors.ts";
import { drawSamples, rasterize } from "../../src/report/index.node.ts";

vi.mock("../../src/data/files/optional.node.ts", async () => {
  const errors = await import("../../src/errors.ts");
  const optional = (name: string) => Promise.reject(new errors.MissingPackageError(`no ${name}`));
  return { optional };
});

it("draws a table as SVG where sharp is not installed", async () => {
  const table = { dtype: "float32", shape: [3, 1], data: new Float32Array([-1, 0, 1]) } as const;
  const columns = [{ kind: "numeric", name: "acidity", mean: 7, deviation: 2 }] as const;
  const picture = await drawSamples({ kind: "table", samples: table, data: table, columns });
  expect(picture.format === "svg" && picture.text).toContain("acidity");
  await expect(rasterize("<svg/>")).rejects.toThrow(MissingPackageError);
});
