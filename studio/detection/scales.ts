// The image pyramid of the room.

/** Factors of the picture in an image pyramid. */
export const SCALES = [2, 1, 0.5] as const;

/** Pixels between the cells of the one map that looks at all scales. */
export const MAP_STRIDE = 16;

/** Pixels that an image pyramid looks at for each pixel of the picture. */
export const LOOKS = SCALES.reduce((sum, scale) => sum + scale ** 2, 0);
