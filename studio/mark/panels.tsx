import { useSignal } from "@preact/signals";
import type { MarkStatistics } from "eidos/serve";
import { useEffect } from "preact/hooks";
import { number, type TextKey, t } from "../i18n/index.ts";
import { Check, Range, Select } from "../ui/fields.tsx";
import { ask } from "../ui/server.ts";
import { choose } from "./editor.tsx";
import { COLORS } from "./paint.ts";
import {
  accept,
  acceptAll,
  detectors,
  dismiss,
  fillQueue,
  isLooking,
  progress,
  proposals,
  propose,
  queue,
  readDetectors,
  run,
  stopLooking,
  threshold,
} from "./proposals.ts";
import {
  changeMark,
  chooseClass,
  chosen,
  classes,
  currentClass,
  flush,
  heldOf,
  holds,
  isEditable,
  listing,
  marks,
  nameClasses,
  openPhoto,
  photo,
  removeMark,
  tried,
  view,
} from "./store.ts";
import type { Suspect } from "./suspects.ts";

// What stands beside the photo: classes, objects, what a run proposes, what is counted.

const colorOf = (name: string): string => {
  const at = classes.value.indexOf(name);
  return `line-${((at < 0 ? classes.value.length : at) % COLORS) + 1}`;
};

/** The classes with their colors and keys, and a field for further ones. */
export function Classes() {
  const name = useSignal("");
  return (
    <section class="card" aria-labelledby="mark-classes">
      <h2 id="mark-classes">{t("mark.classes")}</h2>
      <ul class="classes">
        {classes.value.map((own, i) => (
          <li key={own}>
            <label class="choice">
              <input
                type="radio"
                name="mark-class"
                checked={own === currentClass.value}
                onChange={() => chooseClass(own)}
              />
              <span class={`swatch ${colorOf(own)}`} aria-hidden="true" />
              <span>{own}</span>
              {i < 9 && <kbd>{i + 1}</kbd>}
            </label>
          </li>
        ))}
      </ul>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          const wanted = name.value.trim();
          if (wanted === "") return;
          nameClasses([wanted]);
          chooseClass(wanted);
          name.value = "";
        }}
      >
        <label class="search">
          <span>{t("mark.new-class")}</span>
          <input
            value={name.value}
            maxLength={200}
            onInput={(event) => {
              name.value = event.currentTarget.value;
            }}
          />
        </label>
        <button type="submit" disabled={name.value.trim() === ""}>
          {t("mark.add-class")}
        </button>
      </form>
    </section>
  );
}

/** The objects of the photo one after the other, for those who do not see them as well. */
export function Objects() {
  const here = photo.value;
  return (
    <section class="card" aria-labelledby="mark-objects">
      <h2 id="mark-objects">{t("mark.objects-title")}</h2>
      {marks.value.length === 0 && <p class="hint">{t("mark.no-objects")}</p>}
      <ul class="objects">
        {marks.value.map(({ id, class: name, box, difficult, crowd }, i) => {
          const place = box.map((edge) => number(Math.round(edge))).join(", ");
          const title = t("mark.object", { number: i + 1, name });
          return (
            <li key={id} class={id === chosen.value ? "chosen" : undefined}>
              <button
                type="button"
                class="quiet"
                aria-pressed={id === chosen.value}
                onClick={() => choose(id)}
              >
                <span class={`swatch ${colorOf(name)}`} aria-hidden="true" /> {title}
                <span class="hint">
                  {place}
                  {heldOf(id)?.outlines !== undefined && ` · ${t("mark.outline")}`}
                </span>
              </button>
              {id === chosen.value && (
                <div class="row">
                  <Select
                    label={t("use.class")}
                    value={name}
                    options={classes.value.map((value) => ({ value, text: value }))}
                    onChange={(value) => changeMark(id, { class: value })}
                  />
                  {holds.value.difficult && (
                    <Flag
                      name="mark.difficult"
                      is={difficult}
                      set={(is) => changeMark(id, { difficult: is })}
                    />
                  )}
                  {holds.value.crowd && (
                    <Flag name="mark.crowd" is={crowd} set={(is) => changeMark(id, { crowd: is })} />
                  )}
                  <button type="button" disabled={!isEditable.value} onClick={() => removeMark(id)}>
                    {t("mark.remove")}
                  </button>
                </div>
              )}
            </li>
          );
        })}
      </ul>
      {here !== undefined && here.hidden > 0 && (
        <p class="hint">{t("mark.hidden", { count: number(here.hidden) })}</p>
      )}
    </section>
  );
}

function Flag({
  name,
  is,
  set,
}: {
  readonly name: TextKey;
  readonly is: boolean;
  readonly set: (is: boolean) => void;
}) {
  return <Check label={t(name)} checked={is} disabled={!isEditable.value} onChange={set} />;
}

/** What a run proposes for the photo, and which photos are worth a look. */
export function Proposals() {
  useEffect(() => {
    void tried(readDetectors);
  }, []);
  const all = proposals.value;
  const least = threshold.value;
  return (
    <section class="card" aria-labelledby="mark-proposals">
      <h2 id="mark-proposals">{t("mark.propose.title")}</h2>
      {detectors.value.length === 0 ? (
        <p class="hint">{t("mark.propose.none")}</p>
      ) : (
        <>
          <Select
            label={t("use.run")}
            value={run.value}
            options={detectors.value.map((value) => ({ value, text: value }))}
            onChange={(value) => {
              run.value = value;
            }}
          />
          <Range
            label={t("use.threshold")}
            min={0.05}
            max={1}
            step={0.01}
            value={least}
            shown={number(least, 2)}
            onChange={(value) => {
              threshold.value = value;
            }}
          />
          <div class="row">
            <button
              type="button"
              disabled={isLooking.value || !isEditable.value}
              onClick={() => void propose()}
            >
              {isLooking.value ? t("use.busy") : t("mark.propose")}
            </button>
            <button
              type="button"
              class="primary"
              disabled={all.length === 0 || !isEditable.value}
              onClick={acceptAll}
            >
              {t("mark.accept-all", { count: number(all.length) })}
            </button>
          </div>
          <ul class="objects">
            {all.map((proposal) => (
              <li key={proposal}>
                <span class="hint">
                  <span class={`swatch ${colorOf(proposal.label)}`} aria-hidden="true" />{" "}
                  {`${proposal.label} ${number(proposal.score, 2)}`}
                </span>
                <button
                  type="button"
                  class="quiet"
                  aria-label={t("mark.accept.one", {
                    name: proposal.label,
                    score: number(proposal.score, 2),
                  })}
                  onClick={() => accept(proposal)}
                >
                  {t("mark.accept")}
                </button>
                <button
                  type="button"
                  class="quiet"
                  aria-label={t("mark.dismiss.one", {
                    name: proposal.label,
                    score: number(proposal.score, 2),
                  })}
                  onClick={() => dismiss(proposal)}
                >
                  {t("mark.dismiss")}
                </button>
              </li>
            ))}
          </ul>
          <Queue />
        </>
      )}
    </section>
  );
}

const SUSPICIONS: Readonly<Record<Suspect["kind"], TextKey>> = {
  missed: "mark.suspect.missed",
  "not-found": "mark.suspect.not-found",
  "other-class": "mark.suspect.other-class",
  "badly-placed": "mark.suspect.badly-placed",
};

/** Photos of the queue that are listed. */
const MOST_QUEUED = 50;

function Queue() {
  const now = queue.value;
  const going = progress.value;
  return (
    <>
      <h3>{t("mark.queue")}</h3>
      <div class="row">
        <button type="button" disabled={going !== undefined} onClick={() => void fillQueue("unsure")}>
          {t("mark.queue.unsure")}
        </button>
        <button
          type="button"
          disabled={going !== undefined}
          onClick={() => void flush().then(() => fillQueue("errors"))}
        >
          {t("mark.queue.errors")}
        </button>
        {going !== undefined && (
          <button type="button" onClick={stopLooking}>
            {t("fit.stop")}
          </button>
        )}
      </div>
      {going !== undefined && (
        <p class="hint">{t("mark.queue.progress", { done: number(going.done), all: number(going.all) })}</p>
      )}
      {going === undefined && now?.photos.length === 0 && <p class="hint">{t("mark.queue.empty")}</p>}
      <ol class="queue-list">
        {now?.photos.slice(0, MOST_QUEUED).map(({ path, weight, suspects }) => (
          <li key={path}>
            <button
              type="button"
              class="quiet"
              aria-current={path === view.value.photo ? "true" : undefined}
              onClick={() => void openPhoto(path)}
            >
              {path}
            </button>
            <span class="hint">
              {suspects.length === 0
                ? t("mark.queue.doubt", { weight: number(weight, 2) })
                : suspects
                    .slice(0, 3)
                    .map((one) => t(SUSPICIONS[one.kind], { name: one.class, weight: number(one.weight, 2) }))
                    .join("; ")}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}

/** What `eidos inspect` counts, when it is asked for. */
export function Statistics() {
  const found = useSignal<MarkStatistics | undefined>(undefined);
  const { folder } = view.value;
  const count = async (): Promise<void> => {
    await flush();
    await tried(async () => {
      found.value = await ask<MarkStatistics>(`mark/statistics?${new URLSearchParams({ folder })}`);
    });
  };
  useEffect(() => {
    found.value = undefined;
  }, [folder]);
  const total = found.value?.counts.total;
  return (
    <section class="card" aria-labelledby="mark-statistics">
      <h2 id="mark-statistics">{t("mark.statistics")}</h2>
      <div class="row">
        <button type="button" disabled={listing.value?.format === undefined} onClick={() => void count()}>
          {t("mark.statistics.count")}
        </button>
      </div>
      {total !== undefined && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys
        <div class="scroll" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t("use.class")}</th>
                <th scope="col">{t("mark.statistics.objects")}</th>
                <th scope="col">{t("mark.photos")}</th>
                <th scope="col">{t("mark.statistics.small")}</th>
                <th scope="col">{t("mark.statistics.medium")}</th>
                <th scope="col">{t("mark.statistics.large")}</th>
              </tr>
            </thead>
            <tbody>
              {[...total.classes, { ...total, name: t("mark.statistics.all") }].map((own, i) => (
                <tr key={i}>
                  <th scope="row">{own.name}</th>
                  {[own.objects, own.images, own.sizes.small, own.sizes.medium, own.sizes.large].map(
                    (value, at) => (
                      <td key={at} class="figure">
                        {number(value)}
                      </td>
                    ),
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.value?.lines.map((line) => (
        <p key={line} class="hint" lang="en">
          {line}
        </p>
      ))}
    </section>
  );
}
