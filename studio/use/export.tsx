import { useSignal } from "@preact/signals";
import type { AskedExport, ExportedRun, UsableModel } from "eidos/serve";
import { number, t } from "../i18n/index.ts";
import { Check, Select } from "../ui/fields.tsx";
import { send } from "../ui/server.ts";
import { Command } from "./command.tsx";
import { literal } from "./literal.ts";
import { useAsking } from "./work.ts";

const PRECISIONS: readonly AskedExport["precision"][] = ["fp32", "fp16", "int8"];

/** The model of a run as files that are used without eidos. */
export function Export({ name }: { readonly name: string; readonly model: UsableModel }) {
  const precision = useSignal<AskedExport["precision"]>("fp32");
  const withPage = useSignal(false);
  const exported = useSignal<ExportedRun | undefined>(undefined);
  const asking = useAsking();
  const now = exported.value;
  const isWhole = precision.value === "fp32";
  const options = {
    ...(!isWhole && { precision: precision.value }),
    ...(withPage.value && { page: true }),
  };
  return (
    <section class="card" aria-labelledby="use-export">
      <h2 id="use-export">{t("use.export")}</h2>
      <p class="hint">{t("use.export.lead")}</p>
      <Select
        label={t("use.precision")}
        value={precision.value}
        options={PRECISIONS.map((value) => ({ value, text: value }))}
        onChange={(value) => {
          precision.value = PRECISIONS.find((known) => known === value) ?? "fp32";
        }}
      />
      <Check
        label={t("use.export.page")}
        checked={withPage.value}
        onChange={(checked) => {
          withPage.value = checked;
        }}
      />
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={asking.isBusy.value}
          onClick={() =>
            void asking.run(async () => {
              exported.value = undefined;
              exported.value = await send<ExportedRun>("POST", `runs/${encodeURIComponent(name)}/export`, {
                precision: precision.value,
                page: withPage.value,
              });
            })
          }
        >
          {asking.isBusy.value ? t("use.busy") : t("use.export")}
        </button>
        <p role="alert">{asking.said.value}</p>
      </div>
      {now !== undefined && (
        <>
          <p role="status">{t("use.exported", { path: now.path })}</p>
          <ul>
            {now.files.map((file) => (
              <li key={file.name}>
                {t("use.exported.file", { name: file.name, size: number(file.bytes / 1000, 1) })}
              </li>
            ))}
          </ul>
        </>
      )}
      <Command
        name={name}
        verb="export"
        words={[...(isWhole ? [] : ["--precision", precision.value]), ...(withPage.value ? ["--page"] : [])]}
        code={[
          `await run.export(\`\${run.folder}/model\`${Object.keys(options).length === 0 ? "" : `, ${literal(options)}`});`,
        ]}
      />
    </section>
  );
}
