import { DataError } from "../../../errors.ts";
import { forEachLimited } from "../../image/decode-all.node.ts";
import type { RawDetections, RawImage, RawObject } from "../check.ts";
import { NO_BOX } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import {
  type DetectionFiles,
  isClassList,
  linesOf,
  readClassList,
  readHead,
  readText,
} from "./files.node.ts";
import { splitOfFolders } from "./paths.node.ts";

// KITTI's text files (Geiger et al. 2012, "Are we ready for autonomous driving?"): one for each image, in `label_2` where images are in
// `image_2`, with a line for each object: class, truncation, occlusion, angle, the edges of the box in pixels, and seven numbers of the box in
// space. `DontCare` marks regions with objects that nobody has marked.

const LINE = /^[A-Za-z_][\w-]*(\s+-?[\d.]+(e[-+]?\d+)?){14,15}$/i;

/** True for a line of KITTI's labels. */
export const isKittiLine = (line: string): boolean => LINE.test(line);

const DONT_CARE = "DontCare";

/** Files of labels by the first that are not empty, each with an image of its name. */
export async function findKitti(files: DetectionFiles): Promise<readonly string[]> {
  const candidates = files.all.filter((path) => /\.txt$/i.test(path) && !isClassList(path));
  const paired = candidates.filter((path) => files.images.partnerOf(path) !== undefined);
  for (const path of paired.slice(0, 20)) {
    const [line] = linesOf(await readHead(files, path).catch(() => ""));
    if (line !== undefined) return isKittiLine(line) ? paired : [];
  }
  return [];
}

/** The objects of a text of labels. */
export function parseKitti(text: string): readonly RawObject[] {
  return linesOf(text).map((line, i): RawObject => {
    const [name = "", ...rest] = line.split(/\s+/);
    const [x1, y1, x2, y2] = rest.slice(3, 7).map(Number);
    const whole = x1 !== undefined && y1 !== undefined && x2 !== undefined && y2 !== undefined;
    return {
      class: name,
      box: whole ? [x1, y1, x2, y2] : NO_BOX,
      unit: "pixels",
      location: `line ${i + 1}`,
    };
  });
}

/** Crowds that all regions together may become: KITTI has some ten thousand regions, and eight classes. */
const MOST_CROWDS = 500_000;

/**
 * Reads annotations in KITTI's format. A region marked `DontCare` is a crowd of every class.
 * @param sources those that `findKitti` found
 * @throws DataError where a list of classes beside them cannot be read
 */
export async function readKitti(files: DetectionFiles, sources: readonly string[]): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const read = new Map<string, readonly RawObject[]>();
  await forEachLimited(sources, async (source) => {
    try {
      read.set(source, parseKitti(await readText(files, source)));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      faults.push({ kind: "unreadable-annotations", file: source, detail: error.message });
    }
  });
  const named = [...read.values()].flatMap((objects) => objects.map((object) => String(object.class)));
  const classes = [...new Set(named)].filter((name) => name !== DONT_CARE).sort((a, b) => (a < b ? -1 : 1));
  let crowds = 0;
  const images = sources.flatMap((source): RawImage[] => {
    const [file, objects] = [files.images.partnerOf(source), read.get(source)];
    if (file === undefined || objects === undefined) return [];
    const regions = objects.filter((object) => object.class === DONT_CARE).length;
    const more = regions * classes.length;
    if (more > 0 && crowds + more > MOST_CROWDS) {
      const detail = `${regions} regions ${DONT_CARE}, each a crowd of ${classes.length} classes: with those before, more than ${MOST_CROWDS} crowds`;
      faults.push({ kind: "unreadable-annotations", file: source, detail });
      return [];
    }
    crowds += more;
    const all = objects.flatMap((object): RawObject[] =>
      object.class === DONT_CARE
        ? classes.map((name) => ({ ...object, class: name, crowd: true }))
        : [object],
    );
    return [{ file, source, split: splitOfFolders(source) ?? splitOfFolders(file), objects: all }];
  });
  return { format: "kitti", classes: (await readClassList(files)) ?? classes, images, faults };
}
