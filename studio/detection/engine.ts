import { boxAt, iou } from "eidos/detection/boxes";
import { Program, type Runtime } from "eidos/program";
import { float32, input, int64, type NdArray, type Tensor } from "eidos/tensor";
import { type RuleGraph, type RuleLevel, ruleGraph } from "./graphs.ts";
import type { Rule, RuleSettings } from "./rules.ts";
import { type Edges, KINDS, MOST_OBJECTS, type SceneObject } from "./scene.ts";

// What runs in the worker: the assignment of the training step, on the objects of the scene. It knows no page.

export interface AssignRequest {
  readonly rule: Rule;
  readonly settings: RuleSettings;
  readonly objects: readonly SceneObject[];
  /** The object in whose cells anchors are listed. */
  readonly chosen: number;
}

/** An anchor, a location or a cell that an object has, or that counts for nothing. */
export interface Mark {
  readonly role: "positive" | "ignored";
  /** The object that it is assigned to, or that it overlaps with most. */
  readonly object: number;
  readonly level: number;
  readonly row: number;
  readonly column: number;
  /** The anchor; absent where the detector has none. */
  readonly box?: Edges;
  /** Of an anchor, with its object. */
  readonly iou?: number;
  /** Center-ness, or how well a location is aligned, 0 … 1; absent where the detector has no such target. */
  readonly quality?: number;
}

/** What an object is given. */
export interface ObjectCount {
  /** By level. */
  readonly positives: readonly number[];
  readonly total: number;
  readonly ignored: number;
  /** Lowest and highest IoU of its anchors; absent where it has none. */
  readonly lowest?: number;
  readonly highest?: number;
}

/** An anchor of the cell in which the chosen object's center lies. */
export interface CellAnchor {
  readonly level: number;
  readonly box: Edges;
  readonly iou: number;
  readonly role: "positive" | "ignored" | "background";
}

/** What a rule makes of a scene. */
export interface Assigned {
  readonly levels: readonly RuleLevel[];
  /** Anchors, locations or cells of the image. */
  readonly total: number;
  readonly marks: readonly Mark[];
  readonly counts: readonly ObjectCount[];
  readonly cell: readonly CellAnchor[];
  /** The largest heat of all classes at each cell, row by row; absent where the detector has none. */
  readonly heat?: Float32Array;
}

/** A rule that is compiled. */
interface Compiled {
  readonly graph: RuleGraph;
  readonly kind: ReturnType<RuleGraph["outputs"]>["kind"];
  readonly program: Program;
  readonly anchors: Float32Array | undefined;
}

/** Programs that are kept, those that were used last. */
const MOST_PROGRAMS = 24;

/** The objects of a scene as a training step has them: boxes [1, m, 4] and labels [1, m], −1 in rows that are none. */
function rowsOf(objects: readonly SceneObject[]): { readonly boxes: NdArray; readonly labels: NdArray } {
  const rows = Array.from({ length: MOST_OBJECTS }, (_, i) => objects[i]);
  return {
    boxes: float32(
      rows.flatMap((object) => object?.box ?? [0, 0, 0, 0]),
      [1, MOST_OBJECTS, 4],
    ),
    labels: int64(
      rows.map((object) => (object === undefined ? -1 : KINDS.indexOf(object.kind))),
      [1, MOST_OBJECTS],
    ),
  };
}

/** Computes assignments; one at a time. */
export class AssignmentEngine {
  private readonly runtime: Runtime;
  private readonly compiled = new Map<string, Promise<Compiled>>();
  private last: Promise<unknown> = Promise.resolve();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  assign(request: AssignRequest): Promise<Assigned> {
    const next = this.last.then(() => this.assigned(request));
    this.last = next.catch(() => undefined);
    return next;
  }

  private async assigned({ rule, settings, objects, chosen }: AssignRequest): Promise<Assigned> {
    const compiled = await this.compile(rule, settings);
    const { boxes, labels } = rowsOf(objects);
    const found = await compiled.program.run({ boxes, labels });
    const { roles, quality, heat } = rolesOf(compiled, found, objects.length);
    return describe({ ...compiled, roles, quality, heat }, objects, chosen);
  }

  private compile(rule: Rule, settings: RuleSettings): Promise<Compiled> {
    const key = JSON.stringify([rule, Object.entries(settings).sort()]);
    const before = this.compiled.get(key);
    const own = before ?? this.build(rule, settings);
    // The one that was used last stands last.
    this.compiled.delete(key);
    this.compiled.set(key, own);
    const [oldest] = this.compiled;
    if (this.compiled.size > MOST_PROGRAMS && oldest !== undefined) {
      this.compiled.delete(oldest[0]);
      void oldest[1].then(({ program }) => program.release());
    }
    return own;
  }

  private async build(rule: Rule, settings: RuleSettings): Promise<Compiled> {
    const graph = ruleGraph(rule, settings);
    const { kind, ...outputs } = graph.outputs(
      input("boxes", [1, MOST_OBJECTS, 4]),
      input("labels", [1, MOST_OBJECTS], "int64"),
    );
    const program = await Program.build(outputs as Readonly<Record<string, Tensor>>, this.runtime);
    return { graph, kind, program, anchors: await this.anchorsOf(graph) };
  }

  private async anchorsOf({ anchors }: RuleGraph): Promise<Float32Array | undefined> {
    if (anchors === undefined) return undefined;
    const program = await Program.build({ anchors }, this.runtime);
    try {
      return (await program.run({})).anchors?.data as Float32Array;
    } finally {
      await program.release();
    }
  }

  /** Frees what the runtime holds. */
  async release(): Promise<void> {
    for (const compiled of this.compiled.values()) await (await compiled).program.release();
    this.compiled.clear();
  }
}

/** For each anchor or location 1 + its object, 0 for background, −1 for nothing. */
interface Roles {
  readonly roles: Int32Array;
  readonly quality: Float32Array | undefined;
  readonly heat: Float32Array | undefined;
}

function rolesOf(
  { graph, kind }: Compiled,
  found: Readonly<Record<string, NdArray>>,
  objects: number,
): Roles {
  const data = (name: string): readonly number[] => Array.from(found[name]?.data ?? [], Number);
  const count = graph.levels.reduce((sum, { rows, columns, perCell }) => sum + rows * columns * perCell, 0);
  if (kind === "roles") {
    const quality = found.quality?.data as Float32Array | undefined;
    return { roles: Int32Array.from(data("roles")), quality, heat: undefined };
  }
  const roles = new Int32Array(count);
  for (const [i, spared] of data("spared").entries()) if (spared !== 0) roles[i] = -1;
  const taken = data("taken");
  const places = data("places").slice(0, objects);
  // Of several objects with one cell the first has it; heat has them all, and here the first stands for them.
  for (const [object, place] of [...places.entries()].reverse())
    if (kind === "heat" || taken[object] === 1) roles[place] = object + 1;
  return { roles, quality: undefined, heat: kind === "heat" ? largest(data("heat"), count) : undefined };
}

/** The largest value of all classes at each cell. */
function largest(heat: readonly number[], cells: number): Float32Array {
  const most = new Float32Array(cells);
  for (const [i, value] of heat.entries()) most[i % cells] = Math.max(most[i % cells] ?? 0, value);
  return most;
}

/** The object with which a box overlaps most. */
function nearest(box: Edges, objects: readonly SceneObject[]): number {
  const overlaps = objects.map((object) => iou(object.box, box));
  return overlaps.indexOf(Math.max(...overlaps));
}

/** Where an anchor or location stands among those of all levels. */
interface Place {
  readonly level: number;
  readonly row: number;
  readonly column: number;
}

function placeOf(levels: readonly RuleLevel[], index: number): Place {
  let left = index;
  for (const [level, { rows, columns, perCell }] of levels.entries()) {
    const own = rows * columns * perCell;
    if (left < own) {
      const cell = Math.floor(left / perCell);
      return { level, row: Math.floor(cell / columns), column: cell % columns };
    }
    left -= own;
  }
  throw new RangeError(`there is no location ${index}`);
}

/** Roles as what the page shows. */
function describe(
  { graph: { levels }, anchors, roles, quality, heat }: Compiled & Roles,
  objects: readonly SceneObject[],
  chosen: number,
): Assigned {
  const marks: Mark[] = [];
  for (const [index, role] of roles.entries()) {
    if (role === 0) continue;
    const place = placeOf(levels, index);
    const box = anchors && boxAt(anchors, index);
    const object = role > 0 ? role - 1 : box === undefined ? 0 : nearest(box, objects);
    const own = objects[object]?.box;
    marks.push({
      ...place,
      role: role > 0 ? "positive" : "ignored",
      object,
      ...(box !== undefined && own !== undefined && { box, iou: iou(box, own) }),
      ...(quality !== undefined && { quality: quality[index] ?? 0 }),
    });
  }
  return {
    levels,
    total: roles.length,
    marks,
    counts: objects.map((_, object) => countOf(marks, object, levels.length)),
    cell: anchors === undefined ? [] : cellAnchors(levels, anchors, roles, objects[chosen]),
    ...(heat && { heat }),
  };
}

function countOf(marks: readonly Mark[], object: number, levels: number): ObjectCount {
  const own = marks.filter((mark) => mark.object === object && mark.role === "positive");
  const overlaps = own.flatMap((mark) => mark.iou ?? []);
  return {
    positives: Array.from(
      { length: levels },
      (_, level) => own.filter((mark) => mark.level === level).length,
    ),
    total: own.length,
    ignored: marks.filter((mark) => mark.object === object && mark.role === "ignored").length,
    ...(overlaps.length > 0 && { lowest: Math.min(...overlaps), highest: Math.max(...overlaps) }),
  };
}

/** The anchors of each level in the cell with an object's center. */
function cellAnchors(
  levels: readonly RuleLevel[],
  anchors: Float32Array,
  roles: Int32Array,
  object: SceneObject | undefined,
): readonly CellAnchor[] {
  if (object === undefined) return [];
  const [x1, y1, x2, y2] = object.box;
  let before = 0;
  return levels.flatMap(({ rows, columns, stride, perCell }, level) => {
    const at = (center: number, cells: number): number => Math.min(cells - 1, Math.floor(center / stride));
    const first = before + perCell * (at((y1 + y2) / 2, rows) * columns + at((x1 + x2) / 2, columns));
    before += rows * columns * perCell;
    return Array.from({ length: perCell }, (_, i): CellAnchor => {
      const box = boxAt(anchors, first + i);
      const role = roles[first + i] ?? 0;
      return {
        level,
        box,
        iou: iou(box, object.box),
        role: role > 0 ? "positive" : role < 0 ? "ignored" : "background",
      };
    });
  });
}
