import { useSignal } from "@preact/signals";
import { t } from "../i18n/index.ts";

/** A word of a command line as a shell takes it. */
const quoted = (word: string): string =>
  /^[\w./:=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The command that does the same, to be copied. */
export function Command({ words }: { readonly words: readonly (string | number)[] }) {
  const isCopied = useSignal(false);
  const text = ["npx", "eidos", ...words].map((word) => quoted(String(word))).join(" ");
  return (
    <div class="command">
      <p class="hint">{t("use.command")}</p>
      <code>{text}</code>
      <button
        type="button"
        onClick={() => {
          void navigator.clipboard.writeText(text).then(() => {
            isCopied.value = true;
          });
        }}
      >
        {isCopied.value ? t("use.copied") : t("use.copy")}
      </button>
    </div>
  );
}
