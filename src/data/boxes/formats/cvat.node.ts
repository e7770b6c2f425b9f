import type { XmlElement } from "@rgrove/parse-xml";
import { FILE_KINDS } from "../../files/files.node.ts";
import { splitNamed } from "../../sources/data-set.ts";
import type { RawBox, RawDetections, RawImage, RawObject } from "../check.ts";
import { NO_BOX } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import { type DetectionFiles, readHead, readText } from "./files.node.ts";
import { boxAround, turnedBox } from "./outlines.ts";
import { folderOf, splitOfPath } from "./paths.node.ts";
import { elements, parseRoot, texts } from "./xml.node.ts";

// The XML of CVAT ("CVAT for images 1.1"): all images in one file, `annotations.xml`, with boxes, polygons, ellipses and other shapes.

/** The files of CVAT's XML: at most two folders deep. */
export async function findCvat(files: DetectionFiles): Promise<readonly string[]> {
  const found: string[] = [];
  for (const file of files.all) {
    if (!/^([^/]+\/){0,2}[^/]+\.xml$/i.test(file)) continue;
    // One for each image is VOC's.
    if (files.images.partnerOf(file) !== undefined) continue;
    if (/<annotations[\s>]/.test(await readHead(files, file).catch(() => ""))) found.push(file);
  }
  return found;
}

/** The numbers of attributes; NaN for one that is missing. */
const numbersOf = ({ attributes }: XmlElement, names: readonly string[]): number[] =>
  names.map((name) => Number.parseFloat(attributes[name] ?? ""));

/** The box of a shape in pixels; undefined for shapes that have none. */
function boxOfShape(shape: XmlElement): RawBox | undefined {
  const angle = Number.parseFloat(shape.attributes.rotation ?? "0");
  switch (shape.name) {
    case "box": {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = numbersOf(shape, ["xtl", "ytl", "xbr", "ybr"]);
      return turnedBox([x1, y1, x2, y2], angle, [(x1 + x2) / 2, (y1 + y2) / 2]);
    }
    case "ellipse": {
      const [x = 0, y = 0, rx = 0, ry = 0] = numbersOf(shape, ["cx", "cy", "rx", "ry"]);
      const turn = (angle * Math.PI) / 180;
      const [w, h] = [
        Math.hypot(rx * Math.cos(turn), ry * Math.sin(turn)),
        Math.hypot(rx * Math.sin(turn), ry * Math.cos(turn)),
      ];
      return [x - w, y - h, x + w, y + h];
    }
    case "polygon": {
      const points = (shape.attributes.points ?? "").split(";").map((pair) => pair.split(",").map(Number));
      return boxAround(points) ?? NO_BOX;
    }
    case "mask": {
      const [left = 0, top = 0, width = 0, height = 0] = numbersOf(shape, ["left", "top", "width", "height"]);
      return [left, top, left + width, top + height];
    }
    default:
      return undefined;
  }
}

/** The names of a file's labels, in their order. */
function labelsOf(root: XmlElement): readonly string[] {
  const named: string[] = [];
  const visit = (element: XmlElement, depth: number): void => {
    for (const child of elements(element)) {
      if (child.name === "labels") {
        for (const label of elements(child, "label")) named.push((texts(label).name ?? "").trim());
      } else if (depth > 0) visit(child, depth - 1);
    }
  };
  for (const meta of elements(root, "meta")) visit(meta, 3);
  return named.filter((name) => name !== "");
}

/**
 * Reads annotations of CVAT: boxes, and the boxes around polygons, ellipses and masks. Points, lines and tracks of videos are counted and left
 * out.
 * @param sources those that `findCvat` found
 * @throws DataError where a file is no such XML
 */
export async function readCvat(files: DetectionFiles, sources: readonly string[]): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  const classes = new Set<string>();
  for (const source of sources) {
    const root = parseRoot(await readText(files, source, FILE_KINDS.list), source);
    if (root === null) continue;
    for (const name of labelsOf(root)) classes.add(name);
    const folders = [`${folderOf(source)}images/`, folderOf(source), "", "images/"];
    for (const track of elements(root, "track")) {
      const detail = `track ${track.attributes.id} (${track.attributes.label}): export frames as images`;
      faults.push({ kind: "not-read", file: source, detail });
    }
    for (const image of elements(root, "image")) {
      const { name = "", subset = "" } = image.attributes;
      if (name.trim() === "") {
        faults.push({ kind: "unreadable-annotations", file: source, detail: "an image without a name" });
        continue;
      }
      const objects: RawObject[] = [];
      for (const [i, shape] of elements(image).entries()) {
        const { label = "" } = shape.attributes;
        const location = `${shape.name} ${i + 1} of ${name}`;
        if (label === "") continue;
        const box = boxOfShape(shape);
        if (box === undefined)
          faults.push({ kind: "not-read", file: source, detail: `${location} (${label})` });
        else objects.push({ class: label.trim(), box, unit: "pixels", location });
      }
      const [width = 0, height = 0] = numbersOf(image, ["width", "height"]);
      images.push({
        file: files.images.find(name, folders),
        source,
        split: splitNamed(subset) ?? splitOfPath(source),
        objects,
        ...(width > 0 && height > 0 && { declared: { width, height } }),
      });
    }
  }
  return { format: "cvat", classes: classes.size > 0 ? [...classes] : undefined, images, faults };
}
