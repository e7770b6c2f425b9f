import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { number, t } from "../i18n/index.ts";
import { Check, Range } from "../ui/fields.tsx";
import { sendForPicture } from "../ui/server.ts";
import { ClassChoice, CountChoice, flagsOf, given, SeedChoice, StepsChoice } from "./choices.tsx";
import { Command } from "./command.tsx";
import { literal } from "./literal.ts";
import { Shown } from "./picture.tsx";
import { formOf, gridOf, type Picture, type PictureForm, type Pictures, picturesOf } from "./pictures.ts";
import { Plane, planeOf, type Row, RowsTable } from "./rows.tsx";
import { abilityPath } from "./store.ts";
import { askRun, useAsking } from "./work.ts";

/** What was drawn. */
type Drawn =
  | { readonly kind: "none" }
  | { readonly kind: "picture"; readonly address: string }
  /** Pictures as they form, state by state. */
  | { readonly kind: "states"; readonly states: readonly (readonly Picture[])[] }
  /** Rows as they form, state by state; one state where they are drawn at once. */
  | { readonly kind: "rows"; readonly states: readonly (readonly Row[])[] };

/** Pictures and rows that are drawn at most. */
const MOST_COUNT = { pictures: 64, rows: 1000 } as const;

/** States of samples that form. */
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

/** Rows, or rows as they form. @throws ServerError */
async function drawRows(name: string, body: { readonly count: number }, isForming: boolean): Promise<Drawn> {
  const asked = isForming ? { ...body, states: STATES } : body;
  const { rows } = await askRun<{ rows: readonly Row[] }>(name, "sample", asked);
  const states = Array.from({ length: Math.ceil(rows.length / body.count) }, (_, i) =>
    rows.slice(i * body.count, (i + 1) * body.count),
  );
  return { kind: "rows", states };
}

/** Samples that form, from noise on, as far as the slider says. */
function Forming<S>({
  states,
  show,
}: {
  readonly states: readonly S[];
  readonly show: (state: S, label: string) => ComponentChildren;
}) {
  const last = states.length - 1;
  const at = useSignal(last);
  const now = Math.min(at.value, last);
  const state = states[now];
  const words = { state: number(now), last: number(last) };
  return (
    <>
      <Range
        label={t("use.state")}
        min={0}
        max={last}
        step={1}
        value={now}
        shown={t("use.state.value", words)}
        onChange={(value) => {
          at.value = value;
        }}
      />
      {state !== undefined && show(state, t("use.state.picture", words))}
    </>
  );
}

/** Pictures that form. */
function FormingPictures({
  states,
  form,
}: {
  readonly states: readonly (readonly Picture[])[];
  readonly form: PictureForm;
}) {
  const grids = useMemo(() => states.map((state) => gridOf(state, form)), [states]);
  return (
    <Forming
      states={grids}
      show={(grid, label) => (
        <div class="forming">
          <Shown picture={grid.picture} form={grid.form} label={label} />
        </div>
      )}
    />
  );
}

/** A grid of samples as one PNG file. @throws ServerError */
async function drawPicture(path: string, body: unknown): Promise<Drawn> {
  return { kind: "picture", address: URL.createObjectURL(await sendForPicture(path, body)) };
}

/** Rows, as points where they are such. */
function DrawnRows({
  rows,
  room,
  model,
  label,
}: {
  readonly rows: readonly Row[];
  readonly room: readonly Row[];
  readonly model: UsableModel;
  readonly label: string;
}) {
  const plane = planeOf(model);
  return (
    <>
      {plane !== undefined && <Plane label={label} plane={plane} rows={rows} room={room} />}
      <RowsTable rows={rows} />
    </>
  );
}

/** Samples of a model: how many, from which noise, of which class. */
export function Draw({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  const form = formOf(model);
  const count = useSignal(form === undefined && planeOf(model) !== undefined ? 500 : 16);
  const seed = useSignal(0);
  const label = useSignal("");
  const steps = useSignal("");
  const temperature = useSignal(1);
  const isForming = useSignal(false);
  const drawn = useSignal<Drawn>({ kind: "none" });
  const asking = useAsking();
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
            : await drawRows(name, options, isForming.value);
      forget();
      drawn.value = made;
    });
  const rows = drawn.value.kind === "rows" ? drawn.value.states : undefined;
  const file = model.sample.kind === "picture" ? "samples.png" : "samples.csv";
  return (
    <section class="card" aria-labelledby="use-draw">
      <h2 id="use-draw">{t("use.draw")}</h2>
      <div class="controls">
        <CountChoice
          count={count}
          label={t("use.count")}
          most={form === undefined ? MOST_COUNT.rows : MOST_COUNT.pictures}
        />
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
        <FormingPictures states={drawn.value.states} form={form} />
      )}
      {rows !== undefined &&
        (rows.length > 1 ? (
          <Forming
            states={rows}
            show={(state, label) => <DrawnRows rows={state} room={rows.flat()} model={model} label={label} />}
          />
        ) : (
          <DrawnRows rows={rows.flat()} room={[]} model={model} label={t("use.samples", { name })} />
        ))}
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
