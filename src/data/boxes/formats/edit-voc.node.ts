import type { XmlElement } from "@rgrove/parse-xml";
import { DataError } from "../../../errors.ts";
import type { PixelSize, RawBox } from "../check.ts";
import { digits, escapeXml, vocFile, vocObject } from "./encode.ts";
import {
  isSameBox,
  isSameMark,
  type Mark,
  markOf,
  type PhotoMarks,
  paired,
  UNMARKED,
  versionOf,
} from "./marks.node.ts";
import { fileNameOf, folderOf } from "./paths.node.ts";
import { parseVoc } from "./voc.node.ts";
import { elements, parseRoot } from "./xml.node.ts";

// A photo's file in VOC's format. What is edited is written anew; every other character of the file stays.

/** An object of the file. */
interface VocEntry {
  readonly text: string;
  readonly from: number;
  readonly to: number;
  readonly mark: Mark | undefined;
}

/** A part of a text that is replaced. */
interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

function withEdits(text: string, edits: readonly Edit[]): string {
  let [result, at] = ["", 0];
  for (const edit of edits.toSorted((a, b) => a.from - b.from)) {
    result += text.slice(at, edit.from) + edit.text;
    at = edit.to;
  }
  return result + text.slice(at);
}

function entriesOf(text: string, file: string, size: PixelSize): readonly VocEntry[] {
  const { objects } = parseVoc(text, file);
  const root = parseRoot(text, file);
  return elements(root as XmlElement, "object").map(({ start, end }, i): VocEntry => {
    const own = text.slice(start, end);
    const object = objects[i];
    const name = object === undefined ? undefined : String(object.class);
    const mark = object && markOf(object, name === "" ? undefined : name, size);
    return { text: own, from: start, to: end, mark: mark && { ...mark, kept: own } };
  });
}

/** What a file of VOC holds of its photo; undefined stands for a file that is not there. @throws DataError where it is no such XML */
export function vocPhoto(text: string | undefined, file: string, size: PixelSize): PhotoMarks {
  if (text === undefined) return { isMarked: false, marks: [], hidden: 0, version: UNMARKED };
  const entries = entriesOf(text, file, size);
  const marks = entries.flatMap(({ mark }) => mark ?? []);
  return { isMarked: true, marks, hidden: entries.length - marks.length, version: versionOf(text) };
}

/** Replaces what is inside of the first element of a name; one that is not there is put before another. */
function insideEdit(
  text: string,
  parent: XmlElement,
  name: string,
  value: string,
  before?: XmlElement,
): Edit {
  const [element] = elements(parent, name);
  if (element === undefined) {
    const at = before?.start ?? text.lastIndexOf("</", parent.end);
    const space = /\s*$/.exec(text.slice(0, at))?.[0] ?? "";
    return { from: at, to: at, text: `<${name}>${value}</${name}>${space}` };
  }
  const [first] = element.children;
  const last = element.children.at(-1);
  if (first === undefined || last === undefined) {
    return { from: element.start, to: element.end, text: `<${name}>${value}</${name}>` };
  }
  return { from: first.start, to: last.end, text: value };
}

/** An object's element after its mark was edited; undefined where the text is no such element. */
function changedObject(text: string, after: Mark): string | undefined {
  let root: XmlElement | null;
  let before: Mark | undefined;
  try {
    root = parseRoot(text, "");
    [before] = entriesOf(`<annotation>${text}</annotation>`, "", { width: 1, height: 1 }).flatMap(
      ({ mark }) => mark ?? [],
    );
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
  if (root?.name !== "object" || before === undefined || text !== text.trim()) return undefined;
  if (text.slice(root.start, root.end) !== text) return undefined;
  const [frame] = elements(root, "bndbox");
  if (frame === undefined) return undefined;
  const edits: Edit[] = [];
  if (before.class !== after.class) edits.push(insideEdit(text, root, "name", escapeXml(after.class)));
  if (before.difficult !== after.difficult) {
    edits.push(insideEdit(text, root, "difficult", after.difficult ? "1" : "0", frame));
  }
  if (!isSameBox(before.box, after.box)) {
    for (const [side, name] of (["xmin", "ymin", "xmax", "ymax"] as const).entries()) {
      const edge = after.box[side];
      const isSame = edge === undefined || Math.abs(edge - (before.box[side] ?? Number.NaN)) < 1e-4;
      if (!isSame) edits.push(insideEdit(text, frame, name, String(digits(edge))));
    }
  }
  return withEdits(text, edits);
}

const objectOf = (mark: Mark): string =>
  (mark.kept === undefined ? undefined : changedObject(mark.kept, mark)) ??
  vocObject(mark.class, mark.box as RawBox, mark.difficult);

/**
 * A photo's file in VOC's format with other marks.
 * @param text of the file as it is; undefined where there is none yet
 * @param image path of the photo
 */
export function withVocMarks(
  text: string | undefined,
  file: string,
  image: string,
  size: PixelSize,
  marks: readonly Mark[],
): string {
  if (text === undefined) {
    const folder = fileNameOf(folderOf(image).replace(/\/$/, ""));
    return vocFile(folder, fileNameOf(image), size, marks.map(objectOf));
  }
  const all = entriesOf(text, file, size);
  const shown = all.flatMap((entry) => (entry.mark === undefined ? [] : [{ ...entry, mark: entry.mark }]));
  const { held, added } = paired(shown, marks);
  const edits: Edit[] = [];
  for (const entry of shown) {
    const mark = held.get(entry);
    if (mark === undefined) {
      const space = /\s*$/.exec(text.slice(0, entry.from))?.[0].length ?? 0;
      edits.push({ from: entry.from - space, to: entry.to, text: "" });
    } else if (!isSameMark(entry.mark, mark)) {
      edits.push({ from: entry.from, to: entry.to, text: objectOf(mark) });
    }
  }
  if (added.length > 0) edits.push(addition(text, file, all.at(-1), added.map(objectOf)));
  return withEdits(text, edits);
}

/** Where further objects go: behind the last one, or at the end of the file's element. */
function addition(text: string, file: string, last: VocEntry | undefined, objects: readonly string[]): Edit {
  if (last !== undefined) {
    const space = /\s*$/.exec(text.slice(0, last.from))?.[0] || "\n\t";
    return { from: last.to, to: last.to, text: objects.map((object) => space + object).join("") };
  }
  const root = parseRoot(text, file) as XmlElement;
  const inside = objects.map((object) => `\n\t${object}`).join("");
  if (root.children.length === 0) {
    return { from: root.start, to: root.end, text: `<annotation>${inside}\n</annotation>` };
  }
  const at = text.lastIndexOf("</", root.end);
  const space = /\s*$/.exec(text.slice(0, at))?.[0].length ?? 0;
  return { from: at - space, to: at - space, text: inside };
}
