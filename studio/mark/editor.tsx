import { effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { number, t } from "../i18n/index.ts";
import { isDark } from "../ui/settings.ts";
import {
  type Box,
  boxBetween,
  fitted,
  type Handle,
  handleNear,
  heldIn,
  middleBox,
  resized,
  type Size,
  shifted,
  smallestAt,
  stretched,
  toPhoto,
  type View,
  zoomed,
} from "./geometry.ts";
import type { Drawn } from "./history.ts";
import { paintScene } from "./paint.ts";
import { accept, acceptAll, chooseProposal, chosenProposal, dismiss, proposals } from "./proposals.ts";
import {
  add,
  change,
  changeMark,
  chooseClass,
  chosen,
  classes,
  classToDraw,
  copyBefore,
  currentClass,
  frameView,
  holds,
  isEditable,
  marks,
  neighbor,
  openPhoto,
  photo,
  redoStep,
  removeMark,
  undoStep,
} from "./store.ts";

/** Screen pixels within which a handle is meant, and by which a press becomes a drag. */
const [REACH, DRAG] = [10, 4];

const frame = signal<Size>({ width: 1, height: 1 });
const drawn = signal<Box | undefined>(undefined);

/** How the photo lies in its frame now. */
function viewNow(): View {
  const here = photo.value;
  return frameView.value ?? (here === undefined ? { scale: 1, x: 0, y: 0 } : fitted(here, frame.value));
}

function setView(view: View): void {
  const here = photo.value;
  if (here !== undefined) frameView.value = heldIn(view, here, frame.value);
}

/** Zooms about the middle of what is seen, or of the chosen object. */
export function zoomBy(factor: number): void {
  const now = viewNow();
  const box = marks.value.find(({ id }) => id === chosen.value)?.box;
  const { width, height } = frame.value;
  const at: readonly [number, number] =
    box === undefined
      ? [width / 2, height / 2]
      : [((box[0] + box[2]) / 2) * now.scale + now.x, ((box[1] + box[3]) / 2) * now.scale + now.y];
  setView(zoomed(now, factor, at));
}

export function zoomToFit(): void {
  frameView.value = undefined;
}

/** A pixel of the photo is one of the screen. */
export function zoomToPixels(): void {
  zoomBy(1 / viewNow().scale);
}

/** What the pointer does while it is down. */
type Drag =
  | { readonly kind: "draw"; readonly from: readonly [number, number] }
  | { readonly kind: "move"; readonly from: readonly [number, number]; readonly mark: Drawn }
  | { readonly kind: "resize"; readonly handle: Handle; readonly mark: Drawn }
  | { readonly kind: "pan"; readonly from: readonly [number, number]; readonly view: View }
  | { readonly kind: "pinch"; readonly far: number; readonly view: View };

let drag: Drag | undefined;
let pressed: readonly [number, number] = [0, 0];
let isDragged = false;
let isSpace = false;
const pointers = new Map<number, readonly [number, number]>();

const far = (a: readonly [number, number], b: readonly [number, number]): number =>
  Math.hypot(a[0] - b[0], a[1] - b[1]);

const chosenMark = (): Drawn | undefined => marks.value.find(({ id }) => id === chosen.value);

/** Chooses an object, or none. */
export function choose(id: number | undefined): void {
  chosen.value = id;
  chooseProposal(undefined);
}

function pinchOf(): { readonly far: number; readonly at: readonly [number, number] } {
  const [a = [0, 0], b = [0, 0]] = [...pointers.values()];
  return { far: Math.max(1, far(a, b)), at: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
}

function press(at: readonly [number, number], event: PointerEvent): Drag | undefined {
  if (pointers.size === 2) {
    drawn.value = undefined;
    return { kind: "pinch", far: pinchOf().far, view: viewNow() };
  }
  if (isSpace || event.button === 1) return { kind: "pan", from: at, view: viewNow() };
  if (event.button !== 0) return undefined;
  const now = viewNow();
  const point = toPhoto(now, at);
  const mark = chosenMark();
  if (mark !== undefined && isEditable.value && !event.shiftKey) {
    const reach = (event.pointerType === "touch" ? 2 : 1) * REACH;
    const handle = handleNear(mark.box, point, reach / now.scale);
    if (handle !== undefined) return { kind: "resize", handle, mark };
    if (smallestAt([mark], point, 0) !== undefined) return { kind: "move", from: point, mark };
  }
  const proposal = chosenProposal.value;
  if (proposal === undefined || !isEditable.value) return { kind: "draw", from: point };
  const handle = handleNear(proposal.box, point, REACH / now.scale);
  if (handle === undefined && smallestAt([proposal], point, 0) === undefined)
    return { kind: "draw", from: point };
  // What is mended is accepted.
  accept(proposal);
  const own = chosenMark();
  if (own === undefined) return undefined;
  return handle === undefined
    ? { kind: "move", from: point, mark: own }
    : { kind: "resize", handle, mark: own };
}

function follow(at: readonly [number, number]): void {
  const here = photo.value;
  if (drag === undefined || here === undefined) return;
  if (drag.kind === "pan") {
    const { view, from } = drag;
    setView({ ...view, x: view.x + at[0] - from[0], y: view.y + at[1] - from[1] });
    return;
  }
  if (drag.kind === "pinch") {
    const now = pinchOf();
    setView(zoomed(drag.view, now.far / drag.far, now.at));
    return;
  }
  if (!isEditable.value) return;
  const point = toPhoto(viewNow(), at);
  const kind = `${drag.kind} ${pressed.join(" ")}`;
  if (drag.kind === "draw") drawn.value = boxBetween(drag.from, point, here);
  else if (drag.kind === "resize") {
    changeMark(drag.mark.id, { box: resized(drag.mark.box, drag.handle, point, here) }, kind);
  } else {
    const by = [Math.round(point[0] - drag.from[0]), Math.round(point[1] - drag.from[1])] as const;
    changeMark(drag.mark.id, { box: shifted(drag.mark.box, by, here) }, kind);
  }
}

function release(at: readonly [number, number]): void {
  const ended = drag;
  drag = undefined;
  const box = drawn.value;
  drawn.value = undefined;
  if (ended === undefined || ended.kind === "pan" || ended.kind === "pinch") return;
  if (!isDragged) {
    const now = viewNow();
    const point = toPhoto(now, at);
    const reach = DRAG / now.scale;
    const proposal = smallestAt(proposals.value, point, reach);
    const mark = smallestAt(marks.value, point, reach);
    choose(mark?.id);
    if (mark === undefined) chooseProposal(proposal);
    return;
  }
  if (ended.kind === "draw" && box !== undefined) add([{ class: classToDraw(), box }]);
}

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Goes from object to object, proposals behind them. */
function chooseNext(by: 1 | -1): void {
  const all = [...marks.value, ...proposals.value];
  if (all.length === 0) return;
  const mark = chosenMark();
  const now = mark ?? chosenProposal.value;
  const at = now === undefined ? -1 : all.indexOf(now);
  const next = all[(at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by + all.length) % all.length];
  if (next === undefined) return;
  choose("id" in next ? next.id : undefined);
  if (!("id" in next)) chooseProposal(next);
}

/** What a key with an arrow does: the chosen object is moved, or its right and bottom edges; without one the photo is. */
function arrow(by: readonly [number, number], event: KeyboardEvent): void {
  const here = photo.value;
  if (here === undefined) return;
  const far = event.shiftKey ? 10 : 1;
  const step = [by[0] * far, by[1] * far] as const;
  const proposal = chosenProposal.value;
  if (proposal !== undefined) accept(proposal);
  const mark = chosenMark();
  if (mark === undefined) {
    const now = viewNow();
    setView({ ...now, x: now.x - step[0] * 20, y: now.y - step[1] * 20 });
    return;
  }
  const box = event.altKey ? stretched(mark.box, step, here) : shifted(mark.box, step, here);
  changeMark(mark.id, { box }, `key ${mark.id}`);
}

/** Keys of the editor by what is typed. */
const KEYS: Readonly<Record<string, (event: KeyboardEvent) => void>> = {
  n: () => {
    const here = photo.value;
    if (here !== undefined && isEditable.value)
      add([{ class: classToDraw(), box: middleBox(viewNow(), here, frame.value) }]);
  },
  "]": () => chooseNext(1),
  "[": () => chooseNext(-1),
  Delete: removeChosen,
  Backspace: removeChosen,
  Escape: () => choose(undefined),
  Enter: (event) => {
    const proposal = chosenProposal.value;
    if (event.shiftKey) acceptAll();
    else if (proposal !== undefined) accept(proposal);
  },
  e: () => {
    if (marks.value.length === 0) change([]);
  },
  v: () => void copyBefore(),
  d: () => flag("difficult"),
  c: () => flag("crowd"),
  "+": () => zoomBy(1.5),
  "=": () => zoomBy(1.5),
  "-": () => zoomBy(1 / 1.5),
  "0": zoomToFit,
  PageDown: () => go(1),
  PageUp: () => go(-1),
};

export function go(by: 1 | -1): void {
  const path = neighbor(by);
  if (path !== undefined) void openPhoto(path);
}

function removeChosen(): void {
  const proposal = chosenProposal.value;
  if (proposal !== undefined) dismiss(proposal);
  else if (chosen.value !== undefined) removeMark(chosen.value);
}

function flag(name: "difficult" | "crowd"): void {
  const mark = chosenMark();
  if (mark !== undefined && holds.value[name]) changeMark(mark.id, { [name]: !mark[name] });
}

function onKey(event: KeyboardEvent): void {
  const isCommand = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (isCommand) {
    if (key === "z" && event.shiftKey) redoStep();
    else if (key === "z") undoStep();
    else if (key === "y") redoStep();
    else return;
  } else if (ARROWS[key] !== undefined) arrow(ARROWS[key], event);
  else if (/^[1-9]$/.test(key)) {
    const name = classes.value[Number(key) - 1];
    if (name !== undefined) chooseClass(name);
  } else if (key === " ") isSpace = true;
  else if (KEYS[key] !== undefined) KEYS[key](event);
  else return;
  event.preventDefault();
}

function pointOf(event: MouseEvent): readonly [number, number] {
  const { left, top } = (event.currentTarget as Element).getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

/** Paints the canvas whenever what it shows changes. */
function watched(canvas: HTMLCanvasElement): () => void {
  let request = 0;
  let unwatch: (() => void) | undefined;
  const paint = (): void => {
    unwatch?.();
    let painted = false;
    unwatch = effect(() => {
      isDark.value;
      const here = photo.value;
      const scene = {
        view: viewNow(),
        marks: marks.value,
        chosen: chosen.value,
        proposals: proposals.value,
        chosenProposal: chosenProposal.value,
        drawn: drawn.value,
        classes: classes.value,
        currentClass: currentClass.value,
      };
      const { width, height } = frame.value;
      if (painted) {
        cancelAnimationFrame(request);
        request = requestAnimationFrame(paint);
        return;
      }
      painted = true;
      const ratio = Math.min(3, devicePixelRatio || 1);
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
      if (here !== undefined) paintScene(canvas, ratio, { ...here, ...scene });
    });
  };
  const observer = new ResizeObserver(() => {
    frame.value = { width: Math.max(1, canvas.clientWidth), height: Math.max(1, canvas.clientHeight) };
  });
  observer.observe(canvas);
  paint();
  return () => {
    observer.disconnect();
    cancelAnimationFrame(request);
    unwatch?.();
  };
}

/** The photo, on which boxes are drawn and moved, by pointer or by keys. */
export function Editor() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const area = useRef<HTMLDivElement>(null);
  useEffect(() => (canvas.current === null ? undefined : watched(canvas.current)), []);
  useEffect(() => {
    const element = area.current;
    if (element === null) return;
    // The page does not scroll where the photo is zoomed.
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      setView(zoomed(viewNow(), Math.exp(-event.deltaY / 300), pointOf(event)));
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, []);
  const here = photo.value;
  const isOpen = here !== undefined;
  useEffect(() => {
    // All of the photo is on the screen when one begins: a box is drawn in one go.
    if (isOpen) area.current?.scrollIntoView({ block: "nearest" });
  }, [isOpen]);
  return (
    <div
      ref={area}
      class="photo-area"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it is drawn on by keys as well
      tabIndex={0}
      aria-label={t("mark.area", { name: here?.path ?? "", count: number(marks.value.length) })}
      aria-describedby="mark-keys"
      onPointerDown={(event) => {
        if (here === undefined) return;
        const at = pointOf(event);
        pointers.set(event.pointerId, at);
        event.currentTarget.setPointerCapture(event.pointerId);
        event.currentTarget.focus({ preventScroll: true });
        event.preventDefault();
        [pressed, isDragged] = [at, false];
        drag = press(at, event);
      }}
      onPointerMove={(event) => {
        const at = pointOf(event);
        if (pointers.has(event.pointerId)) pointers.set(event.pointerId, at);
        if (!isDragged && far(at, pressed) < DRAG) return;
        isDragged = true;
        follow(at);
      }}
      onPointerUp={(event) => {
        pointers.delete(event.pointerId);
        release(pointOf(event));
      }}
      onPointerCancel={(event) => {
        pointers.delete(event.pointerId);
        drag = undefined;
        drawn.value = undefined;
      }}
      onKeyDown={onKey}
      onKeyUp={(event) => {
        if (event.key === " ") isSpace = false;
      }}
      onBlur={() => {
        isSpace = false;
      }}
    >
      <canvas ref={canvas} />
    </div>
  );
}
