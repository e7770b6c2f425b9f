import { stat } from "node:fs/promises";
import { DataError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { openDetectionFolder } from "./detection-folder.node.ts";
import { readAnnotations } from "./detection-formats.node.ts";
import type { DetectionOptions } from "./detection-options.ts";
import type { DetectionSet } from "./detection-set.ts";
import { DIGIT_SCENES, digitScenes } from "./digit-scenes.ts";
import { openDigits } from "./digits.node.ts";

/**
 * Opens data for detection: `digit-scenes`, a folder of images with annotations, or a file of annotations beside its images
 * (`openDetectionFolder`).
 * @throws DataError where there is no such data, or it cannot be used; OptionError; MissingPackageError; FileError
 */
export async function openDetection(
  nameOrPath: string,
  options: DetectionOptions = {},
): Promise<DetectionSet> {
  if (nameOrPath === DIGIT_SCENES) return digitScenes(await openDigits(), options);
  if ((await stat(nameOrPath).catch(() => undefined)) === undefined) {
    const meant = nearest(nameOrPath, [DIGIT_SCENES]);
    throw new DataError(
      `there is no file or folder "${nameOrPath}"; ${meant === undefined ? `give a folder of images with annotations, or ${DIGIT_SCENES}` : `did you mean "${meant}"?`}`,
    );
  }
  return openDetectionFolder(nameOrPath, options);
}

/** True for data that `openDetection` opens: the name of scenes, or a folder or file that holds annotations of objects. */
export async function isDetectionData(nameOrPath: string): Promise<boolean> {
  if (nameOrPath === DIGIT_SCENES) return true;
  const found = await stat(nameOrPath).catch(() => undefined);
  const mayBe =
    found?.isDirectory() === true || (found !== undefined && /\.(json|csv|ya?ml)$/i.test(nameOrPath));
  return mayBe && (await readAnnotations(nameOrPath).catch(() => undefined)) !== undefined;
}
