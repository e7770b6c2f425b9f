// Objects that a detector has found in a photo, as the server tells of them.

/** An object: its box as x1, y1, x2, y2 in pixels of the upright photo. */
export interface Found {
  readonly label: string;
  readonly class: number;
  readonly score: number;
  readonly box: readonly [number, number, number, number];
}

/** What was found in a photo. */
export interface FoundIn {
  readonly width: number;
  readonly height: number;
  readonly objects: readonly Found[];
}

/** Objects with at least the score that is wanted of their class. */
export function above(objects: readonly Found[], leastOf: (label: string) => number): readonly Found[] {
  return objects.filter(({ score, label }) => score >= leastOf(label));
}

/** How many objects of each class there are, most of them first. */
export function counts(objects: readonly Found[]): readonly (readonly [label: string, count: number])[] {
  const found = new Map<string, number>();
  for (const { label } of objects) found.set(label, (found.get(label) ?? 0) + 1);
  return [...found].toSorted(([, a], [, b]) => b - a);
}
