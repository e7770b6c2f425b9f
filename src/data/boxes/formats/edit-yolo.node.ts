import { DataError } from "../../../errors.ts";
import type { PixelSize, RawBox, RawObject } from "../check.ts";
import { digits } from "./encode.ts";
import {
  isSameMark,
  type Mark,
  markOf,
  moved,
  type PhotoMarks,
  paired,
  UNMARKED,
  versionOf,
} from "./marks.node.ts";
import { type PoseShape, parseYoloLabels } from "./yolo.node.ts";

// A photo's file of labels in YOLO's format. Lines that are not edited stay as they are.

/** How the labels of a set are read. */
export interface YoloReading extends PixelSize {
  /** Names of classes by their numbers. */
  readonly classes: readonly string[];
  readonly pose?: PoseShape | null | undefined;
}

/** A line of the file. */
interface YoloLine {
  readonly text: string;
  /** What it is; undefined for an empty line, and for one that is no object of a known class. */
  readonly mark: Mark | undefined;
  readonly isEmpty: boolean;
}

/** Numbers behind that of the class. */
const numbersOf = (line: string): readonly number[] => line.trim().split(/\s+/).slice(1).map(Number);

/** The corners of an outline, as shares; undefined where the line has a box. */
function outlineOf(line: string, object: RawObject): readonly number[] | undefined {
  const numbers = numbersOf(line);
  return numbers.length >= 6 && object.landmarks === undefined && object.box.every(Number.isFinite)
    ? numbers
    : undefined;
}

function markOfLine(line: string, reading: YoloReading): Mark | undefined {
  const [object] = parseYoloLabels(line, reading.pose);
  if (object === undefined) return undefined;
  const name = typeof object.class === "number" ? reading.classes[object.class] : undefined;
  const mark = markOf(object, name, reading);
  const outline = outlineOf(line, object);
  const { width, height } = reading;
  return (
    mark && {
      ...mark,
      ...(outline && { outlines: [outline.map((share, i) => share * (i % 2 === 0 ? width : height))] }),
      kept: line,
    }
  );
}

const linesOfText = (text: string, reading: YoloReading): readonly YoloLine[] =>
  text.split("\n").map((whole): YoloLine => {
    const line = whole.replace(/\r$/, "");
    return { text: line, mark: markOfLine(line, reading), isEmpty: line.trim() === "" };
  });

/** What a file of labels holds of its photo; undefined stands for a file that is not there. */
export function yoloPhoto(text: string | undefined, reading: YoloReading): PhotoMarks {
  if (text === undefined) return { isMarked: false, marks: [], hidden: 0, version: UNMARKED };
  const lines = linesOfText(text, reading);
  const marks = lines.flatMap(({ mark }) => mark ?? []);
  const hidden = lines.filter(({ mark, isEmpty }) => mark === undefined && !isEmpty).length;
  return { isMarked: true, marks, hidden, version: versionOf(text) };
}

const shareBox = ([x1, y1, x2, y2]: RawBox, { width, height }: PixelSize): RawBox => [
  x1 / width,
  y1 / height,
  x2 / width,
  y2 / height,
];

const centered = ([x1, y1, x2, y2]: RawBox): number[] => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];

/** The line of a mark. @throws DataError where its class has no number */
function lineOf(mark: Mark, reading: YoloReading): string {
  const number = reading.classes.indexOf(mark.class);
  if (number < 0) throw new DataError(`the class ${mark.class} has no number in the list of classes`);
  const before = mark.kept === undefined ? undefined : markOfLine(mark.kept, reading);
  const box = shareBox(mark.box, reading);
  if (before === undefined || mark.kept === undefined || /[\r\n]/.test(mark.kept)) {
    return [number, ...centered(box).map(digits)].join(" ");
  }
  if (isSameMark({ ...before, class: mark.class }, mark)) return mark.kept.replace(/^\s*\S+/, String(number));
  const from = shareBox(before.box, reading);
  const numbers = numbersOf(mark.kept);
  if (before.outlines !== undefined) return [number, ...moved(numbers, from, box).map(digits)].join(" ");
  const [points = 0, each = 2] = reading.pose ?? [];
  const rest = numbers.slice(4);
  const pose = Array.from({ length: rest.length > 0 ? points : 0 }, (_, point) => {
    const [x = 0, y = 0, ...marks] = rest.slice(each * point, each * (point + 1));
    const isMarked = each === 3 ? (marks[0] ?? 0) > 0 : x >= 0 && y >= 0;
    return isMarked ? [...moved([x, y], from, box).map(digits), ...marks] : [x, y, ...marks];
  }).flat();
  return [number, ...centered(box).map(digits), ...pose].join(" ");
}

/** A photo's file of labels with other marks. @param text of the file as it is; undefined where there is none yet */
export function withYoloMarks(
  text: string | undefined,
  marks: readonly Mark[],
  reading: YoloReading,
): string {
  const lines = linesOfText(text ?? "", reading);
  const end = text?.includes("\r\n") ? "\r\n" : "\n";
  const shown = lines.flatMap((line) => (line.mark === undefined ? [] : [{ ...line, mark: line.mark }]));
  const { held, added } = paired(shown, marks);
  const byMark = new Map(shown.map((line) => [line.mark, line]));
  const kept = lines.flatMap((line): string[] => {
    const entry = line.mark && byMark.get(line.mark);
    if (entry === undefined) return [line.text];
    const mark = held.get(entry);
    if (mark === undefined) return [];
    return [isSameMark(entry.mark, mark) ? line.text : lineOf(mark, reading)];
  });
  // A text that ends with a line break has an empty line behind it.
  const last = kept.at(-1) === "" ? kept.pop() : undefined;
  const all = [...kept, ...added.map((mark) => lineOf(mark, reading))];
  const isEnded = last !== undefined || added.length > 0;
  return all.length === 0 ? "" : all.join(end) + (isEnded ? end : "");
}
