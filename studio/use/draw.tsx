import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { useEffect, useMemo } from "preact/hooks";
import { language, number, t } from "../i18n/index.ts";
import { showValue } from "../runs/curves.ts";
import { Check, Range } from "../ui/fields.tsx";
import { sendForPicture } from "../ui/server.ts";
import { ClassChoice, CountChoice, flagsOf, given, SeedChoice, StepsChoice } from "./choices.tsx";
import { Command } from "./command.tsx";
import { literal } from "./literal.ts";
import { Shown } from "./picture.tsx";
import { formOf, gridOf, type Picture, type PictureForm, type Pictures, picturesOf } from "./pictures.ts";
import { abilityPath } from "./store.ts";
import { askRun, useAsking } from "./work.ts";

type Row = Readonly<Record<string, string | number | null>>;

/** What was drawn. */
type Drawn =
  | { readonly kind: "none" }
  | { readonly kind: "picture"; readonly address: string }
  /** Pictures as they form, state by state. */
  | { readonly kind: "states"; readonly states: readonly (readonly Picture[])[] }
  | { readonly kind: "rows"; readonly rows: readonly Row[] };

const MOST_COUNT = 64;

/** States of pictures that form. */
const STATES = 16;

/** Pictures as they form. @throws ServerError */
async function drawStates(name: string, body: object, form: PictureForm): Promise<Drawn> {
  const { samples } = await askRun<{ samples: Pictures }>(name, "sample", { ...body, states: STATES });
  const [states = 0] = samples.shape;
  const all = picturesOf(samples, form);
  const count = all.length / states;
  return {
    kind: "states",
    states: Array.from({ length: states }, (_, i) => all.slice(i * count, (i + 1) * count)),
  };
}

/** Pictures that form, from noise to samples, as far as the slider says. */
function Forming({
  states,
  form,
}: {
  readonly states: readonly (readonly Picture[])[];
  readonly form: PictureForm;
}) {
  const last = states.length - 1;
  const at = useSignal(last);
  const grids = useMemo(() => states.map((state) => gridOf(state, form)), [states]);
  const now = Math.min(at.value, last);
  const grid = grids[now];
  return (
    <>
      <Range
        label={t("use.state")}
        min={0}
        max={last}
        step={1}
        value={now}
        shown={t("use.state.value", { state: number(now), last: number(last) })}
        onChange={(value) => {
          at.value = value;
        }}
      />
      {grid !== undefined && (
        <div class="forming">
          <Shown
            picture={grid.picture}
            form={grid.form}
            label={t("use.state.picture", { state: number(now), last: number(last) })}
          />
        </div>
      )}
    </>
  );
}

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
  const isForming = useSignal(false);
  const drawn = useSignal<Drawn>({ kind: "none" });
  const asking = useAsking();
  const form = formOf(model);
  const hasSteps = model.sampleOptions.includes("steps");
  const hasTemperature = model.sampleOptions.includes("temperature");
  const options = {
    count: count.value,
    seed: seed.value,
    ...given("label", label.value),
    ...(hasSteps && given("steps", steps.value)),
    ...(hasTemperature && temperature.value !== 1 && { temperature: temperature.value }),
  };
  const forget = (): void => {
    if (drawn.value.kind === "picture") URL.revokeObjectURL(drawn.value.address);
  };
  useEffect(() => forget, []);
  const draw = (): Promise<void> =>
    asking.run(async () => {
      const made =
        form !== undefined && isForming.value
          ? await drawStates(name, options, form)
          : form !== undefined
            ? await drawPicture(abilityPath(name, "sample"), options)
            : ({
                kind: "rows",
                rows: (await askRun<{ rows: readonly Row[] }>(name, "sample", options)).rows,
              } as const);
      forget();
      drawn.value = made;
    });
  const file = model.sample.kind === "picture" ? "samples.png" : "samples.csv";
  return (
    <section class="card" aria-labelledby="use-draw">
      <h2 id="use-draw">{t("use.draw")}</h2>
      <div class="controls">
        <CountChoice count={count} label={t("use.count")} most={MOST_COUNT} />
        <SeedChoice seed={seed} />
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
        {hasSteps && <StepsChoice steps={steps} />}
        <ClassChoice model={model} label={label} />
        {model.forms && (
          <Check
            label={t("use.forming")}
            checked={isForming.value}
            onChange={(checked) => {
              isForming.value = checked;
            }}
          />
        )}
      </div>
      <div class="row">
        <button type="button" class="primary" disabled={asking.isBusy.value} onClick={() => void draw()}>
          {asking.isBusy.value ? t("use.busy") : t("use.draw")}
        </button>
        <p role="alert">{asking.said.value}</p>
      </div>
      {drawn.value.kind === "picture" && (
        <img class="samples" src={drawn.value.address} alt={t("use.samples", { name })} />
      )}
      {drawn.value.kind === "states" && form !== undefined && (
        <Forming states={drawn.value.states} form={form} />
      )}
      {drawn.value.kind === "rows" && <Rows rows={drawn.value.rows} />}
      <Command
        name={name}
        verb="sample"
        words={[...flagsOf(options), ...(isForming.value ? ["--animate", "forming.webp"] : [])]}
        code={
          isForming.value
            ? [`const states = await run.sampleStates(${literal({ ...options, states: STATES })});`]
            : [
                `const samples = await run.sample(${literal(options)});`,
                `await run.save(samples, ${literal(file)});`,
              ]
        }
      />
    </section>
  );
}
