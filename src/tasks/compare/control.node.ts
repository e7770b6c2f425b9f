import { meanTrueLogDensity } from "../measure/eval.node.ts";
import type { ControlResult } from "./folder.node.ts";
import type { Stage } from "./model.node.ts";
import { pictureOfData, pictureOfTruth, writeNamed } from "./pictures.node.ts";

/** What the data itself comes to; kept in the folder, as that of models is. */
export async function controlOf({
  folder,
  data,
  meter,
  features,
  setting,
  comparison,
}: Stage): Promise<ControlResult> {
  const { seed } = comparison.shared;
  const held = await folder.readControl();
  if (held?.fingerprint === data.fingerprint && held.seed === seed && held.features === features) return held;
  const pictures = folder.file("pictures");
  const picture = await pictureOfData(data, { setting, seed });
  const density = await pictureOfTruth(setting);
  const trueLogDensity = meanTrueLogDensity(data, "test");
  const control: ControlResult = {
    fingerprint: data.fingerprint,
    seed,
    ...(trueLogDensity !== undefined && { trueLogDensity }),
    distances: [...(await meter.control())],
    ...(features !== undefined && { features }),
    ...(picture && { picture: await writeNamed(pictures, "data/samples", picture) }),
    ...(density && { density: await writeNamed(pictures, "data/density", density) }),
    ...(setting && { top: setting.top }),
  };
  await folder.writeControl(control);
  return control;
}
