import type { Box } from "./geometry.ts";

// What is marked on a photo, and what was before: every step can be undone.

/** An object as it is edited. */
export interface Drawn {
  /** Tells it from others while the photo is open. */
  readonly id: number;
  readonly class: string;
  readonly box: Box;
  readonly difficult: boolean;
  readonly crowd: boolean;
}

/** What is marked on a photo. */
export interface Marked {
  readonly marks: readonly Drawn[];
  /** Whether somebody has looked: without marks there is nothing to be found. */
  readonly isMarked: boolean;
}

export interface History {
  readonly past: readonly Marked[];
  readonly now: Marked;
  readonly future: readonly Marked[];
  /** What the last step did, so that several of a kind are one: a box that is nudged by a key that is held down. */
  readonly kind: string;
}

/** Steps that can be undone. */
const MOST = 200;

export function begin(now: Marked): History {
  return { past: [], now, future: [], kind: "" };
}

/** A step further. @param kind steps of the same kind after one another are one; empty: never */
export function step(history: History, now: Marked, kind = ""): History {
  const isOne = kind !== "" && kind === history.kind;
  const past = isOne ? history.past : [...history.past, history.now].slice(-MOST);
  return { past, now, future: [], kind };
}

export function undo({ past, now, future }: History): History {
  const before = past.at(-1);
  return before === undefined
    ? { past, now, future, kind: "" }
    : { past: past.slice(0, -1), now: before, future: [now, ...future], kind: "" };
}

export function redo({ past, now, future }: History): History {
  const [next, ...later] = future;
  return next === undefined
    ? { past, now, future, kind: "" }
    : { past: [...past, now], now: next, future: later, kind: "" };
}
