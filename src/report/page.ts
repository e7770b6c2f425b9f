import { base64 } from "./base64.ts";
import { escapeHtml, inlineSvg, style } from "./html.ts";
import { pngSize } from "./png.ts";

/** A picture as the bytes of a PNG file or the text of an SVG document. */
export type Picture =
  | { readonly format: "png"; readonly bytes: Uint8Array }
  | { readonly format: "svg"; readonly text: string };

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
    if (picture.format === "svg") return inlineSvg(picture.text, `p${this.count}`);
    const size = pngSize(picture.bytes);
    const measure = size === undefined ? "" : ` width="${size.width}" height="${size.height}"`;
    const source = `data:image/png;base64,${base64(picture.bytes)}`;
    return `<img src="${source}"${measure} alt="${escapeHtml(description)}">`;
  }
}
