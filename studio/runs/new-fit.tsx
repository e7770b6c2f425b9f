import { computed, effect, signal } from "@preact/signals";
import type { FitForm, FormField } from "eidos/serve";
import { useEffect, useId } from "preact/hooks";
import { type TextKey, t } from "../i18n/index.ts";
import { Segments, Select } from "../ui/fields.tsx";
import { ServerError } from "../ui/server.ts";
import {
  fieldValue,
  modelsFor,
  type Purpose,
  purposesFor,
  type Suggested,
  suggestedModel,
} from "./choice.ts";
import { beginFit, offered, readForm, readOffer } from "./fits.ts";
import { toggleShown, view } from "./store.ts";

const PURPOSE_NAMES: Readonly<Record<Purpose, TextKey>> = {
  draw: "fit.purpose.draw",
  find: "fit.purpose.find",
  score: "fit.purpose.score",
  embed: "fit.purpose.embed",
};

const REASONS: Readonly<Record<Suggested, TextKey>> = {
  "rectified-flow": "fit.why.rectified-flow",
  yolo: "fit.why.yolo",
  "spline-flow": "fit.why.spline-flow",
  glow: "fit.why.glow",
  made: "fit.why.made",
  simclr: "fit.why.simclr",
  autoencoder: "fit.why.autoencoder",
};

const GROUP_NAMES = {
  training: "fit.group.training",
  data: "fit.group.data",
  model: "fit.group.model",
} as const;

/** What was chosen; a wish or model that does not suit the data gives way to what is suggested. */
const data = signal("two-moons");
const wish = signal<Purpose>("draw");
const chosenModel = signal("");
const runName = signal("");
/** Texts of fields by the names of options; an empty one is the default. */
const texts = signal<Readonly<Record<string, string>>>({ seconds: "60" });
const form = signal<FitForm | undefined>(undefined);
const said = signal("");
const isSending = signal(false);
/** Whether the form is unfolded. */
const isOpen = signal(false);

/** Unfolds the form for data of one's own in which objects are to be found. @param name as the server offers it */
export function chooseData(name: string): void {
  data.value = name;
  wish.value = "find";
  isOpen.value = true;
}

const kind = computed(() => offered.value?.data.find(({ name }) => name === data.value)?.kind ?? "folder");
const purposes = computed(() => purposesFor(offered.value?.models ?? [], kind.value));
const purpose = computed(() =>
  purposes.value.includes(wish.value) ? wish.value : (purposes.value[0] ?? "draw"),
);
const found = computed(() => modelsFor(offered.value?.models ?? [], kind.value, purpose.value));
const suggested = computed(() => suggestedModel(found.value, purpose.value));
const model = computed(() =>
  found.value.some(({ name }) => name === chosenModel.value)
    ? chosenModel.value
    : (suggested.value ?? found.value[0]?.name ?? ""),
);

const fields = computed(() => form.value?.groups.flatMap((group) => group.fields) ?? []);

/** Options that were set and that the model has. */
const options = computed(() => {
  const set: Record<string, unknown> = {};
  for (const field of fields.value) {
    const value = fieldValue(field, texts.value[field.name] ?? "");
    if (value.kind === "value") set[field.name] = value.value;
  }
  return set;
});

const wrong = computed(() =>
  fields.value
    .filter((field) => fieldValue(field, texts.value[field.name] ?? "").kind === "wrong")
    .map(({ name }) => name),
);

/** Runs what asks the server, and says what it refuses. */
async function tried(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    said.value = error.message || t("runs.unreachable");
  }
}

async function begin(): Promise<void> {
  isSending.value = true;
  said.value = "";
  await tried(async () => {
    const name = await beginFit({
      model: model.value,
      data: data.value,
      options: options.value,
      ...(runName.value.trim() !== "" && { name: runName.value.trim() }),
    });
    runName.value = "";
    said.value = t("fit.begun", { name });
    if (!view.value.shown.includes(name)) toggleShown(name);
  });
  isSending.value = false;
}

/** A field for one option: its name, its text, and what it is. */
function Field({ field }: { readonly field: FormField }) {
  const id = useId();
  const text = texts.value[field.name] ?? "";
  const set = (value: string): void => {
    texts.value = { ...texts.value, [field.name]: value };
  };
  const isWrong = fieldValue(field, text).kind === "wrong";
  const initial =
    field.initial === undefined || field.initial === "[]"
      ? t("fit.default")
      : t("fit.default.is", { value: field.initial.replaceAll('"', "") });
  const choices =
    field.kind === "boolean" ? (["yes", "no"] as const) : field.kind === "choice" ? field.choices : undefined;
  return (
    <div class="option">
      <label for={id}>{field.name}</label>
      {choices === undefined ? (
        <input
          id={id}
          inputMode={field.kind === "integer" ? "numeric" : field.kind === "number" ? "decimal" : "text"}
          placeholder={initial}
          value={text}
          aria-invalid={isWrong}
          aria-describedby={`${id}-about`}
          onInput={(event) => set(event.currentTarget.value)}
        />
      ) : (
        <select
          id={id}
          value={text}
          aria-describedby={`${id}-about`}
          onChange={(event) => set(event.currentTarget.value)}
        >
          <option value="">{initial}</option>
          {choices.map((value) => (
            <option key={value} value={value}>
              {value === "yes" && field.kind === "boolean"
                ? t("fit.yes")
                : value === "no" && field.kind === "boolean"
                  ? t("fit.no")
                  : value}
            </option>
          ))}
        </select>
      )}
      <p id={`${id}-about`} class="hint" lang="en">
        {field.description}
      </p>
    </div>
  );
}

function Fields({ isUsual }: { readonly isUsual: boolean }) {
  return (
    <>
      {form.value?.groups.map(({ of, fields: all }) => {
        const held = all.filter((field) => field.isUsual === isUsual);
        return held.length === 0 ? null : (
          <fieldset key={of} class="options">
            <legend>{t(GROUP_NAMES[of])}</legend>
            {held.map((field) => (
              <Field key={field.name} field={field} />
            ))}
          </fieldset>
        );
      })}
    </>
  );
}

/** A form that begins a fit: data, what is wanted of it, a model, and its options. */
export function NewFit() {
  const id = useId();
  useEffect(() => {
    void tried(readOffer);
    // Fields are those of the model that is chosen last.
    return effect(() => {
      const name = model.value;
      form.value = undefined;
      if (name === "") return;
      void tried(async () => {
        const read = await readForm(name);
        if (name === model.peek()) form.value = read;
      });
    });
  }, []);
  const known = offered.value;
  if (known === undefined) return null;
  const offer = known.data.filter(({ name }) => name.startsWith("./"));
  // A folder that was made a moment ago may not be offered yet.
  const own =
    data.value.startsWith("./") && !offer.some(({ name }) => name === data.value)
      ? [{ name: data.value }, ...offer]
      : offer;
  const named = known.data.filter(({ name }) => !name.startsWith("./"));
  const reason = suggested.value;
  return (
    <details
      class="card new-fit"
      open={isOpen.value}
      onToggle={(event) => {
        isOpen.value = event.currentTarget.open;
      }}
    >
      <summary>
        <h2>{t("fit.title")}</h2>
      </summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void begin();
        }}
      >
        <div class="tools">
          <div class="select">
            <label for={id}>{t("fit.data")}</label>
            <select
              id={id}
              value={data.value}
              onChange={(event) => {
                data.value = event.currentTarget.value;
              }}
            >
              <optgroup label={t("fit.data.named")}>
                {named.map(({ name }) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </optgroup>
              {own.length > 0 && (
                <optgroup label={t("fit.data.own", { folder: known.folder })}>
                  {own.map(({ name }) => (
                    <option key={name} value={name}>
                      {name}
                    </option>
                  ))}
                </optgroup>
              )}
            </select>
          </div>
          <Segments
            label={t("fit.purpose")}
            name="purpose"
            value={purpose.value}
            options={purposes.value.map((value) => ({ value, text: t(PURPOSE_NAMES[value]) }))}
            onChange={(value) => {
              wish.value = purposes.value.find((one) => one === value) ?? wish.value;
            }}
          />
          <Select
            label={t("fit.model")}
            value={model.value}
            options={found.value.map(({ name }) => ({ value: name, text: name }))}
            onChange={(value) => {
              chosenModel.value = value;
            }}
          />
          <label class="search">
            <span>{t("fit.name")}</span>
            <input
              value={runName.value}
              maxLength={100}
              placeholder={`${model.value}-${data.value.replace(/^\.\//, "") || "data"}`}
              onInput={(event) => {
                runName.value = event.currentTarget.value;
              }}
            />
          </label>
        </div>
        <p class="hint">
          {reason !== undefined && reason === model.value ? (
            t(REASONS[reason])
          ) : (
            <span lang="en">{found.value.find(({ name }) => name === model.value)?.summary}</span>
          )}
        </p>
        <Fields isUsual={true} />
        <details>
          <summary>{t("fit.more")}</summary>
          <Fields isUsual={false} />
        </details>
        <div class="row">
          <button
            type="submit"
            class="primary"
            disabled={
              isSending.value || model.value === "" || form.value === undefined || wrong.value.length > 0
            }
          >
            {t("fit.begin")}
          </button>
          <p role="status">
            {wrong.value.length > 0 ? t("fit.wrong", { names: wrong.value.join(", ") }) : said.value}
          </p>
        </div>
      </form>
    </details>
  );
}
