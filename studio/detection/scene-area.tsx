import { useRef } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { SquareCanvas } from "../ui/canvas.tsx";
import {
  objectColor,
  paintAssigned,
  paintBoxes,
  paintCellAnchors,
  paintHandles,
  paintScene,
} from "./paint.ts";
import {
  centeredAt,
  type Edges,
  type Grip,
  gripAt,
  IMAGE_SIDE,
  moved,
  resized,
  withCorner,
} from "./scene.ts";
import { answer, choose, chosenObject, putBox, removeObject, state } from "./store.ts";

/** How far an arrow key moves a box or its corner, in pixels of the image. */
const KEY_STEP = 4;

/** How near to a corner a pointer takes hold of it, in pixels of the page: a finger is wide. */
const REACH = { mouse: 10, touch: 22 } as const;

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-KEY_STEP, 0],
  ArrowRight: [KEY_STEP, 0],
  ArrowUp: [0, -KEY_STEP],
  ArrowDown: [0, KEY_STEP],
};

/** What a pointer holds, and where it and the box were when it took hold. */
interface Hold {
  readonly grip: Grip;
  readonly x: number;
  readonly y: number;
  readonly box: Edges;
}

/** The scene, whose boxes are moved and resized by pointer or by keys. */
export function SceneArea() {
  const hold = useRef<Hold | undefined>(undefined);
  const at = (event: PointerEvent): readonly [x: number, y: number, perPixel: number] => {
    const { left, top, width } = (event.currentTarget as Element).getBoundingClientRect();
    const perPixel = IMAGE_SIDE / width;
    return [(event.clientX - left) * perPixel, (event.clientY - top) * perPixel, perPixel];
  };
  const take = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    const [x, y, perPixel] = at(event);
    const { objects, chosen } = state.value;
    const reach = REACH[event.pointerType === "touch" ? "touch" : "mouse"] * perPixel;
    const own = objects[chosen]?.box;
    if (own === undefined) return;
    const grip = gripAt(objects, chosen, x, y, reach);
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    if (grip === undefined) {
      // Beside all objects: the chosen one comes there, for those who cannot drag.
      const box = centeredAt(own, x, y);
      putBox(box);
      hold.current = { grip: { kind: "inside", object: chosen }, x, y, box };
      return;
    }
    choose(grip.object);
    hold.current = { grip, x, y, box: objects[grip.object]?.box ?? own };
  };
  const drag = (event: PointerEvent): void => {
    const held = hold.current;
    if (held === undefined) return;
    const [x, y] = at(event);
    if (held.grip.kind === "inside") putBox(moved(held.box, x - held.x, y - held.y));
    else putBox(withCorner(held.box, held.grip.corner, x, y));
  };
  const release = (): void => {
    hold.current = undefined;
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = chosenObject.value?.box;
    const arrow = ARROWS[event.key];
    if (arrow !== undefined && box !== undefined)
      putBox(event.shiftKey ? resized(box, ...arrow) : moved(box, ...arrow));
    else if (event.key === "n" || event.key === "N") {
      const { objects, chosen } = state.value;
      choose((chosen + (event.key === "n" ? 1 : objects.length - 1)) % objects.length);
    } else if (event.key === "Delete") removeObject();
    else return;
    event.preventDefault();
  };
  return (
    <div
      class="area"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: boxes are moved by keys as well
      tabIndex={0}
      aria-label={t("scene.canvas")}
      aria-describedby="scene-summary"
      onPointerDown={take}
      onPointerMove={drag}
      onPointerUp={release}
      onPointerCancel={release}
      onKeyDown={onKey}
    >
      <SquareCanvas
        class="data"
        paint={(frame) => {
          const { objects, chosen, shown } = state.value;
          const assigned = answer.value;
          paintScene(frame, objects);
          if (assigned !== undefined) {
            if (shown === "cell") paintCellAnchors(frame, assigned.cell, chosen);
            else paintAssigned(frame, assigned, chosen);
          }
          paintBoxes(frame, objects, chosen);
          const own = objects[chosen];
          if (own !== undefined) paintHandles(frame, own.box, objectColor(chosen, frame.colors.dark));
        }}
      />
    </div>
  );
}
