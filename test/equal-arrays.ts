import { expect } from "vitest";

// `toEqual` takes seconds for a million numbers. Of arrays whose bytes are the same, nothing more is asked; others go the usual way, which says
// where they differ. Set-up of all test files, see ../vitest.config.ts.

/** Whether two typed arrays of one kind have the same bytes; undefined where they do not, or are something else. */
function sameBytes(a: unknown, b: unknown): true | undefined {
  if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b)) return undefined;
  if (a.byteLength !== b.byteLength || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b))
    return undefined;
  const [left, right] = [a, b].map((view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength));
  return left !== undefined && right !== undefined && left.equals(right) ? true : undefined;
}

// Files of one process share their testers.
const KEY = Symbol.for("eidos equal arrays");
const global = globalThis as { [KEY]?: true };
if (global[KEY] === undefined) {
  global[KEY] = true;
  expect.addEqualityTesters([sameBytes]);
}
