import { cropImage } from "../../src/detection/models/mtcnn/crops.ts";
import {
  addRecall,
  type Recall,
  recallOf,
  recallShare,
  windowBoxes,
} from "../../src/detection/models/mtcnn/mining.ts";
import { Mtcnn } from "../../src/detection/models/mtcnn/mtcnn.ts";
import { objectSize } from "../../src/detection/scale/ranges.ts";
import type { Run } from "../../src/index.ts";
import { annotatedData, detectorRun } from "../../src/tasks/run/load.node.ts";
import { fittedDetector, measuresOf, type Options, opened, share } from "./boxes.ts";
import type { Row } from "./run.ts";

// MTCNN on scenes of digits that count as one class: which share of the objects each of its networks leaves to the next one.

/** Objects below this size, in pixels, have a column of their own. */
const SMALL = 16;

/** What one of the networks passes on over the images of a split. */
interface Passed {
  windows: number;
  small: Recall;
  large: Recall;
}

/** Recall by network on the test split: objects with a window of an IoU of ½ or more, both as squares. */
async function recallByNetwork(run: Run): Promise<ReadonlyMap<string, Passed & { readonly images: number }>> {
  const { model, session } = run.loaded;
  if (!(model instanceof Mtcnn)) throw new TypeError("the run is of no MTCNN");
  const { test } = (await annotatedData(detectorRun(run.loaded))).splits;
  const none = (): Passed => ({
    windows: 0,
    small: { objects: 0, found: 0 },
    large: { objects: 0, found: 0 },
  });
  const passed = { "P-Net": none(), "R-Net": none(), "O-Net": none() };
  for (let index = 0; index < test.count; index++) {
    const sample = await test.sample(index);
    const { proposals, refined, found } = await model.stages(session, sample.image);
    const { objects } = cropImage(sample, { smallest: 0, difficult: true });
    const [small, large] = [true, false].map((isSmall) => ({
      objects: objects.filter(({ box }) => objectSize(box) < SMALL === isSmall),
    }));
    for (const [network, stage] of [
      [passed["P-Net"], proposals],
      [passed["R-Net"], refined],
      [passed["O-Net"], found],
    ] as const) {
      const windows = windowBoxes(stage);
      network.windows += windows.length;
      if (small !== undefined) network.small = addRecall(network.small, recallOf(windows, small));
      if (large !== undefined) network.large = addRecall(network.large, recallOf(windows, large));
    }
  }
  return new Map(Object.entries(passed).map(([name, network]) => [name, { ...network, images: test.count }]));
}

/** Fits afresh and measures each of the networks on the test split; average precision is that of the last one. */
export function measuredCascade(
  name: string,
  { data, seconds, options }: { readonly data: string; readonly seconds: number; readonly options: Options },
): Promise<readonly Row[]> {
  return fittedDetector({ name, model: "mtcnn", data, limit: { seconds }, options }, (folder) =>
    opened(folder, {}, async (run): Promise<readonly Row[]> => {
      const networks = [...(await recallByNetwork(run))];
      const {
        parameters,
        steps,
        seconds: spent,
        AP,
        AP50,
        "images/s": speed,
      } = measuresOf(await run.evaluateBoxes());
      const last = networks.at(-1)?.[0];
      return networks.map(([network, { windows, small, large, images }]) => ({
        network,
        seed: "0",
        parameters,
        steps,
        seconds: spent,
        "windows an image": (windows / images).toFixed(1),
        recall: share(recallShare(addRecall(small, large))),
        [`below ${SMALL} pixels`]: share(recallShare(small)),
        [`from ${SMALL} pixels on`]: share(recallShare(large)),
        AP: network === last ? AP : "",
        AP50: network === last ? AP50 : "",
        "images/s": network === last ? speed : "",
      }));
    }),
  );
}
