import { counted } from "../../memory.ts";
import { DepthWatch } from "./depth.node.ts";
import type { ImageFormat, Original } from "./format.ts";

/** Some images, and the first of them. */
interface Some {
  count: number;
  readonly first: string;
}

/**
 * What is done to images that are read for a run, so that they are like those that it was fitted on: of how many, with an example. Images that are alike
 * already leave no trace.
 */
export class ImageChanges {
  private read = 0;
  private readonly depths = new DepthWatch();
  private colored: Some | undefined;
  private grey: Some | undefined;
  private resized: (Some & Pick<Original, "width" | "height"> & { readonly size: number }) | undefined;

  /** Takes an image. @param pixels that it came to */
  see(
    name: string,
    { width, height, values, colored }: Original,
    format: ImageFormat,
    pixels: Uint8Array,
  ): void {
    this.read++;
    this.depths.see(name, values, pixels);
    if (format.channels === "grey" && colored === true) {
      this.colored ??= { count: 0, first: name };
      this.colored.count++;
    }
    if (format.channels === "rgb" && colored === false) {
      this.grey ??= { count: 0, first: name };
      this.grey.count++;
    }
    if (width === format.size && height === format.size) return;
    this.resized ??= { count: 0, first: name, width, height, size: format.size };
    this.resized.count++;
  }

  /** Lines for a person, as of now. */
  lines(): readonly string[] {
    const { colored, grey, resized } = this;
    const lines: string[] = [];
    const of = ({ count }: Some): string =>
      `${count} of ${counted(this.read, "image")} read ${count === 1 ? "is" : "are"}`;
    const named = ({ count, first }: Some): string => `(${first}${count > 1 ? ", …" : ""})`;
    if (colored !== undefined) {
      lines.push(`${of(colored)} colored ${named(colored)}, and taken as grey, as the run's images are`);
    }
    if (grey !== undefined) {
      lines.push(`${of(grey)} grey ${named(grey)}, and taken as rgb, as the run's images are`);
    }
    if (resized !== undefined) {
      const { size, first, width, height, count } = resized;
      lines.push(
        `${of(resized)} not ${size} × ${size}, as the run takes them (${first} is ${width} × ${height}${count > 1 ? ", …" : ""}): the central square is cut out and resized`,
      );
    }
    return [...lines, ...this.depths.lines(true)];
  }
}
