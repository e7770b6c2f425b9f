import { beforeAll, describe, expect, it } from "vitest";
import type {
  Leaderboard,
  LeaderboardMeasure,
  LeaderboardRow,
} from "../../../src/report/leaderboard/input.ts";
import { renderLeaderboard } from "../../../src/report/leaderboard/leaderboard.ts";
import {
  distanceColumns,
  leaderboardColumns,
  leaderboardNotes,
} from "../../../src/report/leaderboard/table.ts";
import {
  leaderboardCells,
  leaderboardLines,
  leaderboardMarkdown,
} from "../../../src/report/leaderboard/text.ts";
import { planePanel } from "../../../src/report/plane/panel.ts";
import { imageGrid } from "../../../src/report/raster/grid.ts";
import type { Raster } from "../../../src/report/raster/raster.ts";
import { encodePng } from "../../../src/report/raster/raster.ts";
import { float32 } from "../../../src/tensor/array.ts";

const hostile = `</style><script src="http://evil.example/x.js">alert('1')</script>&" a|b *c* [d](e)`;

const measure = (
  key: string,
  better: LeaderboardMeasure["better"],
  decimals?: number,
): LeaderboardMeasure => ({
  key,
  name: `${key} distance`,
  short: key,
  better,
  ...(decimals !== undefined && { decimals }),
  meaning: hostile,
  headline: key !== "share",
});

type Finished = Extract<LeaderboardRow, { readonly status: "finished" }>;

const row = (name: string, own: Partial<Finished>): Finished => ({
  status: "finished",
  name,
  distances: {},
  trainingSeconds: 20.04,
  steps: 1234,
  weightsStep: 1200,
  parameters: 44_090,
  ...own,
});

let board: Leaderboard;
beforeAll(async () => {
  const bytes = await encodePng(imageGrid(float32([0, 90, 180, 255], [1, 1, 2, 2])));
  const panel = {
    name: hostile,
    caption: hostile,
    picture: { format: "png", bytes },
    file: "pictures/a b.png",
  } as const;
  board = {
    data: hostile,
    dataDescription: [hostile],
    dataOptions: hostile,
    split: "test",
    splitCount: 10_000,
    budget: "20 seconds",
    seed: 3,
    date: new Date("2025-03-04T05:06:07Z"),
    version: "0.1.0",
    machine: hostile,
    rule: hostile,
    measures: [measure("energy", { kind: "lower" }), measure("share", { kind: "near", value: 0.5 }, 2)],
    rows: [
      row("spline", {
        rank: 1,
        likelihood: { kind: "exact", nats: -2.437 },
        distances: { energy: -0.00026, share: 0.474 },
        sampling: { seconds: 0.0152, warm: true },
        report: "runs/spline/report.html",
      }),
      row("vae", {
        rank: 2,
        options: `width 8 ${hostile}`,
        likelihood: { kind: "bound", atLeastNats: -2.31 },
        likelihoodDetail: "64 importance samples",
        distances: { energy: 0.0152, share: 0.526 },
        sampling: { seconds: 416.4, warm: false },
        parameters: 1_686_562,
      }),
      row("gan", {
        rank: 3,
        distances: { energy: 0.3, share: 0.9 },
        sampling: { seconds: 0.27, warm: true },
      }),
      row("silent", { likelihood: { kind: "exact", nats: -9 } }),
      { status: "failed", name: "glow", reason: `takes images\n${hostile}` },
      { status: "waiting", name: "late" },
    ],
    controls: [{ name: "training samples", meaning: hostile, distances: { energy: -0.00034, share: 1 } }],
    galleries: [
      { title: hostile, note: hostile, wide: false, top: 0.16, panels: [panel, panel, panel, panel, panel] },
    ],
    command: `eidos compare --config '${hostile}'`,
  };
});

const column = (head: string) =>
  [...leaderboardColumns(board), ...distanceColumns(board)].find((one) => one.head.startsWith(head));
const texts = (head: string) => column(head)?.rows.map(({ text }) => text);
const best = (head: string) => column(head)?.rows.map((cell) => cell.best);

describe("columns", () => {
  it("show bounds as such, absent values as a dash, and controls besides", () => {
    expect(texts("log-likelihood ↑")).toEqual(["−2.437", "≥ −2.310", "—", "−9.000"]);
    expect(texts("energy ↓")).toEqual(["−0.0003", "0.0152", "0.3000", "—"]);
    expect(column("energy ↓")?.controls).toEqual(["−0.0003"]);
    expect(texts("share → 0.5")).toEqual(["0.47", "0.53", "0.90", "—"]);
    expect(texts("s / 1,000 samples ↓")).toEqual(["0.015", "416*", "0.27", "—"]);
    expect(texts("training (s)")).toEqual(["20.0", "20.0", "20.0", "20.0"]);
    expect(texts("parameters ↓")).toEqual(["44,090", "1,686,562", "44,090", "44,090"]);
  });

  it("mark the best values as far as the digits show, and none where all are alike or no value is better", () => {
    expect(best("log-likelihood")).toEqual([false, true, false, false]);
    expect(best("energy")).toEqual([true, false, false, false]);
    // 0.474 is as far from ½ as 0.526, but shows other digits; the first of the nearest counts.
    expect(best("share")?.filter(Boolean).length).toBe(1);
    expect(best("s / 1,000")).toEqual([true, false, false, false]);
    expect(best("parameters")).toEqual([true, false, true, true]);
    expect(best("training")).toEqual([false, false, false, false]);
    expect(best("steps")).toEqual([false, false, false, false]);
  });

  it("of images are bits per dimension, the lower the better", () => {
    const images: Leaderboard = {
      ...board,
      rows: [
        row("a", { likelihood: { kind: "bound", atLeastNats: -5000, atMostBitsPerDimension: 9.2 } }),
        row("b", { likelihood: { kind: "exact", nats: -4000, bitsPerDimension: 7.36 } }),
      ],
    };
    const [bits] = leaderboardColumns(images);
    expect(bits?.head).toBe("bits / dim ↓");
    expect(bits?.rows).toEqual([
      { text: "≤ 9.200", best: false },
      { text: "7.360", best: true },
    ]);
    expect(leaderboardNotes(images).join(" ")).toContain("≤ marks a bound");
  });

  it("have decimals that their size calls for, values that are not finite, and zeros without a sign", () => {
    const shown = (...values: number[]) => {
      const rows = values.map((energy, i) => row(String(i), { distances: { energy } }));
      return distanceColumns({ ...board, rows, controls: [] })[0]?.rows.map(({ text }) => text);
    };
    expect(shown(1155.84, 6.66)).toEqual(["1,155.8", "6.7"]);
    expect(shown(0.00421, -0.000004)).toEqual(["0.00421", "0.00000"]);
    expect(shown(Number.POSITIVE_INFINITY, 0)).toEqual(["∞", "0.00"]);
  });

  it("leave the likelihood out where no model has one", () => {
    const rows = [row("gan", { distances: { energy: 1 } })];
    expect(leaderboardColumns({ ...board, rows }).map(({ head }) => head)[0]).toBe("energy ↓");
  });

  it("come with notes on bounds, absent values and long draws, as far as there are any", () => {
    const notes = leaderboardNotes(board).join("\n");
    expect(notes).toContain("≥ marks a bound");
    expect(notes).toContain("one without a density has no likelihood");
    expect(notes).toContain("* One draw only");
    expect(notes).toContain("Likelihoods: vae: 64 importance samples.");
    expect(notes).toContain("test split (10,000 samples)");
    const plain = leaderboardNotes({ ...board, rule: "", rows: board.rows.slice(0, 1) }).join("\n");
    expect(plain).not.toMatch(/bound|density|\*|Likelihoods:/);
  });
});

describe("the page", () => {
  it("escapes everything, runs nothing and loads nothing", () => {
    const html = renderLeaderboard(board);
    expect(html).not.toContain("<script");
    expect(html).not.toContain('evil.example/x.js">');
    expect(html.match(/<\/style>/g)?.length).toBe(1);
    const loaded = [...html.matchAll(/ (src|href)="([^"]*)"/g)].map(
      ([, kind, address]) => `${kind} ${address}`,
    );
    expect(loaded.filter((address) => !/^src data:image\/png;base64,/.test(address))).toEqual([
      "href runs/spline/report.html",
      "href runs/spline/report.html",
    ]);
    expect(html).toContain("default-src 'none'");
  });

  it("has a row for each model: rank, name, best marked; reasons; controls", () => {
    const html = renderLeaderboard(board);
    const [table = ""] = /<tbody>.*?<\/tbody>/s.exec(html) ?? [];
    const rows = table.split("<tr").slice(1);
    expect(rows.length).toBe(7);
    expect(rows[0]).toContain(
      '<td class="number">1</td><th scope="row"><a href="runs/spline/report.html">spline</a>',
    );
    expect(rows[0]).toContain('<td class="number best">−0.0003</td>');
    expect(rows[1]).toContain("<small>width 8 &lt;/style&gt;");
    expect(rows[1]).toContain('<td class="number best">≥ −2.310</td>');
    expect(rows[3]).toMatch(/^><td class="number"><\/td><th scope="row">silent/);
    expect(rows[4]).toMatch(/class="control".*training samples/);
    expect(rows[5]).toMatch(/glow<\/th><td class="why" colspan="6">takes images/);
    expect(rows[6]).toContain("not done yet");
  });

  it("has its pictures beside each other and the scale of their colors below", () => {
    const html = renderLeaderboard(board);
    expect(html.match(/<figure>/g)?.length).toBe(5);
    expect(html).toMatch(/<p class="scale">0 <i><\/i> 0\.16 and above, per unit area<\/p>/);
    expect(renderLeaderboard(board)).toBe(html);
  });

  it("holds without a finished model, pictures or measures", () => {
    const html = renderLeaderboard({
      ...board,
      rows: board.rows.slice(4),
      galleries: [],
      measures: [],
      controls: [],
    });
    expect(html).not.toContain("All distances");
    expect(html).toContain("not done yet");
  });
});

describe("Markdown", () => {
  it("is a table of one line a model whose text cannot break it", () => {
    const text = leaderboardMarkdown(board);
    const lines = text.split("\n");
    const head = lines.findIndex((line) => line.startsWith("| # |"));
    const bars = (line: string | undefined) => (line ?? "").replaceAll("\\|", "").split("|").length;
    for (const line of lines.slice(head, head + 7)) expect(bars(line), line).toBe(bars(lines[head]));
    expect(lines[head + 2]).toMatch(
      /^\| 1 \| \[spline\]\(runs\/spline\/report\.html\) \| −2\.437 \| \*\*−0\.0003\*\* \|/,
    );
    expect(lines[head + 6]).toMatch(/^\| {2}\| \*training samples\* \|/);
    expect(text).toMatch(/^- \*\*glow\*\*: takes images \\<\/style\\>/m);
    expect(text).toContain("- **late**: not done yet");
    // Below stands the command alone, as code.
    expect(text.slice(0, text.indexOf("## Again"))).not.toMatch(/(?<!\\)<script/);
  });

  it("refers to pictures, four a row", () => {
    const text = leaderboardMarkdown(board);
    expect(text.match(/!\[[^\n]*?\]\(pictures\/a%20b\.png\)/g)?.length).toBe(5);
    expect(text.match(/^\|:-:\|:-:\|:-:\|:-:\|$/gm)?.length).toBe(1);
  });
});

describe("cells and lines", () => {
  it("are numbers as they are, null where there is none", () => {
    const { names, rows } = leaderboardCells(board);
    const at = (model: string, name: string) =>
      rows.find(([, called]) => called === model)?.[names.indexOf(name)];
    expect(rows.every((cells) => cells.length === names.length)).toBe(true);
    expect([at("vae", "likelihood"), at("vae", "nats"), at("vae", "bitsPerDimension")]).toEqual([
      "bound",
      -2.31,
      null,
    ]);
    expect([at("spline", "likelihood"), at("spline", "energy"), at("spline", "rank")]).toEqual([
      "exact",
      -0.00026,
      1,
    ]);
    expect([at("gan", "nats"), at("silent", "rank"), at("silent", "energy")]).toEqual([null, null, null]);
    expect([at("glow", "status"), at("late", "status"), at("training samples", "status")]).toEqual([
      "failed",
      "waiting",
      "control",
    ]);
    expect([at("vae", "samplingWarm"), at("vae", "secondsPer1000Samples")]).toEqual(["false", 416.4]);
  });

  it("for a terminal have one width a column", () => {
    const { names, rows } = leaderboardLines(board);
    expect(rows.map(([rank, name]) => `${rank} ${name}`)).toEqual([
      "1 spline",
      "2 vae",
      "3 gan",
      " silent",
      " training samples",
    ]);
    for (const [i, name] of names.entries()) {
      if (i > 1)
        expect(new Set([name, ...rows.map((cells) => cells[i])].map((cell) => cell?.length)).size).toBe(1);
    }
    expect(leaderboardLines({ ...board, rows: [] }).rows).toEqual([]);
  });
});

describe("panels of the plane", () => {
  const frame = { x: [0, 4], y: [0, 4] } as const;
  const pixel = ({ data, width }: Raster, x: number, y: number) => [
    ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
  ];
  /** The pixel at a place of the frame: 480 pixels inside, 46 to the left and 10 above. */
  const at = (raster: Raster, x: number, y: number) =>
    pixel(raster, Math.round(46 + x * 120), Math.round(10 + (4 - y) * 120));

  it("show a density from the lowest row up, on a scale that others share", () => {
    const values = float32([0, Number.NEGATIVE_INFINITY, Math.log(0.5), 5].map(Number), [2, 2]);
    const raster = planePanel({ kind: "density", values, top: 1 }, frame);
    expect(at(raster, 0.5, 0.5)).toEqual([253, 231, 37]);
    expect(at(raster, 3.5, 0.5)).toEqual([68, 1, 84]);
    expect(at(raster, 3.5, 3.5)).toEqual([253, 231, 37]);
    const [red = 0, green = 0, blue = 0] = at(raster, 0.5, 3.5);
    // The middle of viridis, a tile of one cell being linear between its center and the next.
    expect([Math.abs(red - 33), Math.abs(green - 144), Math.abs(blue - 141)].every((gap) => gap < 40)).toBe(
      true,
    );
  });

  it("show points in the same frame and at the same size, data below samples", () => {
    const points = planePanel(
      { kind: "points", samples: float32([1, 3, 9, 9], [2, 2]), data: float32([3, 1], [1, 2]) },
      frame,
    );
    const [red = 0, , blue = 0] = at(points, 1, 3);
    expect(blue - red).toBeGreaterThan(80);
    const grey = at(points, 3, 1);
    expect(Math.max(...grey) - Math.min(...grey)).toBeLessThan(40);
    expect(Math.max(...grey)).toBeLessThan(220);
    expect(at(points, 2, 2)).toEqual([255, 255, 255]);
    const density = planePanel({ kind: "density", values: float32([0], [1, 1]), top: 1 }, frame);
    expect([points.width, points.height]).toEqual([density.width, density.height]);
  });

  it("refuse values without rows", () => {
    expect(() => planePanel({ kind: "density", values: float32([0], [1]), top: 1 }, frame)).toThrow(/\[1\]/);
  });
});
