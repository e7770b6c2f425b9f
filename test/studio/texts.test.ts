import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CATALOGUES, language, languageFor, number, t } from "../../studio/i18n/index.ts";

const root = fileURLToPath(new URL("../../studio/", import.meta.url));

/** The source of the studio, without its catalogues. */
const source = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name) && !/^i18n[\\/]/.test(name))
  .map((name) => readFileSync(root + name, "utf8"))
  .join("\n");

const { en, "zh-CN": zhCN } = CATALOGUES;
const values = (text: string): readonly string[] => (text.match(/\{\w+\}/g) ?? []).sort();

describe("texts of the studio", () => {
  it("are the same ones in both languages, with the same values", () => {
    expect(Object.keys(zhCN)).toEqual(Object.keys(en));
    for (const [key, text] of Object.entries(en)) {
      const other = zhCN[key as keyof typeof en];
      expect(values(other), key).toEqual(values(text));
      expect(other.trim(), key).not.toBe("");
    }
  });

  it("are translated: those that are alike are names", () => {
    const alike = Object.entries(en).filter(([key, text]) => zhCN[key as keyof typeof en] === text);
    expect(alike.map(([, text]) => text).sort()).toEqual([
      "ATSS",
      "CenterNet",
      "DDIM",
      "DDPM",
      "FCOS",
      "FaceBoxes",
      "GAN",
      "MAF",
      "NICE",
      "RealNVP",
      "RetinaNet",
      "S³FD",
      "VAE",
      "WebAssembly",
      "YOLOv3",
    ]);
  });

  it("are all used", () => {
    expect(Object.keys(en).filter((key) => !source.includes(`"${key}"`))).toEqual([]);
  });

  it("stand in the catalogues alone: no element has a text of its own", () => {
    const texts = [...source.matchAll(/>\s*([\p{L}][^<>{}=;()]*?)\s*<\//gu)].map(([, text]) => text);
    // The Greek word is part of the mark.
    expect(texts).toEqual(["εἶδος"]);
  });

  it("show values, and numbers as the language writes them", () => {
    language.value = "zh-CN";
    expect(t("panel.steps", { step: number(1234) })).toBe("第 1,234 步");
    language.value = "en";
    expect(t("panel.steps", { step: number(-1.5, 1) })).toBe("Step −1.5");
  });

  it("are in the first language of a reader that there is", () => {
    expect(languageFor(["de", "zh-TW", "en"])).toBe("zh-CN");
    expect(languageFor(["en-GB", "zh"])).toBe("en");
    expect(languageFor(["fr"])).toBe("en");
  });
});
