import { expect } from "vitest";
import { buildModel, findModel } from "../../../src/catalog.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState } from "../../../src/nn/module.ts";
import { matchState } from "../../../src/nn/state.ts";

export const photos: DataInfo = { kind: "image", sampleShape: [3, 64, 64] };

/** A detector takes all tensors of the backbone of an encoder that learnt without labels, and says so. */
export function expectTakenWhole(backbone: string): void {
  const encoder = buildModel(findModel("simclr"), { backbone, hidden: 8, projectorWidth: 8 }, photos);
  const detector = buildModel(findModel("retina-net"), { backbone }, { ...photos, classes: 2 });
  const learnt = initialState(encoder, 3);
  const { taken, report } = matchState(learnt, detector, "runs/simclr", detector.foreignNames?.());
  const own = [...learnt].filter(([name]) => name.startsWith("encoder.backbone."));
  expect(taken.size).toBe(own.length);
  for (const [name, value] of own) {
    expect(taken.get(name.replace("encoder.", "features."))?.data).toBe(value.data);
  }
  // What was taken by which names, what of the detector begins afresh, what of the encoder is of no use to it.
  expect(report[0]).toMatch(
    new RegExp(
      `^weights of runs/simclr: ${own.length} of \\d+ tensors taken, by the names of .*, without the prefix encoder\\.backbone\\.$`,
    ),
  );
  expect(report.join("\n")).toMatch(/\d+ beside it, begun afresh: features\.neck \(\d+\), .*head/);
  expect(report.join("\n")).toMatch(/encoder\.fc\.layer\.weight/);
}
