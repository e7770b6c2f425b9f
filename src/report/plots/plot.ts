import type { Config, TopLevelSpec } from "vega-lite";
import { printable, printableLines } from "../../printable.ts";
import { COLORS } from "../raster/palette.ts";
import { shapeText } from "../text/shape.ts";

/** Widths of the letters of Helvetica and Arial, in thousandths of the font size; 556, a digit's, for all others. */
const WIDTHS: readonly (readonly [letters: string, width: number])[] = [
  ["ijl'|", 222],
  [" ftI!.,:;/\\[]", 278],
  ["r()-{}`", 333],
  ["Jckvsxyz", 500],
  ["−+=<>~", 584],
  ["ABEKPSVXY&", 667],
  ["CDHNRU", 722],
  ["GOQ", 778],
  ["mM", 833],
  ["W…%@", 960],
  ["w", 722],
];

const LETTERS = new Map(WIDTHS.flatMap(([letters, width]) => [...letters].map((letter) => [letter, width])));

/**
 * Width of a line of text in pixels, where no canvas can measure it: in Helvetica or a font made to its measure, of other letters than
 * those of ASCII in the fonts of pictures.
 */
function textWidth(text: string, fontSize: number, bold: boolean): number {
  if (!/^[ -~−…]*$/.test(text)) return shapeText(text, { bold, note: false }).width * fontSize;
  const thousandths = [...text].reduce((sum, letter) => sum + (LETTERS.get(letter) ?? 556), 0);
  return (thousandths / 1000) * fontSize * (bold ? 1.06 : 1);
}

/** A Vega-Lite specification: what all plots of this room are written in. */
export type PlotSpec = TopLevelSpec;

/** One layer of a plot of layers. */
export type PlotLayer = Extract<PlotSpec, { layer: unknown }>["layer"][number];

/** One of the plots that stand side by side. */
export type PlotPart = Extract<PlotSpec, { concat: unknown }>["concat"][number];

const FONT = '"Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif';

/** The look of all plots: light, thin grid, no frame. */
const config: Config = {
  aria: false,
  background: "white",
  font: FONT,
  padding: 10,
  view: { stroke: null },
  axis: {
    gridColor: COLORS.line,
    domain: false,
    tickColor: COLORS.line,
    labelColor: COLORS.muted,
    titleColor: COLORS.ink,
    labelFontSize: 11,
    titleFontSize: 12,
    titleFontWeight: "normal",
    titlePadding: 8,
  },
  axisX: { grid: false, domain: true, domainColor: COLORS.border, tickColor: COLORS.border, tickSize: 4 },
  axisY: { ticks: false, labelPadding: 6, minExtent: 34 },
  legend: {
    orient: "top",
    title: null,
    labelFontSize: 12,
    labelColor: COLORS.ink,
    labelLimit: 0,
    titleColor: COLORS.ink,
    titleFontSize: 12,
    titleFontWeight: "normal",
    symbolStrokeWidth: 2.5,
    symbolOpacity: 1,
    columnPadding: 24,
    offset: 6,
  },
  title: {
    anchor: "start",
    frame: "group",
    fontSize: 14,
    fontWeight: 600,
    color: COLORS.ink,
    subtitleColor: COLORS.muted,
    subtitleFontSize: 12,
    subtitlePadding: 5,
    offset: 12,
  },
  concat: { spacing: 22 },
};

/** Labels of an axis of large numbers, each with its own unit: 0, 500, 1k, 1.5k. */
export const SHORT_LABELS = "datum.value === 0 ? '0' : format(datum.value, '~s')";

/** The part of Vega that measures how wide a text is; its declarations leave it out. */
interface TextMetrics {
  readonly estimateWidth: unknown;
  width: unknown;
}

interface TextItem {
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}

/** Where there is no canvas, Vega takes every letter for 0.8 of the font size; labels would stand too far apart. */
function measureText(metrics: TextMetrics): void {
  if (metrics.width !== metrics.estimateWidth) return;
  metrics.width = ({ fontSize = 11, fontWeight }: TextItem, text: unknown): number =>
    textWidth(String(text ?? ""), fontSize, fontWeight === "bold" || Number(fontWeight) >= 600);
}

/**
 * Draws a specification as an SVG document of its own: no DOM, nothing loaded from outside, no script. Vega is loaded
 * by the first call. The same specification gives the same text.
 */
export async function renderSvg(spec: PlotSpec): Promise<string> {
  const [{ compile }, vega] = await Promise.all([import("vega-lite"), import("vega")]);
  measureText((vega as unknown as { readonly textMetrics: TextMetrics }).textMetrics);
  const compiled = compile({ ...spec, config: { ...config, ...spec.config } }).spec;
  const view = new vega.View(vega.parse(plainTitles(compiled)), { renderer: "none", logLevel: vega.Error });
  try {
    return compact(visible(await view.toSVG()));
  } finally {
    view.finalize();
  }
}

/**
 * A specification of Vega in which no title is a word that all objects have, such as `constructor`: its parser of expressions takes
 * that for a name, even in quotes. Such a title is put together of two texts.
 */
function plainTitles<T>(value: T): T;
function plainTitles(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => plainTitles(item));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, held]: [string, unknown]) => {
      if (key === "data" || key === "signals") return [key, held];
      const isTitle =
        (key === "title" || key === "text") && typeof held === "string" && held in Object.prototype;
      if (!isTitle) return [key, plainTitles(held)];
      return [key, { signal: `${JSON.stringify(held[0])}+${JSON.stringify(held.slice(1))}` }];
    }),
  );
}

/** Names out of files with their control characters written out: XML cannot hold them. */
function visible(svg: string): string {
  return printableLines(svg).replace(/[\ufffe\uffff]/g, "\ufffd");
}

/** A name that fits: long ones lose their middle, since names often share their start. */
export function short(name: string, most = 28): string {
  const letters = [...printable(name)];
  if (letters.length <= most) return letters.join("");
  const tail = Math.floor(most / 3);
  return `${letters.slice(0, most - 1 - tail).join("")}…${letters.slice(-tail).join("")}`;
}

/**
 * Names that stand in a plot by their positions. Vega takes some texts for words of its own, names that are cut short may be equal, and
 * an object's own words (`constructor`) are found where a name is looked up: so data hold positions, and axes and legends show names.
 */
export class PlotNames {
  private readonly key: string;
  private readonly names: readonly string[];

  /**
   * @param key what the names are of: a word, another one for each of the lists of a plot
   * @param most letters of a name that are shown
   */
  constructor(key: string, names: readonly string[], most = 40) {
    this.key = `names_${key}`;
    this.names = names.map((name) => short(name, most));
  }

  /** To be among the `params` of the plot as a whole. */
  get param(): { readonly name: string; readonly value: readonly string[] } {
    return { name: this.key, value: this.names };
  }

  /** An expression for the labels of an axis or a legend whose values are positions. */
  get labelExpr(): string {
    return `${this.key}[datum.value]`;
  }

  /** The positions: the domain of a scale. */
  get positions(): number[] {
    return this.names.map((_, i) => i);
  }
}

const CIRCLE =
  /<path transform="translate\((-?[\d.]+),(-?[\d.]+)\)" d="M([\d.]+),0A\3,\3,0,1,1,-\3,0A\3,\3,0,1,1,\3,0"([^>]*)\/>/g;
const EQUAL_CIRCLES =
  /<circle cx="[^"]*" cy="[^"]*" (r="[^"]*")([^>]*)\/>(?:<circle cx="[^"]*" cy="[^"]*" \1\2\/>)+/g;

/**
 * Leaves out what nobody sees (roles, invisible frames, digits beyond a hundredth of a pixel) and writes dots as
 * circles that share their attributes: a scatter plot takes a tenth of the room.
 */
function compact(svg: string): string {
  const identifiers = new Map<string, string>();
  for (const [, id = ""] of svg.matchAll(/<(?:clipPath|linearGradient|radialGradient) id="([^"]+)"/g)) {
    identifiers.set(id, `def${identifiers.size}`);
  }
  const renamed = (id: string): string => identifiers.get(id) ?? id;
  const compactTag = (tag: string): string =>
    tag
      .replace(/ (?:role|aria-[a-z]+|pointer-events|class)="[^"]*"/g, "")
      .replace(/ (?:opacity="1"|stroke-width="0")/g, "")
      .replace(/ (?:transform|d|x[12]?|y[12]?|width|height)="[^"]*"/g, (attribute) =>
        attribute.replace(/-?\d+\.\d{3,}(?:e-?\d+)?/g, (digits) =>
          String(Math.round(Number(digits) * 100) / 100),
        ),
      )
      .replace(/ id="([^"]+)"/g, (_, id: string) => ` id="${renamed(id)}"`)
      .replace(/url\(#([^)]+)\)/g, (_, id: string) => `url(#${renamed(id)})`);
  // Text between tags, such as a column's name, stays as it is.
  return svg
    .replace(/<path class="(?:background|foreground)"[^>]*(?:pointer-events="none"|display="none")\/>/g, "")
    .replace(/<[^>]+>/g, compactTag)
    .replace(CIRCLE, '<circle cx="$1" cy="$2" r="$3"$4/>')
    .replace(
      EQUAL_CIRCLES,
      (run, _radius: string, shared: string) => `<g${shared}>${run.replaceAll(`${shared}/>`, "/>")}</g>`,
    );
}
