import { batch, computed, effect, signal } from "@preact/signals";
import type { Remote } from "comlink";
import { linkOfAddress } from "../ui/link.ts";
import { startWorker } from "./connect.ts";
import type { Assigned } from "./engine.ts";
import type { Pyramids } from "./pyramids.ts";
import { RULES, type Rule } from "./rules.ts";
import { heldBox, type SceneObject } from "./scene.ts";
import {
  type DetectionState,
  decodeState,
  encodeState,
  heldNumber,
  INITIAL,
  type NumberName,
  settingsOf,
} from "./state.ts";
import type { Suppressed } from "./suppression.ts";
import type { WorkerApi } from "./worker.ts";

// The room at work: what the address holds, and what the worker makes of it.

/** What a link holds. */
export const state = signal<DetectionState>(INITIAL);

/** Parts of the address that were not understood. */
export const dropped = signal<readonly string[]>([]);

/** What each rule makes of the scene, as far as it is computed; the newest scene comes a moment later. */
export const answers = signal<ReadonlyMap<Rule, Assigned>>(new Map());

export const suppressed = signal<Suppressed | undefined>(undefined);

export const pyramids = signal<Pyramids | undefined>(undefined);

/** What stopped the worker, in its own words. */
export const failure = signal<string | undefined>(undefined);

/** What the chosen rule makes of the scene. */
export const answer = computed(() => answers.value.get(state.value.rule));

export const chosenObject = computed(() => state.value.objects[state.value.chosen]);

export function change(values: Partial<DetectionState>): void {
  state.value = { ...state.value, ...values };
}

export function changeNumber(name: NumberName, value: number): void {
  const numbers = { ...state.value.numbers, [name]: heldNumber(name, value) };
  // A range keeps its ends in order.
  if (name === "from" && numbers.to <= numbers.from) numbers.to = heldNumber("to", numbers.from + 16);
  if (name === "to" && numbers.from >= numbers.to) numbers.from = heldNumber("from", numbers.to - 16);
  change({ numbers });
}

export function changeSetting(rule: Rule, option: string, value: number): void {
  const { settings } = state.value;
  change({ settings: { ...settings, [rule]: { ...settings[rule], [option]: value } } });
}

export function choose(object: number): void {
  if (object !== state.value.chosen) change({ chosen: object });
}

/** Puts the chosen object into another box. */
export function putBox(box: SceneObject["box"]): void {
  const { objects, chosen } = state.value;
  const held = heldBox(box);
  if (objects[chosen]?.box.join() === held.join()) return;
  change({ objects: objects.map((object, i) => (i === chosen ? { ...object, box: held } : object)) });
}

export function addObject(object: SceneObject): void {
  const { objects } = state.value;
  change({ objects: [...objects, object], chosen: objects.length });
}

/** Takes the chosen object away; the last one stays. */
export function removeObject(): void {
  const { objects, chosen } = state.value;
  if (objects.length < 2) return;
  change({
    objects: objects.filter((_, i) => i !== chosen),
    chosen: Math.min(chosen, objects.length - 2),
  });
}

/**
 * Asks for what the state wants, one answer at a time: while one is computed, only the newest wish waits. What is computed is always of a
 * state that there was, and of the newest one as soon as the reader rests.
 */
function follow<Q, A>(wish: () => Q, ask: (question: Q) => Promise<A>, put: (answer: A) => void): () => void {
  let waiting: { readonly question: Q } | undefined;
  let asking = false;
  let last = "";
  const next = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    while (waiting !== undefined) {
      const { question } = waiting;
      waiting = undefined;
      try {
        put(await ask(question));
      } catch (error) {
        failure.value = error instanceof Error ? error.message : String(error);
      }
    }
    asking = false;
  };
  return effect(() => {
    const question = wish();
    const text = JSON.stringify(question);
    if (text === last) return;
    last = text;
    waiting = { question };
    void next();
  });
}

/** What a rule is asked, as text. */
const asked = (rule: Rule, { objects, chosen, ...own }: DetectionState): string =>
  JSON.stringify([objects, chosen, settingsOf({ objects, chosen, ...own }, rule)]);

/** Keeps the answers of all rules those of the scene: that of the chosen rule first, then those of the others in turn. */
function followRules(api: Remote<WorkerApi>): () => void {
  const known = new Map<Rule, string>();
  let turn = 0;
  let [asking, ended] = [false, false];
  const stale = (): Rule | undefined => {
    const now = state.peek();
    const isStale = (rule: Rule): boolean => known.get(rule) !== asked(rule, now);
    if (isStale(now.rule)) return now.rule;
    const order = RULES.map((_, i) => RULES[(turn + i) % RULES.length] ?? now.rule);
    return order.find(isStale);
  };
  const next = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    for (let rule = stale(); rule !== undefined && !ended; rule = stale()) {
      const now = state.peek();
      turn = RULES.indexOf(rule) + 1;
      known.set(rule, asked(rule, now));
      try {
        const { objects, chosen } = now;
        const assigned = await api.assign({ rule, settings: settingsOf(now, rule), objects, chosen });
        answers.value = new Map([...answers.peek(), [rule, assigned]]);
      } catch (error) {
        failure.value = error instanceof Error ? error.message : String(error);
      }
    }
    asking = false;
  };
  const stop = effect(() => {
    state.value;
    void next();
  });
  return () => {
    ended = true;
    stop();
  };
}

const ROOM = "#/detection";

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
  });
}

let worker: Remote<WorkerApi> | undefined;

/** The worker, which is started when the room is first opened, and stays. */
function workerOf(): Remote<WorkerApi> {
  if (worker !== undefined) return worker;
  worker = startWorker((reason) => {
    failure.value = reason;
  });
  void worker.prepare(new URL("./runtime/", document.baseURI).href);
  return worker;
}

/** Opens the room; the returned function leaves it. A second time it is as it was left. */
export function openDetection(): () => void {
  const api = workerOf();
  if (location.hash.includes("?")) readAddress();
  const onHash = (): void => {
    if (location.hash.startsWith(`${ROOM}?`)) readAddress();
  };
  addEventListener("hashchange", onHash);
  const stops = [
    effect(() => {
      const address = `${ROOM}?${encodeState(state.value)}`;
      if (address !== location.hash) history.replaceState(null, "", address);
    }),
    followRules(api),
    follow(
      () => {
        const { objects, suppression: kind, byClass, numbers } = state.value;
        const { iou, sigma, score, each, seed } = numbers;
        return { objects, kind, byClass, iou, sigma, score, each, seed };
      },
      (request) => api.suppress(request),
      (found) => {
        suppressed.value = found;
      },
    ),
    follow(
      () => {
        const { objects, chosen, numbers } = state.value;
        const { from, to } = numbers;
        return { objects, chosen, range: { from, to }, settings: settingsOf(state.value, "fcos") };
      },
      (request) => api.pyramids(request),
      (found) => {
        pyramids.value = found;
      },
    ),
  ];
  return () => {
    removeEventListener("hashchange", onHash);
    for (const stop of stops) stop();
  };
}
