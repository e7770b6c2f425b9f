import { isLanguage, LANGUAGES, language, t } from "../i18n/index.ts";
import { Select } from "./fields.tsx";
import { THEMES, theme } from "./settings.ts";

/** The choice of language and colors. */
export function Preferences() {
  return (
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
  );
}
