import { printableLines } from "../../printable.ts";
import { COLORS } from "../raster/palette.ts";
import { base64, pngSize } from "../raster/raster.ts";

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["&", "&amp;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ['"', "&quot;"],
  ["'", "&#39;"],
]);

/** Text as it stands between tags or in a quoted attribute. Control characters, which HTML cannot hold, are written out. */
export function escapeHtml(text: string): string {
  return printableLines(text).replace(/[&<>"']/g, (character) => ENTITIES.get(character) ?? character);
}

/**
 * An SVG document of this room as a part of an HTML page: without namespaces, and with names of its own for what it
 * defines (names are shared by all of a page), each led by `prefix`.
 */
function inlineSvg(svg: string, prefix: string): string {
  return svg.slice(svg.indexOf("<svg")).replace(/<[^>]+>/g, (tag) =>
    tag
      .replace(/ xmlns(?::[a-z]+)?="[^"]*"/g, "")
      .replace(/ xlink:href=/g, " href=")
      .replace(/ id="([^"]+)"/g, ` id="${prefix}-$1"`)
      .replace(/url\(#([^)]+)\)/g, `url(#${prefix}-$1)`)
      .replace(/ href="#([^"]+)"/g, ` href="#${prefix}-$1"`),
  );
}

/**
 * The style of the report. In the dark, plots have the ground and the ink of the page: their colors of text and lines are those of
 * `palette.ts`. Drawings on white paper are turned dark, hues kept; photos and samples stay as they are.
 */
export const style = `
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #1f2430; --muted: #5b6472; --line: #e1e4ea; --accent: #2563eb; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171d; --card: #1d212a; --ink: #e8eaf0; --muted: #a0a8b6; --line: #323845; --accent: #7aa2ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.55 system-ui, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 36px 20px 72px; }
h1 { margin: 0; font-size: 30px; line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h1 span { color: var(--muted); font-weight: 400; }
header p { margin: 8px 0 0; color: var(--muted); }
h2 { margin: 44px 0 14px; font-size: 19px; }
p { margin: 0 0 8px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin: 28px 0 0; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
dt { color: var(--muted); font-size: 13px; }
dd { margin: 2px 0 0; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
dd small { display: block; color: var(--muted); font-size: 12px; font-weight: 400; line-height: 1.4; }
figure { margin: 0 0 16px; background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px; color: #1f2430; }
figure svg, figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { margin-top: 10px; color: #5b6472; font-size: 13px; }
figcaption b { color: #1f2430; margin-right: 4px; }
.time { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 16px; }
.time figure { margin: 0; }
.notes { margin: 12px 0 0; padding-left: 18px; color: var(--muted); font-size: 13px; }
.notes b { color: var(--ink); font-weight: 600; }
@media (prefers-color-scheme: dark) {
  figure { background: var(--card); color: var(--ink); }
  figcaption { color: var(--muted); }
  figcaption b { color: var(--ink); }
  figure.plot svg > rect[fill="white"] { fill: none; }
  figure.plot [fill="${COLORS.ink}"] { fill: var(--ink); }
  figure.plot [fill="${COLORS.muted}"] { fill: var(--muted); }
  figure.plot [stroke="${COLORS.ink}"] { stroke: var(--ink); }
  figure.plot [stroke="${COLORS.muted}"] { stroke: var(--muted); }
  figure.plot [stroke="${COLORS.line}"] { stroke: var(--line); }
  figure.plot [stroke="${COLORS.border}"] { stroke: var(--muted); }
  figure.plot [stroke="${COLORS.training}"] { stroke: var(--accent); }
  figure.plot [fill="${COLORS.training}"] { fill: var(--accent); }
  img.paper { filter: invert(0.9) hue-rotate(180deg); }
}
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th, td { padding: 8px 14px; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--muted); font-size: 13px; font-weight: 500; }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; }
td code { overflow-wrap: anywhere; }
pre { margin: 0 0 16px; padding: 11px 14px; overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-left: 3px solid var(--accent); border-radius: 8px; }
@media print { body { background: #fff; } figure, .figures div, tr { break-inside: avoid; } }
`;

/** A picture as the bytes of a PNG file or the text of an SVG document. */
export type Picture = {
  /** Whether it is a drawing on white paper, which pages turn dark where they are dark; of an SVG, where it is shown as an image. */
  readonly onPaper?: boolean;
} & (
  | { readonly format: "png"; readonly bytes: Uint8Array }
  | {
      readonly format: "svg";
      readonly text: string;
      /** Read from a file, which may be a stranger's: it is shown as an image, in which nothing runs and no link leads anywhere. */
      readonly isFile?: boolean;
    }
);

/** What a page is made of. */
export interface Page {
  readonly title: string;
  /** Of eidos. */
  readonly version: string;
  /** HTML, in order; empty ones are left out. */
  readonly sections: readonly string[];
  /** Rules besides those that all pages have. */
  readonly style?: string;
}

/** One HTML page with its style inside, that loads nothing and runs no script. */
export function renderPage({ title, version, sections, style: own = "" }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="generator" content="eidos ${escapeHtml(version)}">
<title>${escapeHtml(title)}</title>
<style>${style}${own}</style>
</head>
<body>
<main>
${sections.filter((html) => html !== "").join("\n")}
</main>
</body>
</html>
`;
}

/** A section under a heading; nothing where there is nothing to show. */
export function section(title: string, body: string): string {
  return body === "" ? "" : `<section>\n<h2>${escapeHtml(title)}</h2>\n${body}\n</section>`;
}

/** A table that scrolls where it is too wide. `heads` and `rows` are HTML. */
export function table(heads: string, rows: readonly string[]): string {
  return `<div class="wide"><table>\n<thead><tr>${heads}</tr></thead>\n<tbody>\n${rows.join("\n")}\n</tbody>\n</table></div>`;
}

/** A date to the minute. */
export function dateText(date: Date): string {
  const text = `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return `<time datetime="${date.toISOString()}">${text}</time>`;
}

/** Writes pictures into a page; counts them, since the definitions of every SVG need names of their own. */
export class PictureWriter {
  private count = 0;

  plot(svg: string): string {
    return `<figure class="plot">${this.picture({ format: "svg", text: svg }, "")}</figure>`;
  }

  figure(picture: Picture, caption: string, title: string): string {
    const text = `<figcaption><b>${escapeHtml(title)}</b> ${escapeHtml(caption)}</figcaption>`;
    const className = picture.format === "svg" ? ' class="plot"' : "";
    return `<figure${className}>${this.picture(picture, `${title}. ${caption}`)}${text}</figure>`;
  }

  /** The picture alone. */
  picture(picture: Picture, description: string): string {
    this.count++;
    const paper = picture.onPaper === true ? ' class="paper"' : "";
    if (picture.format === "svg") {
      if (picture.isFile !== true) return inlineSvg(picture.text, `p${this.count}`);
      const source = `data:image/svg+xml;base64,${base64(new TextEncoder().encode(picture.text))}`;
      return `<img${paper} src="${source}" alt="${escapeHtml(description)}">`;
    }
    const size = pngSize(picture.bytes);
    const measure = size === undefined ? "" : ` width="${size.width}" height="${size.height}"`;
    const source = `data:image/png;base64,${base64(picture.bytes)}`;
    return `<img${paper} src="${source}"${measure} alt="${escapeHtml(description)}">`;
  }
}
