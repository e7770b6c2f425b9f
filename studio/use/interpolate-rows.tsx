import { useSignal } from "@preact/signals";
import { number, t } from "../i18n/index.ts";
import { ClassChoice, flagsOf, given, WayChoice } from "./choices.tsx";
import { Command } from "./command.tsx";
import { literal } from "./literal.ts";
import { Plane, planeOf, type Row, RowSource, RowsTable } from "./rows.tsx";
import { askRun, PATH_STEPS, type PageProps, useAsking } from "./work.ts";

/** The rows between two rows, along the path between their codes. */
export function InterpolateRows({ name, model }: PageProps) {
  const from = useSignal<Row | undefined>(undefined);
  const to = useSignal<Row | undefined>(undefined);
  const path = useSignal<readonly Row[]>([]);
  const step = useSignal(0);
  const label = useSignal("");
  const asking = useAsking();
  const [first, last] = [from.value, to.value];
  const plane = planeOf(model);
  const options = { steps: PATH_STEPS, ...given("label", label.value) };
  const find = (ends: readonly Row[]): Promise<void> =>
    asking.run(async () => {
      const body = { rows: ends, ...options };
      path.value = (await askRun<{ rows: readonly Row[] }>(name, "interpolate", body)).rows;
      step.value = Math.floor(PATH_STEPS / 2);
    });
  const current = path.value[step.value];
  const share = number((100 * step.value) / (PATH_STEPS - 1));
  const end = (text: string, held: typeof from) => (
    <RowSource
      name={name}
      model={model}
      label={text}
      row={held.value}
      onRow={(next) => {
        held.value = next;
        path.value = [];
      }}
    />
  );
  return (
    <section class="card" aria-labelledby="use-interpolate">
      <h2 id="use-interpolate">{t("use.interpolate")}</h2>
      <div class="ends">
        {end(t("use.from"), from)}
        {end(t("use.to"), to)}
      </div>
      <ClassChoice model={model} label={label} />
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={asking.isBusy.value || first === undefined || last === undefined}
          onClick={() => {
            if (first !== undefined && last !== undefined) void find([first, last]);
          }}
        >
          {asking.isBusy.value ? t("use.busy") : t("use.path")}
        </button>
        <p role="alert">{asking.said.value}</p>
      </div>
      {current !== undefined && (
        <>
          <WayChoice step={step} last={PATH_STEPS - 1} share={share} />
          {plane !== undefined && (
            <Plane
              label={t("use.way.point", { percent: share })}
              plane={plane}
              rows={path.value}
              marked={[current]}
            />
          )}
          <RowsTable rows={path.value} chosen={step.value} />
        </>
      )}
      <Command
        name={name}
        verb="interpolate"
        words={["ends.csv", ...flagsOf(options)]}
        code={[
          `const path = await run.interpolate(rows([${literal(first ?? {})}, ${literal(last ?? {})}]), ${literal(options)});`,
        ]}
      />
    </section>
  );
}
