import type { Signal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { number, t } from "../i18n/index.ts";
import { Range, Select } from "../ui/fields.tsx";

// Choices that several abilities have in common.

/** The seed of the noise. */
export function SeedChoice({ seed }: { readonly seed: Signal<number> }) {
  return (
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
  );
}

/** How many are drawn. */
export function CountChoice({
  count,
  label,
  most,
}: {
  readonly count: Signal<number>;
  readonly label: string;
  readonly most: number;
}) {
  return (
    <Range
      label={label}
      min={1}
      max={most}
      step={1}
      value={count.value}
      shown={number(count.value)}
      onChange={(value) => {
        count.value = value;
      }}
    />
  );
}

/** How much noise is added to a sample that is varied. */
export function StrengthChoice({ strength }: { readonly strength: Signal<number> }) {
  return (
    <Range
      label={t("use.strength")}
      min={0.05}
      max={1}
      step={0.05}
      value={strength.value}
      shown={number(strength.value, 2)}
      onChange={(value) => {
        strength.value = value;
      }}
    />
  );
}

/** Where on the way from one sample to another. @param share what the step is of the way, in percent, as it is shown */
export function WayChoice({
  step,
  last,
  share,
}: {
  readonly step: Signal<number>;
  readonly last: number;
  readonly share: string;
}) {
  return (
    <Range
      label={t("use.way")}
      min={0}
      max={last}
      step={1}
      value={step.value}
      shown={t("use.way.value", { percent: share })}
      onChange={(value) => {
        step.value = value;
      }}
    />
  );
}

/** A class, by its number as a text; empty for any. Nothing where the model knows none. */
export function ClassChoice({
  model,
  label,
}: {
  readonly model: UsableModel;
  readonly label: Signal<string>;
}) {
  if (model.classes.length === 0) return null;
  return (
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
  );
}

/** Steps of a solver, as a text; empty for the model's own number. */
export function StepsChoice({ steps }: { readonly steps: Signal<string> }) {
  return (
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
  );
}

/** A number that is given as a text, under its name; nothing where it is not given. */
export function given<N extends string>(name: N, text: string): Partial<Record<N, number>> {
  return text === "" ? {} : ({ [name]: Number(text) } as Record<N, number>);
}

/** Options as flags of a command. */
export function flagsOf(options: Readonly<Record<string, number>>): readonly (string | number)[] {
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}
