import type { Frame } from "../ui/frame.ts";
import { EXTENT } from "./data.ts";
import type { Picture } from "./engine.ts";

// What stands on the canvases: points, densities, paths and arrows on a square of the plane.

const place = (size: number, value: number): number => ((value + EXTENT) / (2 * EXTENT)) * size;

/** The ground, with the axes and a mark at every second unit. */
export function paintGround({ context, size, ratio, colors }: Frame): void {
  context.fillStyle = colors.ground;
  context.fillRect(0, 0, size, size);
  context.strokeStyle = colors.line;
  context.lineWidth = ratio;
  context.beginPath();
  for (let unit = -4; unit <= 4; unit += 2) {
    const at = Math.round(place(size, unit)) + ratio / 2;
    const length = unit === 0 ? size : 6 * ratio;
    context.moveTo(at, size);
    context.lineTo(at, size - length);
    context.moveTo(0, at);
    context.lineTo(length, at);
  }
  context.stroke();
}

/** Points as small squares, which are drawn much faster than discs. */
export function paintPoints(
  { context, size, ratio }: Frame,
  points: Float32Array,
  { color, side, alpha }: { readonly color: string; readonly side: number; readonly alpha: number },
): void {
  context.globalAlpha = alpha;
  context.fillStyle = color;
  const width = side * ratio;
  for (let i = 0; i + 1 < points.length; i += 2) {
    context.fillRect(
      place(size, points[i] ?? 0) - width / 2,
      place(size, -(points[i + 1] ?? 0)) - width / 2,
      width,
      width,
    );
  }
  context.globalAlpha = 1;
}

type Rgb = readonly [number, number, number];

/** Stops of the color scale of densities, from nothing to the peak. */
const SCALES: { readonly light: readonly Rgb[]; readonly dark: readonly Rgb[] } = {
  light: [
    [255, 255, 255],
    [205, 229, 236],
    [120, 184, 203],
    [10, 106, 135],
    [4, 48, 64],
  ],
  dark: [
    [17, 21, 26],
    [14, 52, 68],
    [18, 104, 132],
    [88, 196, 224],
    [236, 250, 255],
  ],
};

/** 256 colors between the stops of a scale. */
function ramp(stops: readonly Rgb[]): Uint8ClampedArray {
  const colors = new Uint8ClampedArray(4 * 256);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(at));
    const [from, to] = [stops[k] ?? [0, 0, 0], stops[k + 1] ?? [0, 0, 0]];
    for (let c = 0; c < 3; c++)
      colors[4 * i + c] = (from[c] ?? 0) + (at - k) * ((to[c] ?? 0) - (from[c] ?? 0));
    colors[4 * i + 3] = 255;
  }
  return colors;
}

const RAMPS = { light: ramp(SCALES.light), dark: ramp(SCALES.dark) };

/** The log-density that is the end of the color scale: the peak of the truth, so that colors of all models mean the same. */
export function peakOf(logDensities: Float32Array): number {
  return logDensities.reduce((peak, value) => Math.max(peak, value), Number.NEGATIVE_INFINITY);
}

/** A density as colors, by the square root of its ratio to the peak, which shows tails as well. */
export function paintDensity(
  { context, size, colors }: Frame,
  { side, logDensities }: Extract<Picture, { kind: "density" }>,
  peak: number,
): void {
  const image = new ImageData(side, side);
  const scale = colors.dark ? RAMPS.dark : RAMPS.light;
  for (let i = 0; i < side * side; i++) {
    const share = Math.sqrt(Math.exp(Math.min(0, (logDensities[i] ?? Number.NEGATIVE_INFINITY) - peak)));
    const color = 4 * (Number.isFinite(share) ? Math.round(255 * share) : 0);
    image.data.set(scale.subarray(color, color + 4), 4 * i);
  }
  const small = new OffscreenCanvas(side, side);
  small.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, size, size);
}

/** Colors of particles, by the angle at which their noise lay. */
const HUES = 36;
const particleColor = (bin: number, dark: boolean): string =>
  `hsl(${(bin / HUES) * 360} ${dark ? "72% 62%" : "68% 42%"})`;

/** Particles on their way from noise to data. @param time 1 for noise, 0 for data @param trails particles whose way is drawn */
export function paintPath(
  { context, size, ratio, colors }: Frame,
  states: readonly Float32Array[],
  { time, trails }: { readonly time: number; readonly trails: number },
): void {
  const [start] = states;
  if (start === undefined || states.length < 2) return;
  const position = (1 - time) * (states.length - 1);
  const k = Math.min(states.length - 2, Math.floor(position));
  const share = position - k;
  const [before, after] = [states[k] ?? start, states[k + 1] ?? start];
  const now = (i: number): number => (before[i] ?? 0) + share * ((after[i] ?? 0) - (before[i] ?? 0));
  const count = start.length / 2;
  const bins: number[][] = Array.from({ length: HUES }, () => []);
  for (let i = 0; i < count; i++) {
    const angle = Math.atan2(start[2 * i + 1] ?? 0, start[2 * i] ?? 0) / (2 * Math.PI) + 1;
    bins[Math.floor(HUES * angle) % HUES]?.push(i);
  }
  const width = 4 * ratio;
  for (const [bin, members] of bins.entries()) {
    const color = particleColor(bin, colors.dark);
    context.strokeStyle = color;
    context.globalAlpha = 0.35;
    context.lineWidth = ratio;
    context.beginPath();
    for (const i of members) {
      if (i >= trails) continue;
      context.moveTo(place(size, start[2 * i] ?? 0), place(size, -(start[2 * i + 1] ?? 0)));
      for (let s = 1; s <= k; s++) {
        const state = states[s] ?? start;
        context.lineTo(place(size, state[2 * i] ?? 0), place(size, -(state[2 * i + 1] ?? 0)));
      }
      context.lineTo(place(size, now(2 * i)), place(size, -now(2 * i + 1)));
    }
    context.stroke();
    context.globalAlpha = 0.95;
    context.fillStyle = color;
    for (const i of members) {
      context.fillRect(
        place(size, now(2 * i)) - width / 2,
        place(size, -now(2 * i + 1)) - width / 2,
        width,
        width,
      );
    }
  }
  context.globalAlpha = 1;
}

/** Velocities as arrows, drawn towards the data: against time, which runs from data to noise. */
export function paintField(
  { context, size, ratio, colors }: Frame,
  { side, velocities }: Extract<Picture, { kind: "field" }>,
): void {
  let fastest = 1e-6;
  for (let i = 0; i < velocities.length; i += 2)
    fastest = Math.max(fastest, Math.hypot(velocities[i] ?? 0, velocities[i + 1] ?? 0));
  const cell = size / side;
  context.strokeStyle = colors.accent;
  context.fillStyle = colors.accent;
  context.lineWidth = 1.5 * ratio;
  context.lineCap = "round";
  for (let i = 0; i < side * side; i++) {
    const [vx, vy] = [-(velocities[2 * i] ?? 0), velocities[2 * i + 1] ?? 0];
    const speed = Math.hypot(vx, vy);
    // Slow places keep an arrow that can be seen.
    const length = 0.95 * cell * Math.sqrt(speed / fastest);
    const [ux, uy] = speed > 0 ? [vx / speed, vy / speed] : [0, 0];
    const [x, y] = [cell * ((i % side) + 0.5), cell * (Math.floor(i / side) + 0.5)];
    const [tipX, tipY] = [x + (ux * length) / 2, y + (uy * length) / 2];
    context.globalAlpha = 0.35 + 0.65 * (speed / fastest);
    context.beginPath();
    context.moveTo(x - (ux * length) / 2, y - (uy * length) / 2);
    context.lineTo(tipX, tipY);
    context.stroke();
    const head = Math.min(5 * ratio, 0.45 * length);
    context.beginPath();
    context.moveTo(tipX + ux * head * 0.6, tipY + uy * head * 0.6);
    context.lineTo(tipX - ux * head - uy * head * 0.7, tipY - uy * head + ux * head * 0.7);
    context.lineTo(tipX - ux * head + uy * head * 0.7, tipY - uy * head - ux * head * 0.7);
    context.fill();
  }
  context.globalAlpha = 1;
}
