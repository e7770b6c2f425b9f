import { number, t } from "../i18n/index.ts";
import { Range, Select } from "../ui/fields.tsx";
import { RULE_ENTRIES, RULES, type Rule, type RuleControl } from "./rules.ts";
import { settingsOf } from "./state.ts";
import { answers, change, changeSetting, state } from "./store.ts";

function Control({ rule, control }: { readonly rule: Rule; readonly control: RuleControl }) {
  const { option, label, initial, values } = control;
  const value = settingsOf(state.value, rule)[option] ?? initial;
  if (values.kind === "choice") {
    return (
      <Select
        label={t(label)}
        value={String(value)}
        options={values.of.map((each) => ({ value: String(each), text: number(each) }))}
        onChange={(text) => changeSetting(rule, option, Number(text))}
      />
    );
  }
  const { min, max, step } = values;
  return (
    <Range
      label={t(label)}
      min={min}
      max={max}
      step={step}
      value={value}
      shown={number(value, step < 0.1 ? 2 : step < 1 ? 1 : 0)}
      onChange={(next) => changeSetting(rule, option, Number(next.toFixed(2)))}
    />
  );
}

/** What a rule gives the chosen object, beside its name. */
function Given({ rule }: { readonly rule: Rule }) {
  const count = answers.value.get(rule)?.counts[state.value.chosen];
  return <span class="given">{count === undefined ? "…" : number(count.total)}</span>;
}

/** Whose rule assigns the objects; beside each, how much it gives the chosen one. */
export function RuleChoice() {
  const { rule } = state.value;
  const { controls } = RULE_ENTRIES[rule];
  return (
    <section class="card rules" aria-labelledby="rules-title">
      <h2 id="rules-title">{t("rules.title")}</h2>
      <p class="hint" id="rules-hint">
        {t("rules.hint")}
      </p>
      <fieldset aria-describedby="rules-hint">
        <legend class="unseen">{t("rules.title")}</legend>
        {RULES.map((key) => (
          <label key={key}>
            <input type="radio" name="rule" checked={key === rule} onChange={() => change({ rule: key })} />
            <span class="name">{t(RULE_ENTRIES[key].name)}</span>
            <Given rule={key} />
            <span class="summary">{t(RULE_ENTRIES[key].summary)}</span>
          </label>
        ))}
      </fieldset>
      <div class="settings">
        {controls.map((control) => (
          <Control key={`${rule}.${control.option}`} rule={rule} control={control} />
        ))}
      </div>
    </section>
  );
}
