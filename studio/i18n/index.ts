import { signal } from "@preact/signals";
import { en } from "./en.ts";
import { zhCN } from "./zh-CN.ts";

/** The name of a text. */
export type TextKey = keyof typeof en;

/** Languages of the studio by their tags, each with its own name. */
export const LANGUAGES = { en: "English", "zh-CN": "简体中文" } as const;

export type Language = keyof typeof LANGUAGES;

export const CATALOGUES: Readonly<Record<Language, Readonly<Record<TextKey, string>>>> = {
  en,
  "zh-CN": zhCN,
};

export function isLanguage(tag: string): tag is Language {
  return Object.hasOwn(LANGUAGES, tag);
}

/** The first language of a reader that the studio has; English where it has none. */
export function languageFor(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    if (/^zh\b/i.test(tag)) return "zh-CN";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}

/** The language that is shown. */
export const language = signal<Language>("en");

/** A text in the language that is shown; what reads it is drawn again when the language changes. */
export function t(key: TextKey, values: Readonly<Record<string, string | number>> = {}): string {
  return CATALOGUES[language.value][key].replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  );
}

/** A number with so many digits behind the point, as the language writes it. */
export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(language.value, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
    .format(value)
    .replace(/^-/, "−");
}
