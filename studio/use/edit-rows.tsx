import { useSignal } from "@preact/signals";
import { t } from "../i18n/index.ts";
import {
  ClassChoice,
  CountChoice,
  flagsOf,
  given,
  SeedChoice,
  StepsChoice,
  StrengthChoice,
} from "./choices.tsx";
import { Command } from "./command.tsx";
import { literal } from "./literal.ts";
import { Plane, planeOf, type Row, RowSource, RowsTable } from "./rows.tsx";
import { askRun, type PageProps, useAsking } from "./work.ts";

const MOST_DRAWS = 50;

/** Variants of a row: so much noise is added, and taken away again. */
export function EditRow({ name, model }: PageProps) {
  const row = useSignal<Row | undefined>(undefined);
  const edited = useSignal<readonly Row[]>([]);
  const strength = useSignal(0.5);
  const draws = useSignal(20);
  const seed = useSignal(0);
  const label = useSignal("");
  const steps = useSignal("");
  const asking = useAsking();
  const now = row.value;
  const plane = planeOf(model);
  const options = {
    strength: strength.value,
    draws: draws.value,
    seed: seed.value,
    ...given("label", label.value),
    ...given("steps", steps.value),
  };
  const edit = (held: Row): Promise<void> =>
    asking.run(async () => {
      edited.value = (
        await askRun<{ rows: readonly Row[] }>(name, "edit", { rows: [held], ...options })
      ).rows;
    });
  return (
    <section class="card" aria-labelledby="use-edit">
      <h2 id="use-edit">{t("use.edit")}</h2>
      <RowSource
        name={name}
        model={model}
        label={t("use.row-of")}
        row={now}
        onRow={(next) => {
          row.value = next;
          edited.value = [];
        }}
      />
      <div class="controls">
        <StrengthChoice strength={strength} />
        <CountChoice count={draws} label={t("use.draws")} most={MOST_DRAWS} />
        <SeedChoice seed={seed} />
        {model.sampleOptions.includes("steps") && <StepsChoice steps={steps} />}
        <ClassChoice model={model} label={label} />
      </div>
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={asking.isBusy.value || now === undefined}
          onClick={() => {
            if (now !== undefined) void edit(now);
          }}
        >
          {asking.isBusy.value ? t("use.busy") : t("use.edit")}
        </button>
        <p role="alert">{asking.said.value}</p>
      </div>
      {edited.value.length > 0 && now !== undefined && (
        <>
          {plane !== undefined && (
            <Plane label={t("use.variants", { name })} plane={plane} rows={edited.value} marked={[now]} />
          )}
          <RowsTable rows={[now, ...edited.value]} chosen={0} />
        </>
      )}
      <Command
        name={name}
        verb="edit"
        words={["row.csv", ...flagsOf(options)]}
        code={[`const edited = await run.edit(rows([${literal(now ?? {})}]), ${literal(options)});`]}
      />
    </section>
  );
}
