import { useSignal } from "@preact/signals";
import type { StudioFit } from "eidos/serve";
import { number, type TextKey, t } from "../i18n/index.ts";
import { ServerError } from "../ui/server.ts";
import { fits, resumeFit, stopFit } from "./fits.ts";
import { duration } from "./table.tsx";

const STATES: Readonly<Record<StudioFit["state"], TextKey>> = {
  waiting: "fit.state.waiting",
  running: "fit.state.running",
  done: "fit.state.done",
  failed: "fit.state.failed",
};

/** Stops or resumes a run, and says why it cannot. */
function Act({ text, act }: { readonly text: TextKey; readonly act: () => Promise<void> }) {
  const said = useSignal("");
  const run = async (): Promise<void> => {
    try {
      said.value = "";
      await act();
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      said.value = error.message || t("runs.unreachable");
    }
  };
  return (
    <>
      <button type="button" onClick={() => void run()}>
        {t(text)}
      </button>
      {said.value !== "" && <p role="alert">{said.value}</p>}
    </>
  );
}

/** A button that goes on with a run. */
export function ResumeButton({ name }: { readonly name: string }) {
  return <Act text="fit.resume" act={() => resumeFit(name)} />;
}

/** One fit of this studio: how far it is, and what it says. */
function Entry({ fit }: { readonly fit: StudioFit }) {
  const { name, state, progress, warnings, error } = fit;
  const left = progress?.secondsLeft;
  return (
    <li>
      <p>
        <strong>{name}</strong>{" "}
        <span class={`status ${state === "running" ? "being-fitted" : state}`}>{t(STATES[state])}</span>
      </p>
      {state === "running" && progress !== undefined && (
        <p class="progress">
          <progress max={1} value={progress.share} aria-label={t("fit.progress", { name })} />
          <span>
            {[
              t("panel.steps", { step: number(progress.step) }),
              ...(left === undefined ? [] : [t("fit.left", { time: duration(left) })]),
              ...(progress.doing === undefined ? [] : [progress.doing]),
            ].join(" · ")}
          </span>
        </p>
      )}
      {error !== undefined && <p role="alert">{error}</p>}
      {warnings.map((text) => (
        <p key={text} class="hint" lang="en">
          {text}
        </p>
      ))}
      {(state === "running" || state === "waiting") && (
        <Act text={state === "running" ? "fit.stop" : "fit.remove"} act={() => stopFit(name)} />
      )}
    </li>
  );
}

/** The fits that this studio has begun, one after the other. */
export function Queue() {
  if (fits.value.length === 0) return null;
  return (
    <section class="card" aria-labelledby="fits">
      <h2 id="fits">{t("fit.queue")}</h2>
      <ul class="queue">
        {fits.value.map((fit) => (
          <Entry key={fit.name} fit={fit} />
        ))}
      </ul>
    </section>
  );
}
