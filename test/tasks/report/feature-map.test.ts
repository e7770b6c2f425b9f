import { describe, expect, it } from "vitest";
import { Random } from "../../../src/random.ts";
import { umapPlane } from "../../../src/tasks/report/feature-map.node.ts";
import { float32 } from "../../../src/tensor/array.ts";
import { present } from "../../support.ts";

describe("UMAP of features", () => {
  const random = new Random(4);
  /** Three groups of rows, far apart in ten dimensions. */
  const rows = float32(
    Array.from({ length: 90 }, (_, i) =>
      Array.from({ length: 10 }, (_, k) => (k === i % 3 ? 20 : 0) + random.normal()),
    ).flat(),
    [90, 10],
  );

  it("keeps groups together, and is the same for the same seed", () => {
    const plane = umapPlane(rows, 1);
    expect(plane.shape).toEqual([90, 2]);
    const place = (i: number) => [present(plane.data[2 * i]), present(plane.data[2 * i + 1])] as const;
    const far = (i: number, j: number) => Math.hypot(place(i)[0] - place(j)[0], place(i)[1] - place(j)[1]);
    let right = 0;
    for (let i = 0; i < 90; i++) {
      const others = Array.from({ length: 90 }, (_, j) => j).filter((j) => j !== i);
      const nearest = others.reduce((a, b) => (far(i, b) < far(i, a) ? b : a));
      right += nearest % 3 === i % 3 ? 1 : 0;
    }
    expect(right).toBe(90);
    expect(umapPlane(rows, 1).data).toEqual(plane.data);
    expect(umapPlane(rows, 2).data).not.toEqual(plane.data);
  });
});
