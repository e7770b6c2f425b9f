import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { useEffect } from "preact/hooks";
import { language, number, t } from "../i18n/index.ts";
import { showValue } from "../runs/curves.ts";
import { Range, Select } from "../ui/fields.tsx";
import { ServerError, send, sendForPicture } from "../ui/server.ts";
import { Command } from "./command.tsx";
import { abilityPath, folder } from "./store.ts";

type Row = Readonly<Record<string, string | number | null>>;

/** What was drawn. */
type Drawn =
  | { readonly kind: "none" }
  | { readonly kind: "picture"; readonly address: string }
  | { readonly kind: "rows"; readonly rows: readonly Row[] };

const MOST_COUNT = 64;

/** A grid of samples as one PNG file. @throws ServerError */
async function drawPicture(path: string, body: unknown): Promise<Drawn> {
  return { kind: "picture", address: URL.createObjectURL(await sendForPicture(path, body)) };
}

function Rows({ rows }: { readonly rows: readonly Row[] }) {
  const names = Object.keys(rows[0] ?? {});
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys
    <div class="scroll" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {names.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {names.map((name) => {
                const cell = row[name] ?? null;
                return (
                  <td key={name} class={typeof cell === "number" ? "figure" : undefined}>
                    {cell === null ? "" : typeof cell === "number" ? showValue(cell, language.value) : cell}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Samples of a model: how many, from which noise, of which class. */
export function Draw({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  const count = useSignal(16);
  const seed = useSignal(0);
  const label = useSignal("");
  const steps = useSignal("");
  const temperature = useSignal(1);
  const drawn = useSignal<Drawn>({ kind: "none" });
  const said = useSignal("");
  const isBusy = useSignal(false);
  const hasSteps = model.sampleOptions.includes("steps");
  const hasTemperature = model.sampleOptions.includes("temperature");
  const options = {
    count: count.value,
    seed: seed.value,
    ...(label.value !== "" && { label: Number(label.value) }),
    ...(hasSteps && steps.value !== "" && { steps: Number(steps.value) }),
    ...(hasTemperature && temperature.value !== 1 && { temperature: temperature.value }),
  };
  const forget = (): void => {
    if (drawn.value.kind === "picture") URL.revokeObjectURL(drawn.value.address);
  };
  useEffect(() => forget, []);
  const draw = async (): Promise<void> => {
    isBusy.value = true;
    said.value = "";
    try {
      const path = abilityPath(name, "sample");
      const made =
        model.sample.kind === "picture"
          ? await drawPicture(path, options)
          : ({
              kind: "rows",
              rows: (await send<{ rows: readonly Row[] }>("POST", path, options)).rows,
            } as const);
      forget();
      drawn.value = made;
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      said.value = error.message || t("runs.unreachable");
    }
    isBusy.value = false;
  };
  const flags = Object.entries(options).flatMap(([option, value]) => [`--${option}`, value]);
  return (
    <section class="card" aria-labelledby="use-draw">
      <h2 id="use-draw">{t("use.draw")}</h2>
      <div class="controls">
        <Range
          label={t("use.count")}
          min={1}
          max={MOST_COUNT}
          step={1}
          value={count.value}
          shown={number(count.value)}
          onChange={(value) => {
            count.value = value;
          }}
        />
        <Range
          label={t("use.seed")}
          min={0}
          max={99}
          step={1}
          value={seed.value}
          shown={number(seed.value)}
          onChange={(value) => {
            seed.value = value;
          }}
        />
        {hasTemperature && (
          <Range
            label={t("control.temperature")}
            min={0.05}
            max={1.5}
            step={0.05}
            value={temperature.value}
            shown={number(temperature.value, 2)}
            onChange={(value) => {
              temperature.value = value;
            }}
          />
        )}
        {hasSteps && (
          <Select
            label={t("control.steps")}
            value={steps.value}
            options={["", "1", "2", "5", "10", "20", "50", "100"].map((value) => ({
              value,
              text: value === "" ? t("fit.default") : value,
            }))}
            onChange={(value) => {
              steps.value = value;
            }}
          />
        )}
        {model.classes.length > 0 && (
          <Select
            label={t("use.class")}
            value={label.value}
            options={[
              { value: "", text: t("use.class.any") },
              ...model.classes.map((text, i) => ({ value: String(i), text })),
            ]}
            onChange={(value) => {
              label.value = value;
            }}
          />
        )}
      </div>
      <div class="row">
        <button type="button" class="primary" disabled={isBusy.value} onClick={() => void draw()}>
          {isBusy.value ? t("use.busy") : t("use.draw")}
        </button>
        <p role="alert">{said.value}</p>
      </div>
      {drawn.value.kind === "picture" && (
        <img class="samples" src={drawn.value.address} alt={t("use.samples", { name })} />
      )}
      {drawn.value.kind === "rows" && <Rows rows={drawn.value.rows} />}
      <Command words={["sample", `${folder.value}/${name}`, ...flags]} />
    </section>
  );
}
