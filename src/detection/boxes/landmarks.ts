import type { Letterbox } from "./letterbox.ts";

// Landmarks are points of objects: x and y of one after another, as many for each object.

/** Numbers of the landmarks of an object: two a landmark. */
export type LandmarkArray = Float32Array | Float64Array;

/** Landmarks of a face, in this order in all that people publish: of the image, not of the person, left comes first. */
export const FACE_LANDMARKS = [
  "left eye",
  "right eye",
  "nose",
  "left mouth corner",
  "right mouth corner",
] as const;

/** Which landmark of a face in the mirror is which: left and right change places. */
const MIRRORED_FACE = [1, 0, 2, 4, 3] as const;

/** Landmarks of the canvas as landmarks of the image: what `fromLetterbox` does with boxes. They may lie beyond it. */
export function landmarksFromLetterbox(
  landmarks: LandmarkArray,
  { image, inner, left, top }: Letterbox,
): Float64Array {
  const [sx, sy] = [image.width / inner.width, image.height / inner.height];
  return Float64Array.from(landmarks, (value, i) => (i % 2 === 0 ? (value - left) * sx : (value - top) * sy));
}

/**
 * Landmarks of a mirror image of that width as landmarks of the image, and the other way round. Five are those of a face, whose left and
 * right ones change places; others keep their order.
 * @param objects that they are of
 */
export function mirrorLandmarks(landmarks: LandmarkArray, width: number, objects: number): Float64Array {
  const numbers = landmarks.length / objects;
  const points = numbers / 2;
  return Float64Array.from(landmarks, (_, i) => {
    const [object, point] = [Math.floor(i / numbers), Math.floor((i % numbers) / 2)];
    const other = points === MIRRORED_FACE.length ? (MIRRORED_FACE[point] ?? point) : point;
    const value = landmarks[object * numbers + 2 * other + (i % 2)] ?? Number.NaN;
    return i % 2 === 0 ? width - value : value;
  });
}
