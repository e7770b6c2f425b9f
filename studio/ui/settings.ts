import { effect, signal } from "@preact/signals";
import { isLanguage, language, languageFor } from "../i18n/index.ts";

// What a reader has chosen for all rooms; kept in the browser where it allows that.

export const THEMES = ["system", "light", "dark"] as const;

export type Theme = (typeof THEMES)[number];

export const theme = signal<Theme>("system");

/** Changes with the colors that are shown, so that canvases are drawn anew. */
export const isDark = signal(false);

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** Whether the reader wants little motion. */
export const reducedMotion = signal(lessMotion.matches);

function kept(name: string): string | undefined {
  try {
    return localStorage.getItem(`eidos.${name}`) ?? undefined;
  } catch {
    // A browser may forbid it: the choice then lasts as long as the page.
    return undefined;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(`eidos.${name}`, value);
  } catch {
    // as above
  }
}

/** Reads what was chosen before, and applies choices to the page from now on. */
export function applySettings(): void {
  const chosen = kept("language");
  language.value =
    chosen !== undefined && isLanguage(chosen)
      ? chosen
      : languageFor(navigator.languages ?? [navigator.language]);
  const before = THEMES.find((name) => name === kept("theme"));
  theme.value = before ?? "system";
  const system = signal(systemDark.matches);
  systemDark.addEventListener("change", ({ matches }) => {
    system.value = matches;
  });
  lessMotion.addEventListener("change", ({ matches }) => {
    reducedMotion.value = matches;
  });
  effect(() => {
    document.documentElement.lang = language.value;
    keep("language", language.value);
  });
  effect(() => {
    const dark = theme.value === "dark" || (theme.value === "system" && system.value);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    isDark.value = dark;
    keep("theme", theme.value);
  });
}
