import { useSignal } from "@preact/signals";
import type { ListedRun, RunDetails } from "eidos/serve";
import { number, t } from "../i18n/index.ts";
import { Range } from "../ui/fields.tsx";
import { ServerError } from "../ui/server.ts";
import { ResumeButton } from "./queue.tsx";
import { detailsByRun, discardRun, saveNotes, shown, view } from "./store.ts";

/** A value of an option as text. */
const optionText = (value: unknown): string =>
  value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value);

/** Options of which not all runs have the same value. */
function differing(
  all: readonly RunDetails[],
): readonly (readonly [name: string, values: readonly string[]])[] {
  const names = [...new Set(all.flatMap(({ options }) => Object.keys(options)))].toSorted();
  const rows = [
    ["model", all.map(({ model }) => model)] as const,
    ["data", all.map(({ data }) => data)] as const,
    ...names.map((name) => [name, all.map(({ options }) => optionText(options[name]))] as const),
  ];
  return rows.filter(([, values]) => new Set(values).size > 1);
}

/** What sets the chosen runs apart. */
export function Differences() {
  const known = shown.value.flatMap((run) => {
    const details = detailsByRun.value.get(run.name);
    return details === undefined ? [] : [{ run, details }];
  });
  if (known.length < 2) return null;
  const rows = differing(known.map(({ details }) => details));
  return (
    <section class="card" aria-labelledby="runs-differences">
      <h2 id="runs-differences">{t("runs.differences")}</h2>
      {rows.length === 0 ? (
        <p class="hint">{t("runs.same")}</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys
        <div class="scroll" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t("runs.option")}</th>
                {known.map(({ run }) => (
                  <th key={run.name} scope="col">
                    {run.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(([name, values]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  {values.map((value, i) => (
                    <td key={known[i]?.run.name}>{value}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

/** The pictures that a fit has drawn, with a slider through them. */
function Pictures({ name, details }: { readonly name: string; readonly details: RunDetails }) {
  const { pictures } = details;
  const chosen = useSignal<number | undefined>(undefined);
  if (pictures.length === 0) return <p class="hint">{t("runs.no-pictures")}</p>;
  // Without a choice the latest samples are shown, whichever these are.
  const samples = pictures.findLastIndex(({ step, file }) => step !== undefined || file === "samples.png");
  const at = Math.min(chosen.value ?? Math.max(0, samples), pictures.length - 1);
  const picture = pictures[at];
  if (picture === undefined) return null;
  const address = `api/runs/${encodeURIComponent(name)}/pictures/${encodeURIComponent(picture.file)}`;
  const label =
    picture.step === undefined ? picture.file : t("runs.picture.step", { step: number(picture.step) });
  return (
    <>
      <img src={address} alt={t("runs.picture", { name, what: label })} />
      {pictures.length > 1 && (
        <Range
          label={t("runs.pictures")}
          min={0}
          max={pictures.length - 1}
          step={1}
          value={at}
          shown={label}
          onChange={(value) => {
            chosen.value = value === samples ? undefined : value;
          }}
        />
      )}
    </>
  );
}

/** Notes and tags of a run, which are written beside it. */
function Notes({ name, details }: { readonly name: string; readonly details: RunDetails }) {
  const text = useSignal(details.notes.text);
  const tags = useSignal(details.notes.tags.join(", "));
  const said = useSignal("");
  const save = async (): Promise<void> => {
    try {
      const words = tags.value.split(",").map((tag) => tag.trim());
      await saveNotes(name, { text: text.value, tags: [...new Set(words.filter((tag) => tag !== ""))] });
      said.value = t("runs.saved");
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      said.value = error.message || t("runs.unreachable");
    }
  };
  return (
    <details class="notes">
      <summary>{t("runs.notes")}</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <label>
          <span>{t("runs.notes.text")}</span>
          <textarea
            rows={3}
            maxLength={4000}
            value={text.value}
            onInput={(event) => {
              text.value = event.currentTarget.value;
            }}
          />
        </label>
        <label>
          <span>{t("runs.notes.tags")}</span>
          <input
            value={tags.value}
            maxLength={800}
            onInput={(event) => {
              tags.value = event.currentTarget.value;
            }}
          />
        </label>
        <div class="row">
          <button type="submit">{t("runs.save")}</button>
          <p class="hint" role="status">
            {said.value}
          </p>
        </div>
      </form>
    </details>
  );
}

/** Throws a run away, once that is confirmed. */
function Discard({ run }: { readonly run: ListedRun }) {
  const isAsked = useSignal(false);
  const said = useSignal("");
  const discard = async (): Promise<void> => {
    try {
      await discardRun(run.name);
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      said.value = error.message || t("runs.unreachable");
    }
  };
  if (!isAsked.value) {
    return (
      <button
        type="button"
        class="quiet"
        onClick={() => {
          isAsked.value = true;
        }}
      >
        {t("runs.discard")}
      </button>
    );
  }
  return (
    <>
      <p class="hint">{t("runs.discard.ask")}</p>
      <button type="button" onClick={() => void discard()}>
        {t("runs.discard.yes")}
      </button>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          isAsked.value = false;
        }}
      >
        {t("runs.discard.no")}
      </button>
      <p role="alert">{said.value}</p>
    </>
  );
}

/** What there is of each chosen run: its pictures, report, notes. */
export function RunCards() {
  return (
    <div class="run-cards">
      {shown.value.map((run) => {
        const details = detailsByRun.value.get(run.name);
        if (details === undefined) return null;
        return (
          <section key={run.name} class="card run" aria-label={run.name}>
            <h3>
              <span class={`swatch line-${view.value.shown.indexOf(run.name) + 1}`} aria-hidden="true" />
              {run.name}
            </h3>
            <p class="hint">
              {t("runs.about", {
                model: details.model,
                data: details.data,
                count: number(details.about.trainCount),
              })}
            </p>
            <Pictures name={run.name} details={details} />
            <div class="row">
              {details.hasReport && (
                <a href={`api/runs/${encodeURIComponent(run.name)}/report`} target="_blank" rel="noreferrer">
                  {t("runs.report")}
                </a>
              )}
              {"status" in run && run.status !== "not begun" && (
                <a href={`#/use?${new URLSearchParams({ run: run.name })}`}>{t("app.room.use")}</a>
              )}
              {"status" in run && run.status === "stopped" && <ResumeButton name={run.name} />}
              <Discard run={run} />
            </div>
            <Notes name={run.name} details={details} />
          </section>
        );
      })}
    </div>
  );
}
