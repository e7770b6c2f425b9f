// Features of what a reader brings: a plane to see them in, and which are near each other.

/** Features of one item, from the server: of a vector, or of a map. */
export interface FeaturesAnswer {
  readonly features: { readonly shape: readonly number[]; readonly data: readonly (number | null)[] };
}

/** Vectors of an answer, one for each item that was sent. */
export function vectorsOf({ features: { shape, data } }: FeaturesAnswer): readonly Float32Array[] {
  const [count = 0] = shape;
  const size = count === 0 ? 0 : data.length / count;
  return Array.from({ length: count }, (_, i) =>
    Float32Array.from(data.slice(i * size, (i + 1) * size), (value) => value ?? Number.NaN),
  );
}

/** A place in the plane, each coordinate from 0 to 1. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

export interface Plane {
  readonly places: readonly Place[];
  /** Share of both axes in the variance of the features. */
  readonly share: number;
}

/** Numbers from 0 to 1, in one scale for both axes so that distances are kept. */
function scaled(coordinates: Float32Array, axes: number): readonly Place[] {
  const of = (axis: number): readonly number[] =>
    Array.from({ length: coordinates.length / axes }, (_, i) => coordinates[i * axes + axis] ?? 0);
  const across = of(0);
  const up = axes > 1 ? of(1) : across.map(() => 0);
  const middle = (values: readonly number[]): number => (Math.min(...values) + Math.max(...values)) / 2;
  const reach = (values: readonly number[]): number => Math.max(...values) - Math.min(...values);
  const side = Math.max(reach(across), reach(up)) || 1;
  const [centerX, centerY] = [middle(across), middle(up)];
  return across.map((x, i) => ({
    x: 0.5 + (x - centerX) / side,
    y: 0.5 - ((up[i] ?? 0) - centerY) / side,
  }));
}

/** Vectors in the plane in which they vary most, by their first two principal components. */
export async function planeOf(vectors: readonly Float32Array[]): Promise<Plane> {
  const size = vectors[0]?.length ?? 0;
  const axes = Math.min(2, size, Math.max(1, vectors.length - 1));
  if (size === 0) return { places: [], share: 0 };
  const data = new Float32Array(vectors.length * size);
  for (const [i, vector] of vectors.entries()) data.set(vector, i * size);
  const isOne = vectors.every((vector) => vector.every((value, k) => value === vectors[0]?.[k]));
  if (isOne) return { places: vectors.map(() => ({ x: 0.5, y: 0.5 })), share: 1 };
  // Fetched when the first map is drawn.
  const { principalComponents } = await import("eidos/metrics");
  const { scores, shares } = principalComponents(
    { dtype: "float32", shape: [vectors.length, size], data },
    axes,
  );
  return {
    places: scaled(scores.data, axes),
    share: Array.from(shares).reduce((sum, one) => sum + one, 0),
  };
}

/** How two items differ: 1 − cosine of the angle between their features, from 0 to 2; 1 where one of them has none. */
export function cosineDistance(a: Float32Array, b: Float32Array): number {
  let [dot, ofA, ofB] = [0, 0, 0];
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    dot += value * other;
    ofA += value * value;
    ofB += other * other;
  }
  return ofA === 0 || ofB === 0 ? 1 : 1 - dot / Math.sqrt(ofA * ofB);
}

export interface Near {
  readonly item: number;
  readonly distance: number;
}

/** The items nearest to one of them, the nearest first. */
export function nearestTo(vectors: readonly Float32Array[], item: number, count: number): readonly Near[] {
  const own = vectors[item];
  if (own === undefined) return [];
  return vectors
    .flatMap((vector, i) => (i === item ? [] : [{ item: i, distance: cosineDistance(own, vector) }]))
    .sort((a, b) => a.distance - b.distance || a.item - b.item)
    .slice(0, count);
}

/** The item nearest to one of them in a direction of the plane (1 across is to the right, 1 down is down); undefined where there is none. */
export function nextInDirection(
  places: readonly Place[],
  from: number,
  [across, down]: readonly [number, number],
): number | undefined {
  const start = places[from];
  if (start === undefined) return undefined;
  let best: { readonly item: number; readonly cost: number } | undefined;
  for (const [item, { x, y }] of places.entries()) {
    const along = (x - start.x) * across + (y - start.y) * down;
    const aside = Math.abs((x - start.x) * down) + Math.abs((y - start.y) * across);
    if (item === from || along <= 0 || aside > 2 * along) continue;
    const cost = along + aside;
    if (best === undefined || cost < best.cost) best = { item, cost };
  }
  return best?.item;
}
