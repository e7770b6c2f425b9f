import type { Colors, Frame } from "../ui/frame.ts";

// The way of particles from noise to data as an animated GIF.

/** Pixels of a side. */
const SIDE = 360;
/** Frames of the way, and milliseconds that one is shown; the last one stays. */
const FRAMES = 30;
const DELAY = { frame: 60, last: 1800 } as const;

/**
 * Draws the frames of an animation and encodes them, with 255 colors at most. The encoder is fetched when it is first used.
 * @param paint paints what is to be seen at a time: 1 for noise, 0 for data
 */
export async function animation(
  colors: Colors,
  paint: (frame: Frame, time: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const { Encoder } = await import("modern-gif");
  const canvas = document.createElement("canvas");
  canvas.width = SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("this browser draws no canvas");
  const encoder = new Encoder({ width: SIDE, height: SIDE, maxColors: 255 });
  for (let k = 0; k <= FRAMES; k++) {
    paint({ context, size: SIDE, ratio: 1, colors }, 1 - k / FRAMES);
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    await encoder.encode({ data, delay: k === FRAMES ? DELAY.last : DELAY.frame });
    // The page draws, and takes keys, between two frames.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return new Uint8Array(await encoder.flush("arrayBuffer"));
}
