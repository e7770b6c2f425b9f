import { resolve } from "node:path";
import { importSharp } from "../data/boxes/image.node.ts";
import { writeFileAtomic } from "../data/files/files.node.ts";
import { OptionError } from "../errors.ts";
import { boxColor, drawBoxes, rasterOfBytes } from "../report/index.ts";
import type { DetectedImage } from "./detect.node.ts";
import type { DetectorRun } from "./detection-run.node.ts";
import type { ImagePath } from "./image-paths.node.ts";

/** Pictures have a longer side of at most so many pixels, and small images are enlarged so that boxes can be seen. */
const LARGEST = 2560;
const SMALLEST = 400;

/** Pictures of images with what was found in them, and all of it as JSON, in one folder. */
export class DetectionWriter {
  private readonly folder: string;
  private readonly classes: readonly string[];
  private readonly taken = new Set<string>();
  private readonly images: (Omit<DetectedImage, "decode" | "path"> & { readonly picture?: string })[] = [];
  private readonly unreadable: { readonly name: string; readonly reason: string }[] = [];

  constructor(folder: string, { classes }: Pick<DetectorRun, "classes">) {
    this.folder = folder;
    this.classes = classes;
  }

  /**
   * Takes an image, and draws it where asked: NAME.jpg, or a name with a number where that is taken.
   * @throws OptionError where the picture would take the place of the image; FileError; DataError where the image can no longer be read
   */
  async add({ decode, path, ...image }: DetectedImage, draw: boolean): Promise<void> {
    if (!draw) {
      this.images.push(image);
      return;
    }
    const picture = this.freeName(image.name);
    const target = `${this.folder}/${picture}`;
    if (resolve(target) === resolve(path)) {
      throw new OptionError(`option out: ${target} would take the place of the image; choose another folder`);
    }
    const shown = await decode(LARGEST);
    const longest = Math.max(shown.width, shown.height);
    const enlarge = longest < SMALLEST ? Math.ceil(SMALLEST / longest) : 1;
    const [sx, sy] = [shown.width / image.width, shown.height / image.height];
    const drawn = drawBoxes(
      rasterOfBytes(shown),
      image.found.map(({ box: [x1, y1, x2, y2], class: label, score }) => ({
        box: [x1 * sx, y1 * sy, x2 * sx, y2 * sy] as const,
        label: `${this.classes[label] ?? label} ${score.toFixed(2)}`,
        color: boxColor(label),
      })),
      { enlarge },
    );
    const sharp = await importSharp();
    const { width, height, channels, data } = drawn;
    const bytes = await sharp(data, { raw: { width, height, channels } })
      .jpeg({ quality: 92, chromaSubsampling: "4:4:4" })
      .toBuffer();
    await writeFileAtomic(target, bytes);
    this.images.push({ ...image, picture });
  }

  /** Notes an image that cannot be read. */
  leaveOut({ name }: ImagePath, reason: string): void {
    this.unreadable.push({ name, reason });
  }

  private freeName(name: string): string {
    const stem = name.replace(/\.[^./]*$/, "");
    let free = `${stem}.jpg`;
    for (let n = 2; this.taken.has(free.toLowerCase()); n++) free = `${stem}-${n}.jpg`;
    this.taken.add(free.toLowerCase());
    return free;
  }

  /** What was found, image by image. @param about what else is worth knowing: the run, what counted as found */
  summary(about: Readonly<Record<string, unknown>>) {
    const named = (label: number): string => this.classes[label] ?? String(label);
    const images = this.images.map(({ name, picture, width, height, found }) => ({
      file: name,
      width,
      height,
      ...(picture !== undefined && { picture }),
      objects: found.map(({ box, score, class: label }) => ({ class: named(label), score, box })),
    }));
    return { ...about, classes: this.classes, images, unreadable: this.unreadable };
  }

  /**
   * Writes detections.json, images with what was found in each, and coco.json, the same as COCO has it: `annotations` are results with
   * image_id, category_id (from 1 on), bbox [x, y, width, height] and score.
   * @param about as in `summary`
   * @throws FileError
   */
  async finish(about: Readonly<Record<string, unknown>>): Promise<void> {
    await writeFileAtomic(
      `${this.folder}/detections.json`,
      `${JSON.stringify(this.summary(about), null, 1)}\n`,
    );
    let id = 0;
    const coco = {
      images: this.images.map(({ name, width, height }, i) => ({
        id: i + 1,
        file_name: name,
        width,
        height,
      })),
      categories: this.classes.map((name, i) => ({ id: i + 1, name })),
      annotations: this.images.flatMap(({ found }, i) =>
        found.map(({ box: [x1, y1, x2, y2], score, class: label }) => ({
          id: ++id,
          image_id: i + 1,
          category_id: label + 1,
          bbox: [x1, y1, x2 - x1, y2 - y1],
          area: (x2 - x1) * (y2 - y1),
          iscrowd: 0,
          score,
        })),
      ),
    };
    await writeFileAtomic(`${this.folder}/coco.json`, `${JSON.stringify(coco)}\n`);
  }
}
