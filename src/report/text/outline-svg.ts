import { type OutlineCommand, shapeText } from "./shape.ts";

// Texts of an SVG document as paths: what turns it into pixels then needs no font of the machine.

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The character that a reference stands for. */
function decoded(text: string): string {
  return text.replace(/&(?:#x([\da-f]{1,6})|#(\d{1,7})|([a-z]{2,4}));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name as string] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex as string, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function attributesOf(tag: string): ReadonlyMap<string, string> {
  return new Map(
    Array.from(tag.matchAll(/ ([\w:-]+)="([^"]*)"/g), ([, name = "", value = ""]) => [name, value]),
  );
}

const TEXT_ONLY = new Set([
  "text-anchor",
  "font-family",
  "font-size",
  "font-weight",
  "font-style",
  "x",
  "y",
  "dx",
  "dy",
]);

const round = (value: number): string => String(Math.round(value * 100) / 100);

/** Outlines as the data of a path: y points downwards there. */
function pathData(commands: readonly OutlineCommand[], left: number, base: number, size: number): string {
  const point = (values: readonly number[]): string =>
    values.map((value, i) => round(i % 2 === 0 ? left + value * size : base - value * size)).join(" ");
  const letters = { move: "M", line: "L", quadratic: "Q", cubic: "C" } as const;
  return commands
    .map((command) => {
      if (command.kind === "close") return "Z";
      const values = "points" in command ? command.points : [command.x, command.y];
      return `${letters[command.kind]}${point(values)}`;
    })
    .join("");
}

/** One line of a text, placed as its attributes say. */
function lineData(text: string, attributes: ReadonlyMap<string, string>, left: number, base: number): string {
  const size = Number.parseFloat(attributes.get("font-size") ?? "16");
  const weight = attributes.get("font-weight") ?? "normal";
  const { width, commands } = shapeText(decoded(text), { bold: weight === "bold" || Number(weight) >= 600 });
  const anchor = attributes.get("text-anchor");
  const share = anchor === "middle" ? 0.5 : anchor === "end" ? 1 : 0;
  return pathData(commands, left - share * width * size, base, size);
}

/** An SVG document of this room with its texts as paths, in the fonts that pictures are written in. */
export function outlineTexts(svg: string): string {
  // A text without letters is one tag.
  return svg.replace(/<text\b([^>]*?)(?:\/>|>(.*?)<\/text>)/gs, (_, tag: string, content = "") => {
    const attributes = attributesOf(tag);
    const number = (of: ReadonlyMap<string, string>, name: string): number =>
      Number.parseFloat(of.get(name) ?? "0");
    let base = number(attributes, "y") + number(attributes, "dy");
    const left = number(attributes, "x") + number(attributes, "dx");
    const lines = [...content.matchAll(/<tspan\b([^>]*?)(?:\/>|>(.*?)<\/tspan>)/gs)];
    const data =
      lines.length === 0
        ? lineData(content, attributes, left, base)
        : lines
            .map(([, own = "", text = ""]) => {
              const place = attributesOf(own);
              if (place.has("y")) base = number(place, "y");
              base += number(place, "dy");
              return lineData(text, attributes, place.has("x") ? number(place, "x") : left, base);
            })
            .join("");
    const kept = [...attributes].filter(([name]) => !TEXT_ONLY.has(name));
    return `<path${kept.map(([name, value]) => ` ${name}="${value}"`).join("")} d="${data}"/>`;
  });
}
