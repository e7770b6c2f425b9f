import type { ComponentType } from "preact";
import { isLanguage, LANGUAGES, language, type TextKey, t } from "../i18n/index.ts";
import { Select } from "../ui/fields.tsx";
import { THEMES, theme } from "../ui/settings.ts";

/** A room of the studio: a part of the address, its name, and what it shows. */
export interface Room {
  readonly id: string;
  readonly name: TextKey;
  readonly view: ComponentType;
}

/** What stands around every room: the head with rooms, language and colors. */
export function Shell({ rooms, current }: { readonly rooms: readonly Room[]; readonly current: Room }) {
  const View = current.view;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("content")?.focus()}>
        {t("app.skip")}
      </button>
      <header class="head">
        <p class="brand">
          <span lang="el" aria-hidden="true">
            εἶδος
          </span>
          <span>{t("app.title")}</span>
        </p>
        <nav aria-label={t("app.rooms")}>
          {rooms.map((room) => (
            <a key={room.id} href={`#/${room.id}`} aria-current={room === current ? "page" : undefined}>
              {t(room.name)}
            </a>
          ))}
        </nav>
        <div class="choices">
          <Select
            label={t("app.language")}
            value={language.value}
            options={Object.entries(LANGUAGES).map(([value, text]) => ({ value, text, lang: value }))}
            onChange={(value) => {
              if (isLanguage(value)) language.value = value;
            }}
          />
          <Select
            label={t("app.theme")}
            value={theme.value}
            options={[
              { value: "system", text: t("app.theme.system") },
              { value: "light", text: t("app.theme.light") },
              { value: "dark", text: t("app.theme.dark") },
            ]}
            onChange={(value) => {
              theme.value = THEMES.find((name) => name === value) ?? "system";
            }}
          />
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <View />
      </main>
    </>
  );
}
