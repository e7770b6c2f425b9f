import type uPlot from "uplot";
import { number } from "../i18n/index.ts";
import { readColors } from "./frame.ts";

/** Axes of a plot in the colors and letters of the page around it, without ticks. */
export function plotAxis(element: Element): uPlot.Axis {
  const { color, fontFamily } = getComputedStyle(element);
  return {
    stroke: color,
    font: `11px ${fontFamily}`,
    grid: { stroke: readColors(element).line, width: 1 },
    ticks: { show: false },
  };
}

/** Whole numbers under an axis, as the language writes them. */
export const wholeNumbers: uPlot.Axis.Values = (_, values) => values.map((value) => number(value));
