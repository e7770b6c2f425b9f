import { effect, signal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { EidosError, type ExportedAbilityName, load } from "eidos/use";
import { render } from "preact";
import { t } from "../i18n/index.ts";
import { Brand } from "../ui/brand.tsx";
import { Preferences } from "../ui/preferences.tsx";
import { answerBy } from "../ui/server.ts";
import { applySettings } from "../ui/settings.ts";
import { Abilities } from "../use/abilities.tsx";
import { answersOf } from "./answers.ts";
import { describeRecord } from "./describe.ts";
import { takeFiles } from "./files.ts";
import "../styles/base.css";
import "../styles/runs.css";
import "../styles/use.css";

// The page that `eidos export --page` hands out: one file, with a model and all that runs it inside. It works from a disk, and asks nobody for anything.

/** Files of the page that are none of the model. */
const [RUNTIME, WORKER] = ["ort-wasm-simd-threaded.wasm", "worker.js"];

type State =
  | { readonly kind: "opening" }
  | { readonly kind: "open"; readonly model: UsableModel; readonly data: string }
  | { readonly kind: "failed"; readonly reason: string };

const state = signal<State>({ kind: "opening" });

/** An address of the worker's script. From a page on a disk, browsers load modules of `data:`, and none of `blob:`. */
const addressOf = (script: Uint8Array): string =>
  `data:text/javascript;charset=utf-8,${encodeURIComponent(new TextDecoder().decode(script))}`;

async function open(): Promise<void> {
  if (typeof DecompressionStream === "undefined") {
    state.value = { kind: "failed", reason: t("handout.old") };
    return;
  }
  const { [RUNTIME]: wasmBinary, [WORKER]: script, ...files } = await takeFiles();
  if (wasmBinary === undefined || script === undefined) throw new Error("the page is not complete");
  const model = await load<ExportedAbilityName>(files, { worker: addressOf(script), wasmBinary });
  answerBy(answersOf(model));
  state.value = { kind: "open", model: describeRecord(model.record), data: model.data };
}

const titleOf = ({ model, data }: Extract<State, { kind: "open" }>): string =>
  t("handout.title", { model: model.model, data });

function Page() {
  const now = state.value;
  return (
    <>
      <header class="head">
        <Brand name={now.kind === "open" ? now.model.model : t("app.title")} />
        <Preferences />
      </header>
      <main class="runs use">
        <div class="intro">
          <h1>{now.kind === "open" ? titleOf(now) : t("handout.opening")}</h1>
          <p class="hint">{t("handout.lead")}</p>
          {now.kind === "opening" && <p role="status">{t("use.opening")}</p>}
          {now.kind === "failed" && <p role="alert">{now.reason}</p>}
        </div>
        {now.kind === "open" && <Abilities name={now.model.model} model={now.model} />}
      </main>
    </>
  );
}

applySettings();
effect(() => {
  const now = state.value;
  if (now.kind === "open") document.title = titleOf(now);
});
const root = document.getElementById("app");
if (root === null) throw new Error("the page has no element #app");
render(<Page />, root);
open().catch((error: unknown) => {
  state.value = { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
  if (!(error instanceof EidosError)) throw error;
});
