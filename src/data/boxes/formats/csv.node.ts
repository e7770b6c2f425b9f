import { z } from "zod";
import { unmarkFormula } from "../../files/csv.ts";
import { FILE_KINDS } from "../../files/files.node.ts";
import { splitNamed } from "../../sources/data-set.ts";
import type { RawDetections, RawImage, RawObject } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import { type DetectionFiles, readClassList, readHead, readText } from "./files.node.ts";
import { folderOf, splitOfPath } from "./paths.node.ts";

// A table with a row for each object, its box by edges in pixels or as shares; an image without objects has a row with an empty class. Open
// Images' tables (ImageID, LabelName, XMin, …) and those of keras-retinanet (no names of columns) are such.

/** What columns are called, the first name being the one that is written. */
const COLUMNS = {
  file: ["filename", "file", "file_name", "image", "image_path", "path", "imageid", "image_id", "image_name"],
  width: ["width", "image_width"],
  height: ["height", "image_height"],
  class: ["class", "label", "name", "category", "class_name", "labelname", "label_name"],
  x1: ["xmin", "x1", "x_min", "left"],
  y1: ["ymin", "y1", "y_min", "top"],
  x2: ["xmax", "x2", "x_max", "right"],
  y2: ["ymax", "y2", "y_max", "bottom"],
  difficult: ["difficult"],
  crowd: ["crowd", "iscrowd", "isgroupof"],
  split: ["split", "set", "subset"],
} as const;

type Column = keyof typeof COLUMNS;
const NEEDED: readonly Column[] = ["file", "class", "x1", "y1", "x2", "y2"];
/** Tables without names, as keras-retinanet has them. */
const NAMELESS: readonly Column[] = ["file", "x1", "y1", "x2", "y2", "class"];

/** The cells of a table of text, by RFC 4180; the separator is that of the first line. */
export function parseCsv(text: string): readonly (readonly string[])[] {
  const head = text.slice(0, text.search(/[\r\n]|$/));
  const separator = [",", ";", "\t"].find((mark) => head.includes(mark)) ?? ",";
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  const endRow = () => {
    row.push(cell);
    cell = "";
    if (row.some((value) => value !== "")) rows.push(row);
    row = [];
  };
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') cell += text[i++];
      else quoted = false;
    } else if (character === '"' && cell === "") quoted = true;
    else if (character === separator) {
      row.push(cell);
      cell = "";
    } else if (character === "\n") endRow();
    else if (character !== "\r") cell += character;
  }
  if (cell !== "" || row.length > 0) endRow();
  return rows;
}

/** The position of each column, and the rows below the names; undefined where the table does not hold annotations. */
function columnsOf(rows: readonly (readonly string[])[]) {
  const names = (rows[0] ?? []).map((name) => name.trim().toLowerCase());
  const positions = new Map<Column, number>();
  for (const [column, known] of Object.entries(COLUMNS) as [Column, readonly string[]][]) {
    const position = names.findIndex((name) => known.includes(name));
    if (position >= 0) positions.set(column, position);
  }
  if (NEEDED.every((column) => positions.has(column))) return { positions, rows: rows.slice(1), first: 2 };
  const nameless =
    names.length === 6 &&
    names.slice(1, 5).every((cell) => cell === "" || /^-?[\d.]+$/.test(cell)) &&
    /\.[a-z]+$/i.test(names[0] ?? "");
  if (!nameless) return undefined;
  return { positions: new Map(NAMELESS.map((column, position) => [column, position])), rows, first: 1 };
}

export interface CsvFile {
  readonly file: string;
  readonly rows: readonly (readonly string[])[];
}

/** The tables that hold annotations of objects: at the root, in `annotations`, or in a folder beside images. */
export async function findCsv(files: DetectionFiles): Promise<readonly CsvFile[]> {
  const found: CsvFile[] = [];
  for (const file of files.all) {
    if (!/^([^/]+\/){0,2}[^/]+\.csv$/i.test(file)) continue;
    if (columnsOf(parseCsv(await readHead(files, file))) === undefined) continue;
    const rows = parseCsv(await readText(files, file, FILE_KINDS.annotations));
    found.push({ file, rows });
  }
  return found;
}

/** A table of two columns without names: one of texts, and one of what stands for them. */
async function readPairs(
  files: DetectionFiles,
  pattern: RegExp,
): Promise<readonly (readonly [string, string])[] | undefined> {
  const file = files.all.find((path) => pattern.test(path));
  if (file === undefined) return undefined;
  const rows = parseCsv(await readText(files, file, FILE_KINDS.list));
  const pairs = rows.flatMap(([a, b, ...rest]) =>
    a !== undefined && b !== undefined && rest.length === 0 ? [[a.trim(), b.trim()] as const] : [],
  );
  return pairs.length === rows.length ? pairs : undefined;
}

/** The classes in order, as keras-retinanet has them: a table of names and numbers; undefined where there is none. */
async function readClassTable(files: DetectionFiles): Promise<readonly string[] | undefined> {
  const pairs = await readPairs(files, /^([^/]+\/)?class(es)?\.csv$/i);
  if (pairs === undefined) return undefined;
  const numbered = pairs.map(([name, number]) => ({ name, number: Number(number || Number.NaN) }));
  return numbered.every(({ number }) => Number.isInteger(number) && number >= 0)
    ? numbered.toSorted((a, b) => a.number - b.number).map(({ name }) => name)
    : undefined;
}

/** Names for the codes of classes, as Open Images has them (`/m/011k07,Tortoise`). */
async function readDescriptions(files: DetectionFiles): Promise<ReadonlyMap<string, string>> {
  return new Map(await readPairs(files, /(^|\/)(oidv\d+-)?class-descriptions[^/]*\.csv$/i));
}

const isShare = (edge: number): boolean => !Number.isFinite(edge) || (edge >= 0 && edge <= 1);

/** True where all edges of a table lie within 0 … 1: in pixels no box would be wider than one. */
function areShares(images: Iterable<RawImage>): boolean {
  let some = false;
  for (const { objects } of images) {
    for (const { box } of objects) {
      if (!box.every(isShare)) return false;
      some ||= box.every(Number.isFinite);
    }
  }
  return some;
}

const side = z.string().trim().min(1).transform(Number).pipe(z.int().min(1));
const sizeSchema = z.object({ width: side, height: side });

const isSet = (cell: string): boolean => /^(1|true|yes)$/i.test(cell.trim());

/**
 * Reads annotations from tables. Where all edges of one lie within 0 … 1, they are taken for shares unless a unit is given.
 * @param sources those that `findCsv` found
 * @throws DataError where a list of classes beside them cannot be read
 */
export async function readCsv(
  files: DetectionFiles,
  sources: readonly CsvFile[],
  unit?: RawObject["unit"],
): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  const descriptions = await readDescriptions(files);
  for (const { file: source, rows: table } of sources) {
    const columns = columnsOf(table);
    if (columns === undefined) continue;
    const { positions, rows, first } = columns;
    const folders = [folderOf(source), `${folderOf(source)}images/`, ""];
    const byImage = new Map<string, RawImage & { readonly objects: RawObject[] }>();
    for (const [i, row] of rows.entries()) {
      const cell = (column: Column) => row[positions.get(column) ?? -1]?.trim() ?? "";
      const location = `line ${i + first}`;
      if (cell("file") === "") {
        faults.push({
          kind: "unreadable-annotations",
          file: source,
          detail: `${location}: no name of an image`,
        });
        continue;
      }
      const split = splitNamed(cell("split")) ?? splitOfPath(source);
      const file = files.images.find(cell("file"), folders);
      const key = `${split} ${file}`;
      const declared = sizeSchema.safeParse({ width: cell("width"), height: cell("height") });
      const image = byImage.get(key) ?? {
        file,
        source,
        split,
        ...(declared.success && { declared: declared.data }),
        objects: [],
      };
      byImage.set(key, image);
      const edge = (column: Column) => (cell(column) === "" ? Number.NaN : Number(cell(column)));
      const hasEdges = (["x1", "y1", "x2", "y2"] as const).some((column) => cell(column) !== "");
      // Where names begin as formulas do, eidos has marked them.
      const own = unmarkFormula(cell("class"));
      const name = descriptions.get(own) ?? own;
      if (name === "" && !hasEdges) continue;
      image.objects.push({
        class: name,
        box: [edge("x1"), edge("y1"), edge("x2"), edge("y2")],
        unit: "pixels",
        difficult: isSet(cell("difficult")),
        crowd: isSet(cell("crowd")),
        location,
      });
    }
    const shares = unit === "shares" || (unit === undefined && areShares(byImage.values()));
    if (shares && unit === undefined) {
      const [line] = [...byImage.values()].flatMap(({ objects }) => objects);
      const detail = `${line?.location}: [${line?.box.join(", ")}]`;
      faults.push({ kind: "guessed-shares", file: source, detail });
    }
    for (const image of byImage.values()) {
      if (!shares) images.push(image);
      else images.push({ ...image, objects: image.objects.map((object) => ({ ...object, unit: "shares" })) });
    }
  }
  const classes = (await readClassList(files)) ?? (await readClassTable(files));
  return { format: "csv", classes, images, faults };
}
