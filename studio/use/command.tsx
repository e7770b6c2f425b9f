import { useSignal } from "@preact/signals";
import { t } from "../i18n/index.ts";
import { isHandedOut } from "../ui/server.ts";
import { literal } from "./literal.ts";
import { folder } from "./store.ts";

/** A word of a command line as a shell takes it. */
const quoted = (word: string): string =>
  /^[\w./:=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** A text to be copied. */
function Copied({ label, text }: { readonly label: string; readonly text: string }) {
  const copied = useSignal("");
  return (
    <div class="command">
      <p class="hint">{label}</p>
      <pre>
        <code>{text}</code>
      </pre>
      <button
        type="button"
        onClick={() => {
          void navigator.clipboard.writeText(text).then(() => {
            copied.value = text;
          });
        }}
      >
        {copied.value === text ? t("use.copied") : t("use.copy")}
      </button>
    </div>
  );
}

interface CommandProps {
  /** The run. */
  readonly name: string;
  readonly verb: string;
  /** What follows the run's folder. */
  readonly words: readonly (string | number)[];
  /** Lines of a program in which `run` is open. */
  readonly code: readonly string[];
}

/** The command, and the program, that does the same. */
export function Command({ name, verb, words, code }: CommandProps) {
  if (isHandedOut()) return null;
  // Before the runs are listed, where they usually are.
  const path = `${folder.value || "runs"}/${name}`;
  const command = ["npx", "eidos", verb, path, ...words].map((word) => quoted(String(word))).join(" ");
  const imports = code.some((line) => /\brows\(/.test(line)) ? "openRun, rows" : "openRun";
  const program = [
    `import { ${imports} } from "eidos";`,
    `await using run = await openRun(${literal(path)});`,
    ...code,
  ].join("\n");
  return (
    <div class="same">
      <Copied label={t("use.command")} text={command} />
      <Copied label={t("use.code")} text={program} />
    </div>
  );
}
