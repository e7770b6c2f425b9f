import { batch, computed, effect, signal } from "@preact/signals";
import { linkOfAddress } from "../ui/link.ts";
import { type Compute, compute, lookForGpu } from "./compute.ts";
import { startWorker } from "./connect.ts";
import { type DataSpec, dataKey, PLANES } from "./data.ts";
import type { ModelKey } from "./models.ts";
import { Runner } from "./runner.ts";
import { beginView, dataPoints, dataText, dropped, playing, state, thumbnails, truth } from "./signals.ts";
import { decodeState, encodeState } from "./state.ts";

// The playground at work: runners of the chosen models, points of the chosen data, and the address.

/** One runner for each chosen model. */
export const runners = signal<readonly Runner[]>([]);

/** One step of every model. */
export function stepAll(): void {
  playing.value = false;
  for (const runner of runners.value) runner.stepOnce();
}

/** Trains every model anew. */
export function restart(): void {
  for (const runner of runners.value) runner.dispose();
  runners.value = [];
  arrange(state.value.data, state.value.models);
}

/** Trains every model anew, by something else. */
export function computeBy(chosen: Compute): void {
  compute.value = chosen;
  restart();
}

/** The data that the runners learn. */
let learnt = "";

/** Makes the runners those of the chosen models on the chosen data. */
function arrange(data: DataSpec, models: readonly ModelKey[]): void {
  const key = dataKey(data);
  const before = runners.peek();
  const keep = key === learnt ? before.filter((runner) => models.includes(runner.key)) : [];
  for (const runner of before) if (!keep.includes(runner)) runner.dispose();
  learnt = key;
  const isEmpty = data.kind === "drawing" && data.strokes.length === 0;
  runners.value = isEmpty
    ? []
    : models.map((model) => keep.find((runner) => runner.key === model) ?? new Runner(model, data));
}

const ROOM = "#/playground";

function readAddress(): void {
  const link = linkOfAddress();
  if ("broken" in link) {
    dropped.value = [link.broken];
    return;
  }
  const found = decodeState(link.text);
  batch(() => {
    state.value = found.state;
    dropped.value = found.dropped;
    beginView(found.state.view);
  });
}

/** Whether the playground is the room that is seen: the address is then its own. */
const isOpen = signal(false);

let hasBegun = false;

/** Opens the playground; the returned function leaves it, and training pauses. A second time it is as it was left. */
export function openPlayground(): () => void {
  if (!hasBegun) begin();
  else if (location.hash.includes("?")) readAddress();
  hasBegun = true;
  isOpen.value = true;
  return () => {
    playing.value = false;
    isOpen.value = false;
  };
}

/** Reads the address, and lets models, pictures and address follow the state from then on. */
function begin(): void {
  readAddress();
  void lookForGpu();
  const { api } = startWorker("data");
  const models = computed(() => state.value.models.join());
  effect(() => {
    dataText.value;
    models.value;
    const { data: spec, models: keys } = state.peek();
    arrange(spec, keys);
  });
  effect(() => {
    const key = dataText.value;
    const spec = state.peek().data;
    batch(() => {
      dataPoints.value = undefined;
      truth.value = undefined;
    });
    if (spec.kind === "drawing" && spec.strokes.length === 0) return;
    const isCurrent = (): boolean => dataKey(state.peek().data) === key;
    api.points(spec, 1500, 0).then((points) => {
      if (isCurrent()) dataPoints.value = points;
    });
    api.trueDensity(spec).then((picture) => {
      if (isCurrent() && picture.kind === "density") truth.value = picture;
    });
  });
  effect(() => {
    const text = encodeState(state.value);
    if (!isOpen.value) return;
    const address = `${ROOM}?${text}`;
    if (address !== location.hash) history.replaceState(null, "", address);
  });
  addEventListener("hashchange", () => {
    if (isOpen.peek() && location.hash.startsWith(`${ROOM}?`)) readAddress();
  });
  for (const name of PLANES) {
    api.points({ kind: "plane", name }, 400, 0).then((points) => {
      thumbnails.value = new Map([...thumbnails.peek(), [name, points]]);
    });
  }
}
