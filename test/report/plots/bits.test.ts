import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { drawSamples } from "../../../src/report/index.node.ts";
import { bitPlot } from "../../../src/report/index.ts";
import { float32 } from "../../../src/tensor/array.ts";

const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text = ""]) => text);

/** Places of the dots of a plot, in order. */
const dots = (svg: string): (readonly [number, number])[] =>
  [...svg.matchAll(/<circle cx="([^"]+)" cy="([^"]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);

// Four rows: a is one in half of them, b in a quarter, c always; a and b together in a quarter.
const data = float32([0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1], [4, 3]);

describe("bitPlot", () => {
  it("puts shares of columns and of pairs on the diagonal where samples are like the data", async () => {
    const svg = await bitPlot({ data, samples: data });
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        "4 rows of data, 4 samples, 3 columns",
        "the first 4 rows of data",
        "the first 4 samples",
        "share of ones in each column",
        "both ones, in pairs of columns",
      ]),
    );
    const found = dots(svg);
    expect(found.length).toBe(6);
    // 230 pixels stand for a share of 1 in the first panel; y is measured from the top.
    const shares = found.slice(0, 3).map(([x, y]) => [x / 230, 1 - y / 230]);
    for (const [i, share] of [0.5, 0.25, 1].entries()) {
      expect(shares[i]?.[0]).toBeCloseTo(share, 2);
      expect(shares[i]?.[1]).toBeCloseTo(share, 2);
    }
    // Pairs ab, ac, bc, on an axis that ends at one half.
    expect(found.slice(3).map(([x]) => x / 460)).toEqual(
      [0.25, 0.5, 0.25].map((share) => expect.closeTo(share, 2)),
    );
  });

  it("draws rows as cells, colored where they are one, and between where a probability is", async () => {
    const svg = await bitPlot({ data, samples: float32([1, 0.5, 0], [1, 3]) });
    const pictures = [...svg.matchAll(/href="data:image\/png;base64,([^"]+)"/g)].map(([, text = ""]) => text);
    const pixelsOf = (text: string) =>
      sharp(Buffer.from(text, "base64")).raw().toBuffer({ resolveWithObject: true });
    const [rows, samples] = await Promise.all(pictures.map(pixelsOf));
    if (rows === undefined || samples === undefined) throw new Error("there are two pictures of rows");
    const at = ({ data, info }: typeof rows, row: number, column: number): number[] => {
      const [wide, high] = [Math.floor(460 / 3), 10];
      const place = ((row * high + 5) * info.width + column * wide + 5) * info.channels;
      return [...data.subarray(place, place + 3)];
    };
    expect([rows.info.width, rows.info.height, samples.info.height]).toEqual([459, 40, 10]);
    expect(at(rows, 0, 0)).toEqual([240, 242, 245]);
    expect(at(rows, 2, 0)).toEqual([91, 100, 114]);
    expect([at(samples, 0, 0), at(samples, 0, 1), at(samples, 0, 2)]).toEqual([
      [37, 99, 235],
      [139, 171, 240],
      [240, 242, 245],
    ]);
  });

  it("leaves pairs out of one column, and refuses what does not belong together", async () => {
    const one = float32([0, 1, 1], [3, 1]);
    expect(dots(await bitPlot({ data: one, samples: one })).length).toBe(1);
    await expect(bitPlot({ data, samples: one })).rejects.toThrow(ShapeError);
    await expect(bitPlot({ data, samples: float32([], [0, 3]) })).rejects.toThrow(
      /samples have shape \[0,3\]; it must be \[count, 3\]/,
    );
  });
});

it("is what zeros and ones are drawn as", async () => {
  expect((await drawSamples({ kind: "binary", data, samples: data })).format).toBe("png");
});
